"""Indexing as in NumPy, and its transpose, which adds values up at the places that an index names."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive
from ..tensor import Tensor

ARRAY = "array"
"""Stands in the static part of an index for an array, which is an input of the primitive."""


@primitive(view=True)
def getitem_(x, *indices, index):
    """x[index], where each "array" in the tuple `index` stands for the next of the arrays `indices`."""
    return x[_filled(index, indices)]


@primitive
def scatter_add(x, *indices, index, shape):
    """Zeros of this shape, with x added where the index points, as often as it does: the transpose of `getitem`."""
    entries = _filled(index, indices)
    out = np.zeros_like(x, shape=shape)
    if not indices or (len(indices) == 1 and np.asarray(indices[0]).dtype == np.bool_):
        out[entries] = x  # a basic index and a mask point nowhere twice
    elif x.size:
        _scatter(x, entries, out)
    return out


getitem_.vjp(x=lambda g, x_shape, indices, index: scatter_add(g, *indices, index=index, shape=x_shape))
scatter_add.vjp(x=lambda g, indices, index: getitem_(g, *indices, index=index))


def getitem(x: ArrayLike | Tensor, index: Any) -> Tensor:
    """x[index] as in NumPy: integers, slices, `...` and None; arrays, lists or tensors of integers or booleans; tuples.

    Where an index names an element several times, its gradients add up. The result may share memory with x.

    Raises:
        IndexError: an index is out of range, of the wrong dtype, or there are too many.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, -3, 1]].sum().backward()
    >>> x.grad
    Tensor([2., 1., 0.], dtype=float32)
    """
    entries, arrays = [], []
    for entry in index if isinstance(index, tuple) else (index,):
        if entry is None or entry is Ellipsis or isinstance(entry, slice):
            entries.append(entry)
        elif isinstance(entry, bool | np.bool_):
            raise IndexError(
                "getitem: True and False are no indices; use an array of booleans of the shape of x, or of its first axes"
            )
        elif isinstance(entry, Tensor) or np.ndim(entry):
            entries.append(ARRAY)
            arrays.append(entry if np.size(entry) else np.asarray(entry, np.intp))
        else:
            entries.append(operator.index(entry))
    return getitem_(x, *arrays, index=tuple(entries))


def _filled(index, indices):
    """The index with its arrays back in their places."""
    arrays = iter(indices)
    return tuple(next(arrays) if entry is ARRAY else entry for entry in index)


# -- adding up where indices repeat ----------------------------------------------------------------------------------


def _scatter(x, entries, out):
    """Add x to out[entries], where the index holds arrays, which may point to the same place several times.

    The axes that arrays index are brought to the front: then x is a list of rows, each with the number of the row of `out`
    that it belongs to.
    """
    entries = _one_entry_per_axis(entries, out.ndim)
    arrays = {k: e for k, e in enumerate(entries) if isinstance(e, np.ndarray)}
    target = out[tuple(slice(None) if k in arrays else e for k, e in enumerate(entries))]  # an axis for each entry
    target = np.moveaxis(target, list(arrays), range(len(arrays)))
    sizes, rest = target.shape[: len(arrays)], target.shape[len(arrays) :]

    indices = [np.where(a < 0, a + n, a) for a, n in zip(arrays.values(), sizes, strict=True)]
    numbers = np.ravel_multi_index(np.broadcast_arrays(*indices), sizes)
    adjacent = max(arrays) - min(arrays) == len(arrays) - 1
    front = min(arrays) if adjacent else 0  # where NumPy put their common axes
    rows = np.moveaxis(x, range(front, front + numbers.ndim), range(numbers.ndim)).reshape(numbers.size, math.prod(rest))

    numbers, rows = _summed(numbers.ravel(), rows)
    target[np.unravel_index(numbers, sizes)] = rows.reshape(len(numbers), *rest)


def _one_entry_per_axis(entries, ndim):
    """The index with `...` written out and masks as the indices of what they hold.

    Integers become arrays: next to arrays, NumPy treats them so.
    """
    expanded = []
    for entry in entries:
        if isinstance(entry, np.ndarray) and entry.dtype == np.bool_:
            expanded += entry.nonzero()
        elif entry is None or entry is Ellipsis or isinstance(entry, slice):
            expanded.append(entry)
        else:
            expanded.append(np.asarray(entry))
    consumed = sum(entry is not None and entry is not Ellipsis for entry in expanded)
    missing = [slice(None)] * (ndim - consumed)
    gap = next((k for k, entry in enumerate(expanded) if entry is Ellipsis), len(expanded))
    return expanded[:gap] + missing + expanded[gap + 1 :]


def _summed(numbers, rows):
    """Each number once, and the sum of its rows."""
    if rows.shape[1] == 1:
        return np.arange(numbers.max() + 1), np.bincount(numbers, weights=rows[:, 0]).astype(rows.dtype)
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    if len(starts) == len(numbers):
        return numbers, rows
    return ordered[starts], np.add.reduceat(rows[order], starts, axis=0)
