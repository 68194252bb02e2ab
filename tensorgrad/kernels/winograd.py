"""Convolution by 3x3 filters with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).

A tile of 4x4 outputs depends on a tile of 6x6 inputs, which overlaps with its neighbours. Both filters and input tiles are
carried into a space of 36 numbers in which the convolution is 36 products instead of 144, each a matrix product over channels,
and the sums are carried back. The three maps are linear, and written here as matrices on flattened tiles, so that they are
matrix products too. They divide and multiply by small numbers, which costs a digit or so of float32's seven.

Lavin and Gray, Fast algorithms for convolutional neural networks, 2015, https://arxiv.org/abs/1509.09308.
"""

from __future__ import annotations

import functools
from functools import partial

import numpy as np

from .threads import Call
from .windows import Axis, Pair

SIDE = 4
"""A tile of outputs has 4x4 numbers."""

REACH = SIDE + 2
"""A tile of inputs has 6x6 numbers."""

POINTS = REACH * REACH
"""So many numbers stand for a tile in between."""

LEAST_CHANNELS = 16
"""With fewer channels or filters the maps cost more than the products save."""

LEAST_TILES = 128
"""With fewer tiles, over the whole batch, carrying the filters over costs more than the products save."""

PIECE = 512
"""Columns of a piece of a product with one of the maps: BLAS multiplies small matrices without copying them first."""

INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
FILTER = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

SUM = REACH + 1
"""The point whose row of the transposed output map is all ones: it holds the sum of a tile."""


@functools.cache
def maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The maps of inputs (36, 36), filters (36, 9) and outputs (16, 36), in both directions of a tile at once."""
    both = (np.kron(m, m).astype(np.float32) for m in (INPUT, FILTER, OUTPUT))
    return tuple(both)


class Switch:
    """Whether convolutions may be computed so."""

    on = True


def set_winograd(on: bool) -> bool:
    """Choose whether float32 convolutions by 3x3 filters with many channels may take Winograd's method, as they do at first.

    It takes a quarter of the multiplications. Its results differ from plain sums of products by a few millionths of what is
    usual in the image; where a number is far beyond that, or none, the tiles around it are computed by plain products.
    Lavin and Gray, Fast algorithms for convolutional neural networks, 2015, https://arxiv.org/abs/1509.09308.

    Returns:
        what was chosen before.

    >>> import tensorgrad as tg
    >>> before = tg.set_winograd(False)
    >>> tg.set_winograd(before)
    False
    """
    before, Switch.on = Switch.on, bool(on)
    return before


def suits(
    shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    vertical: Axis,
    horizontal: Axis,
    groups: int,
    dtype: np.dtype | str,
    block: Pair = (1, 1),
) -> bool:
    """Whether to convolve so: 3x3 filters without stride, in float32, and enough of everything.

    The tiles have to be used well, at least half of the multiplications being saved. The padding is at most 2, so that the
    way back is such a convolution too. Blocks of a pooling have to fit into a tile.
    """
    plain = all(
        (axis.kernel, axis.stride, axis.dilation) == (3, 1, 1) and 0 <= axis.padding <= 2 for axis in (vertical, horizontal)
    )
    if not Switch.on or not plain or groups != 1 or np.dtype(dtype) != np.float32 or any(SIDE % side for side in block):
        return False
    tiles = -(-vertical.count // SIDE) * -(-horizontal.count // SIDE)
    saves = 2 * POINTS * tiles <= 9 * vertical.count * horizontal.count
    return saves and min(shape[1], w_shape[0]) >= LEAST_CHANNELS and shape[0] * tiles >= LEAST_TILES


def transform_filters(w: np.ndarray, out: np.ndarray) -> None:
    """(F, C, 3, 3) -> (36, F, C)"""
    filters, channels = w.shape[:2]
    np.matmul(maps()[1], w.reshape(filters * channels, 9).T, out=out.reshape(POINTS, filters * channels))


def filters_gradient(sums: np.ndarray) -> np.ndarray:
    """The transpose of `transform_filters`: (36, F, C) -> (F, C, 3, 3)"""
    points, filters, channels = sums.shape
    back = maps()[1].T @ sums.reshape(points, filters * channels)  # (9, F * C)
    return back.reshape(3, 3, filters, channels).transpose(2, 3, 0, 1)


def mapped(matrix: np.ndarray, tiles: np.ndarray, out: np.ndarray) -> list[Call]:
    """Write a map (J, I) times tiles (I, M) into `out` (J, M)."""
    count = tiles.shape[1]
    whole = count - count % PIECE
    cut, cut_out = (a[:, :whole].reshape(len(a), -1, PIECE).transpose(1, 0, 2) for a in (tiles, out))
    calls: list[Call] = [partial(np.matmul, matrix, cut, out=cut_out)] if whole else []
    if whole < count:
        calls.append(partial(np.matmul, matrix, tiles[:, whole:], out=out[:, whole:]))
    return calls
