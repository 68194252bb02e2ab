"""Indexing as in NumPy, and its transpose, which adds values up at the places that an index names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive
from ..tensor import Tensor

ARRAY = "array"
"""Stands in the static part of an index for an array, which is an input of the primitive."""


def _filled(index, indices):
    """The index with its arrays back in their places."""
    arrays = iter(indices)
    return tuple(next(arrays) if entry is ARRAY else entry for entry in index)


@primitive(view=True)
def getitem_(x, *indices, index):
    """x[index], where `index` is a tuple in which "array" stands for the next of the arrays `indices`."""
    return x[_filled(index, indices)]


getitem_.vjp(x=lambda g, x_shape, indices, index: scatter_add(g, *indices, index=index, shape=x_shape))


@primitive
def scatter_add(x, *indices, index, shape):
    """Zeros of a shape with x added at the places that the index names; as often as it names them. The transpose of `getitem`."""
    out = np.zeros(shape, x.dtype)
    np.add.at(out, _filled(index, indices), x)
    return out


scatter_add.vjp(x=lambda g, indices, index: getitem_(g, *indices, index=index))


def getitem(x: ArrayLike | Tensor, index: Any) -> Tensor:
    """x[index]"""
    entries, arrays = [], []
    for entry in index if isinstance(index, tuple) else (index,):
        if entry is None or entry is Ellipsis or isinstance(entry, slice):
            entries.append(entry)
        elif not isinstance(entry, Tensor) and np.ndim(entry) == 0:
            entries.append(int(entry))
        else:
            entries.append(ARRAY)
            arrays.append(entry)
    return getitem_(x, *arrays, index=tuple(entries))
