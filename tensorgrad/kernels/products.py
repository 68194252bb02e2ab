"""Matrix products of the shapes that convolutions make: few rows, and columns by the thousand.

BLAS first copies large matrices into an order that suits it. For a matrix of a few rows this takes longer than the product.
OpenBLAS leaves it out for products of up to 100^3 multiply-adds, so small products are cut along the long side into
a batch of such pieces, which takes a third to two thirds of the time.
"""

from __future__ import annotations

import numpy as np

PIECE = 1_000_000
"""The multiply-adds of a piece."""

SMALL = 2500
"""A product with columns is cut if it makes as many multiply-adds at most for each of them. Larger ones BLAS does better whole,
on its own threads."""

SMALL_RESULT = 1000
"""A product along the long side is cut if its result has as many numbers at most."""


def times_columns(weights: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Write weights (G, M, K) times columns (G, K, P) into `out` (G, M, P)."""
    groups, rows, length = weights.shape
    count = columns.shape[2]
    piece, number = pieces(rows * length, count, SMALL)
    if number < 2:
        np.matmul(weights, columns, out=out)
        return
    whole = piece * number
    cut = columns[:, :, :whole].reshape(groups, length, number, piece).transpose(0, 2, 1, 3)
    cut_out = out[:, :, :whole].reshape(groups, rows, number, piece).transpose(0, 2, 1, 3)
    np.matmul(weights[:, None], cut, out=cut_out)
    if whole < count:
        np.matmul(weights, columns[:, :, whole:], out=out[:, :, whole:])


def times_transposed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (G, M, P) times b (G, K, P) transposed -> (G, M, K)."""
    groups, rows, count = a.shape
    length = b.shape[1]
    piece, number = pieces(rows * length, count, SMALL_RESULT)
    if number < 2:
        if rows < length <= 1024:  # BLAS does better with few columns than with few rows
            return np.matmul(b, a.transpose(0, 2, 1)).transpose(0, 2, 1)
        return np.matmul(a, b.transpose(0, 2, 1))
    whole = piece * number
    cut_a = a[:, :, :whole].reshape(groups, rows, number, piece).transpose(0, 2, 1, 3)
    cut_b = b[:, :, :whole].reshape(groups, length, number, piece).transpose(0, 2, 3, 1)
    total = np.matmul(cut_a, cut_b).sum(1)
    if whole < count:
        total += np.matmul(a[:, :, whole:], b[:, :, whole:].transpose(0, 2, 1))
    return total


def pieces(work: int, count: int, most: int) -> tuple[int, int]:
    """How long the pieces are, and how many whole ones there are, for `work` multiply-adds at each of `count` columns.

    One piece is all of it, as for more than `most` multiply-adds.
    """
    if work > most or not work:
        return count, 1
    piece = max(64, PIECE // work // 64 * 64)
    return piece, count // piece
