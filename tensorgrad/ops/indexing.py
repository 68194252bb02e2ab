"""Indexing as in NumPy, and its transpose, which adds values up at the places that an index names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive
from ..tensor import Tensor, ndim_of
from .axes import integer

ARRAY = "array"
"""Stands in the static part of an index for an array, which is an input of the primitive."""


@primitive(view=True)
def getitem_(x, *indices, index):
    """x[index], where each "array" in the tuple `index` stands for the next of the arrays `indices`."""
    return x[_filled(index, indices)]


@primitive(flops=lambda out_shape, x_shape, *index_shapes: math.prod(x_shape))
def scatter_add(x, *indices, index, shape):
    """Zeros of this shape, with x added where the index points, as often as it does: the transpose of `getitem`."""
    entries = _filled(index, indices)
    if not indices or (len(indices) == 1 and np.asarray(indices[0]).dtype == np.bool_):
        out = np.zeros_like(x, shape=shape)
        out[entries] = x  # slices, integers and a mask point nowhere twice
        return out
    size = math.prod(shape)
    crowded = x.dtype == np.float32 and x.size > size  # many summands for one element ask for more digits
    sums = np.zeros(size, np.float64 if crowded else x.dtype)
    summands = x.ravel().astype(sums.dtype, copy=False)
    np.add.at(sums, _places(entries, shape).ravel(), summands)  # which is quick so: flat, and all of one dtype
    return sums.reshape(shape).astype(x.dtype, copy=False)


getitem_.vjp(x=lambda g, x_shape, indices, index: scatter_add(g, *indices, index=index, shape=x_shape))
scatter_add.vjp(x=lambda g, indices, index: getitem_(g, *indices, index=index))


def getitem(x: ArrayLike | Tensor, index: Any) -> Tensor:
    """x[index] as in NumPy: integers, slices, `...` and None; arrays, lists or tensors of integers or booleans; tuples.

    Where an index names an element several times, its gradients add up. The result may share memory with x.

    Raises:
        IndexError: an index is out of range, an array of the wrong dtype, or there are too many.
        TypeError: an index is none of the above.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, -3, 1]].sum().backward()
    >>> x.grad
    Tensor([2., 1., 0.], dtype=float32)
    """
    entries: list[Any] = []
    arrays: list[Any] = []
    for entry in index if isinstance(index, tuple) else (index,):
        if entry is None or entry is Ellipsis or isinstance(entry, slice):
            entries.append(entry)
        elif isinstance(entry, bool | np.bool_):
            raise IndexError(
                "getitem: True and False are no indices; use an array of booleans of the shape of x, or of its first axes"
            )
        elif isinstance(entry, Tensor) or ndim_of(entry):
            entries.append(ARRAY)
            arrays.append(np.zeros(0, np.intp) if isinstance(entry, list) and not entry else entry)
        else:
            entries.append(integer("getitem", "an index", entry))
    return getitem_(x, *arrays, index=tuple(entries))


def _filled(index, indices):
    """The index with its arrays back in their places."""
    arrays = iter(indices)
    return tuple(next(arrays) if isinstance(entry, str) else entry for entry in index)


def _places(entries, shape):
    """The place in row-major order of each element that the index names: NumPy itself tells, one axis after the other."""
    places = 0
    for axis, size in enumerate(shape):
        step = math.prod(shape[axis + 1 :])
        along = (np.arange(size) * step).reshape(size, *[1] * (len(shape) - axis - 1))
        places = places + np.broadcast_to(along, shape)[entries]
    return places
