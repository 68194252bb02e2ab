"""The products of `products`, prepared as NumPy calls on views made beforehand."""

from __future__ import annotations

from functools import partial

import numpy as np

from .products import SMALL, SMALL_RESULT, pieces
from .threads import Call


def times_columns(weights: np.ndarray, columns: np.ndarray, out: np.ndarray) -> list[Call]:
    """Write weights (G, M, K) times columns (G, K, P) into `out` (G, M, P)."""
    groups, rows, length = weights.shape
    count = columns.shape[2]
    piece, number = pieces(rows * length, count, SMALL)
    if number < 2:
        return [partial(np.matmul, weights, columns, out=out)]
    whole = piece * number
    cut = columns[:, :, :whole].reshape(groups, length, number, piece).transpose(0, 2, 1, 3)
    cut_out = out[:, :, :whole].reshape(groups, rows, number, piece).transpose(0, 2, 1, 3)
    calls: list[Call] = [partial(np.matmul, weights[:, None], cut, out=cut_out)]
    if whole < count:
        calls.append(partial(np.matmul, weights, columns[:, :, whole:], out=out[:, :, whole:]))
    return calls


def add_times_transposed(a: np.ndarray, b: np.ndarray, total: np.ndarray) -> list[Call]:
    """Add a (G, M, P) times b (G, K, P) transposed to `total` (G, M, K)."""
    groups, rows, count = a.shape
    length = b.shape[1]
    piece, number = pieces(rows * length, count, SMALL_RESULT)
    share = np.empty_like(total)
    add = partial(np.add, total, share, out=total)
    if number < 2:
        if rows < length <= 1024:  # BLAS does better with few columns than with few rows
            return [partial(np.matmul, b, a.transpose(0, 2, 1), out=share.transpose(0, 2, 1)), add]
        return [partial(np.matmul, a, b.transpose(0, 2, 1), out=share), add]
    whole = piece * number
    cut_a = a[:, :, :whole].reshape(groups, rows, number, piece).transpose(0, 2, 1, 3)
    cut_b = b[:, :, :whole].reshape(groups, length, number, piece).transpose(0, 2, 3, 1)
    shares = np.empty((groups, number, rows, length), total.dtype)
    calls: list[Call] = [partial(np.matmul, cut_a, cut_b, out=shares), partial(np.add.reduce, shares, axis=1, out=share), add]
    if whole < count:
        calls += [partial(np.matmul, a[:, :, whole:], b[:, :, whole:].transpose(0, 2, 1), out=share), add]
    return calls
