"""Products of matrices on two threads.

BLAS has threads of its own. They take no time to wake, for they stay awake for some 20 milliseconds after each product, and
hold up whatever else runs on two threads meanwhile. So large products, of networks whose other work is large too, are computed
by halves, on one thread of BLAS each; and small ones need no second thread.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .threads import at_once, blas_on_one_thread

ALONE = 1 << 18
"""Multiply-adds up to which BLAS takes one thread of its own accord."""

SMALL = 1 << 21
"""Multiply-adds up to which one thread is all but as fast as two."""

LARGE = 1 << 24
"""Multiply-adds from which on half of a product takes much longer than it takes to wake a thread."""

ROWS = 128
"""Rows from which on half of them are enough for BLAS to multiply at full speed."""


def product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x @ y, (M, K) times (K, N) -> (M, N); and of stacks of matrices, as NumPy has it."""
    if x.ndim > 2 or y.ndim > 2:
        return _stacked(x, y)
    work = x.size * y.shape[1]
    if work <= ALONE or SMALL < work < LARGE:
        return np.matmul(x, y)
    if work <= SMALL:
        return blas_on_one_thread(partial(np.matmul, x, y))
    out = np.empty((len(x), y.shape[1]), np.result_type(x, y))
    shares = [partial(np.matmul, x[rows], y[:, columns], out=out[rows, columns]) for rows, columns in halves(out.shape)]
    blas_on_one_thread(partial(at_once, shares))
    return out


def _stacked(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x @ y of stacks of matrices: half of the stack on each thread."""
    if max(x.size * y.shape[-1], y.size * x.shape[-2]) < LARGE:
        return np.matmul(x, y)
    shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
    parts = stack_halves(x, y, shape)
    out = np.empty(shape, np.result_type(x, y))
    shares = [partial(np.matmul, one, other, out=out[part]) for one, other, part in parts]
    blas_on_one_thread(partial(at_once, shares))
    return out


def stack_halves(x: np.ndarray, y: np.ndarray, shape: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray, slice]]:
    """Both halves of a product of stacks: the factors, and which part of the result (..., M, N) along its first axis they
    make. One part is all of it where that axis is too short."""
    middle = shape[0] // 2 if len(shape) > 2 else 0
    parts = [slice(0, middle), slice(middle, shape[0])] if middle else [slice(0, shape[0])]
    return [(_along_first(x, part, len(shape)), _along_first(y, part, len(shape)), part) for part in parts]


def _along_first(x: np.ndarray, part: slice, ndim: int) -> np.ndarray:
    """What a factor has for part of the result's first axis, over which it may be broadcast."""
    return x[part] if x.ndim == ndim and x.shape[0] > 1 else x


def halves(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """The rows and the columns of both halves of a matrix in row-major order. Its rows are cut in two, unless there are few:
    two threads that write to the same rows take the memory around the cut from each other."""
    by_rows, everything = shape[0] >= min(ROWS, shape[1]), slice(None)
    length = shape[0] if by_rows else shape[1]
    parts = slice(0, length // 2), slice(length // 2, length)
    return [(part, everything) if by_rows else (everything, part) for part in parts]
