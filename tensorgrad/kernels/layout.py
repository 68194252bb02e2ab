"""Where images lie in memory: logically (N, C, H, W), stored with the batch innermost, (C, H, W, N).

With the batch innermost every window of every image is copied, compared or added in runs of at least N numbers, whatever
the stride. NumPy's elementwise functions keep the order of their input, so that whole networks stay in it.
Kernels return such arrays, and take any: one that lies otherwise is copied once.
"""

from __future__ import annotations

import numpy as np


def batch_innermost(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (C, H, W, N), contiguous: a view where `x` is stored so, else a copy."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0))


def batch_first(stored: np.ndarray) -> np.ndarray:
    """(C, H, W, N) -> (N, C, H, W), a view."""
    return stored.transpose(3, 0, 1, 2)


def storage(out: np.ndarray | None, shape: tuple[int, int, int, int], dtype: np.dtype) -> np.ndarray:
    """A (C, H, W, N) array to write a result into: that behind `out` (N, C, H, W) where its order allows, else a new one."""
    if out is not None:
        stored = out.transpose(1, 2, 3, 0)
        if stored.shape == shape and stored.dtype == dtype and stored.flags.c_contiguous:
            return stored
    return np.empty(shape, dtype)


def delivered(stored: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """The result stored as (C, H, W, N) as an (N, C, H, W) array, which is `out` where one was given."""
    result = batch_first(stored)
    if out is None:
        return result
    if not np.may_share_memory(out, stored):
        np.copyto(out, result, casting="same_kind")
    return out


def order_in_memory(x: np.ndarray) -> tuple[int, ...]:
    """The axes from the one with the largest step in memory to the one with the smallest."""
    axes = range(x.ndim)
    return tuple(axes) if x.flags.c_contiguous else tuple(sorted(axes, key=lambda axis: -abs(x.strides[axis])))


def as_row(x: np.ndarray, order: tuple[int, ...]) -> np.ndarray | None:
    """The array as one row, a view, whose axes lie in memory in an order given, without gaps; None if they do not."""
    stored = x.transpose(order)
    return stored.reshape(-1) if stored.flags.c_contiguous else None
