"""Convolution as deep learning means it, cross-correlation, and its two transposes, through matrix products over tiles of windows.

Each is linear in both of its arguments: the output in image and weights, the image's cotangent in the output's and the
weights, and the weights' cotangent in the output's and the image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .columns import Tile, gather, scatter_add, tiles
from .layout import batch_innermost, delivered, storage
from .windows import Axis, Pair, axes

LONG = 4096
"""From so many columns on, a product with few rows is cut along them."""


class Geometry(NamedTuple):
    """How a convolution's windows lie, and how its channels are grouped."""

    vertical: Axis
    horizontal: Axis
    groups: int

    @property
    def kernel(self) -> Pair:
        return self.vertical.kernel, self.horizontal.kernel

    def columns(self, tile: Tile, channels: int, batch: int, memory: np.ndarray) -> np.ndarray:
        """Room for a tile's windows in `memory`, (C, KH, KW, R, Q, N)."""
        shape = (channels, *self.kernel, *tile.shape, batch)
        return memory[: np.prod(shape)].reshape(shape)

    def by_group(self, matrix: np.ndarray) -> np.ndarray:
        """(groups * rows, columns) -> (groups, rows, columns)"""
        return matrix.reshape(self.groups, len(matrix) // self.groups, matrix.shape[-1])


def geometry(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Geometry:
    return Geometry(*axes(size, kernel, stride, padding, dilation), groups)


def _room(jobs: list[Tile], bytes_per_window: int, dtype: np.dtype) -> np.ndarray:
    """Memory that is enough for the columns of any one of the tiles."""
    largest = max((tile.shape[0] * tile.shape[1] for tile in jobs), default=0)
    return np.empty(largest * bytes_per_window // dtype.itemsize, dtype)


def correlate(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, where: Geometry, out: np.ndarray | None = None) -> np.ndarray:
    """(N, C, H, W), (F, C/groups, KH, KW), (F,) or None -> (N, F, OH, OW)"""
    image = batch_innermost(x)  # (C, H, W, N)
    filters, channels, batch = len(w), len(image), len(x)
    result = storage(out, (filters, where.vertical.count, where.horizontal.count, batch), x.dtype)
    weights = where.by_group(w.reshape(filters, -1))  # (groups, F/groups, C/groups * KH * KW)
    per_window = channels * where.vertical.kernel * where.horizontal.kernel * batch * x.itemsize
    jobs = tiles(where.vertical, where.horizontal, per_window)
    memory = _room(jobs, per_window, x.dtype)
    for tile in jobs:
        columns = where.columns(tile, channels, batch, memory)
        gather(image, where.vertical, where.horizontal, tile, columns)
        part = tile.of(result)  # (F, R * Q * N)
        np.matmul(weights, columns.reshape(where.groups, weights.shape[2], -1), out=where.by_group(part))
        if b is not None:
            np.add(part, b[:, None], out=part)
    return delivered(result, out)


def input_grad(
    y: np.ndarray, w: np.ndarray, shape: tuple[int, ...], where: Geometry, out: np.ndarray | None = None
) -> np.ndarray:
    """The transpose of `correlate` in its images: (N, F, OH, OW), (F, C/groups, KH, KW) -> (N, C, H, W)"""
    cotangent = batch_innermost(y)  # (F, OH, OW, N)
    batch, channels = shape[:2]
    image = storage(out, (channels, *shape[2:], batch), y.dtype)
    image[...] = 0
    weights = where.by_group(w.reshape(len(w), -1)).transpose(0, 2, 1)  # (groups, C/groups * KH * KW, F/groups)
    per_window = channels * where.vertical.kernel * where.horizontal.kernel * batch * y.itemsize
    jobs = tiles(where.vertical, where.horizontal, per_window)
    memory = _room(jobs, per_window, y.dtype)
    for tile in jobs:
        columns = where.columns(tile, channels, batch, memory)
        part = where.by_group(tile.of(cotangent))
        np.matmul(weights, part, out=columns.reshape(where.groups, weights.shape[1], -1))
        scatter_add(columns, where.vertical, where.horizontal, tile, image)
    return delivered(image, out)


def weight_grad(y: np.ndarray, x: np.ndarray, shape: tuple[int, ...], where: Geometry) -> np.ndarray:
    """The transpose of `correlate` in its weights: (N, F, OH, OW), (N, C, H, W) -> (F, C/groups, KH, KW)"""
    cotangent, image = batch_innermost(y), batch_innermost(x)
    channels, batch = len(image), len(x)
    total = np.zeros((where.groups, shape[0] // where.groups, int(np.prod(shape[1:]))), y.dtype)
    per_window = channels * where.vertical.kernel * where.horizontal.kernel * batch * y.itemsize
    jobs = tiles(where.vertical, where.horizontal, per_window)
    memory = _room(jobs, per_window, y.dtype)
    for tile in jobs:
        columns = where.columns(tile, channels, batch, memory)
        gather(image, where.vertical, where.horizontal, tile, columns)
        total += product(where.by_group(tile.of(cotangent)), columns.reshape(where.groups, total.shape[2], -1))
    return total.reshape(shape)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b transposed, (groups, m, k), (groups, n, k) -> (groups, m, n), for long rows.

    Where the result is small BLAS has little to share out among threads and registers; cut along k into pieces that are
    multiplied as a batch, and then added, the product takes a third of the time.
    """
    groups, rows, length = a.shape
    pieces = next((p for p in (8, 10, 6, 5, 4, 7, 3, 2) if length % p == 0), 1)
    if length < LONG or b.shape[1] > 64 or pieces == 1:
        return np.matmul(a, b.transpose(0, 2, 1))
    cut_a = a.reshape(groups, rows, pieces, -1).transpose(0, 2, 1, 3)
    cut_b = b.reshape(groups, b.shape[1], pieces, -1).transpose(0, 2, 3, 1)
    return np.matmul(cut_a, cut_b).sum(1)
