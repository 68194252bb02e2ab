"""Windows as the columns of a matrix, so that a convolution becomes a matrix product; and the transpose of that.

A tile is a rectangle of windows, at times a few rows of them and at times a piece of one row, whose columns fit in cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .layout import batch_first, batch_innermost
from .windows import Axis, Pair, axes

TILE_BYTES = 1 << 20
"""About how much memory the columns of one tile take."""


class Tile(NamedTuple):
    """The windows from row `top` to before `bottom`, and from column `left` to before `right`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> Pair:
        return self.bottom - self.top, self.right - self.left

    def of(self, stored: np.ndarray) -> np.ndarray:
        """This part of an array (C, OH, OW, N) as a matrix (C, R * Q * N), a view."""
        part = stored[:, self.top : self.bottom, self.left : self.right]
        return part.reshape(len(part), -1)


def tiles(vertical: Axis, horizontal: Axis, bytes_per_window: int) -> list[Tile]:
    """All windows, cut into tiles: independent jobs of about `TILE_BYTES` each."""
    windows = max(1, TILE_BYTES // max(bytes_per_window, 1))
    rows, columns = vertical.count, horizontal.count
    if windows < columns:
        return [Tile(r, r + 1, q, min(q + windows, columns)) for r in range(rows) for q in range(0, columns, windows)]
    height = windows // columns
    return [Tile(r, min(r + height, rows), 0, columns) for r in range(0, rows, height)]


def gather(image: np.ndarray, vertical: Axis, horizontal: Axis, tile: Tile, columns: np.ndarray) -> None:
    """Fill `columns` (C, KH, KW, R, Q, N) with the tile's windows of `image` (C, H, W, N); zeros where they lie in the padding."""
    for i in range(vertical.kernel):
        rows, from_rows = vertical.inside(i, tile.top, tile.bottom)
        for j in range(horizontal.kernel):
            places, from_places = horizontal.inside(j, tile.left, tile.right)
            part = columns[:, i, j]
            _clear_outside(part, rows, places)
            part[:, rows, places] = image[:, from_rows, from_places]


def _clear_outside(part: np.ndarray, rows: slice, places: slice) -> None:
    """Set to zero what lies outside the rows and places given, of (C, R, Q, N)."""
    height, width = part.shape[1:3]
    if rows.start > 0:
        part[:, : rows.start] = 0
    if rows.stop < height:
        part[:, rows.stop :] = 0
    if places.start > 0:
        part[:, rows, : places.start] = 0
    if places.stop < width:
        part[:, rows, places.stop :] = 0


def scatter_add(columns: np.ndarray, vertical: Axis, horizontal: Axis, tile: Tile, image: np.ndarray) -> None:
    """The transpose of `gather`: add each number of `columns` (C, KH, KW, R, Q, N) to its place in `image` (C, H, W, N)."""
    for i in range(vertical.kernel):
        rows, to_rows = vertical.inside(i, tile.top, tile.bottom)
        for j in range(horizontal.kernel):
            places, to_places = horizontal.inside(j, tile.left, tile.right)
            image[:, to_rows, to_places] += columns[:, i, j, rows, places]


def image_to_columns(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> np.ndarray:
    """(N, C, H, W) -> (N, C * KH * KW, OH * OW): each column is a window."""
    image = batch_innermost(x)  # (C, H, W, N)
    vertical, horizontal = axes(image.shape[1:3], kernel, stride, padding, dilation)
    channels, batch = len(image), image.shape[3]
    columns = np.empty((channels, *kernel, vertical.count, horizontal.count, batch), x.dtype)
    gather(image, vertical, horizontal, Tile(0, vertical.count, 0, horizontal.count), columns)
    return columns.reshape(channels * kernel[0] * kernel[1], vertical.count * horizontal.count, batch).transpose(2, 0, 1)


def columns_to_image(cols: np.ndarray, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> np.ndarray:
    """(N, C * KH * KW, OH * OW) -> (N, C, H, W): what the windows hold, added up where they overlap."""
    vertical, horizontal = axes(size, kernel, stride, padding, dilation)
    batch, channels = len(cols), cols.shape[1] // (kernel[0] * kernel[1])
    columns = cols.transpose(1, 2, 0).reshape(channels, *kernel, vertical.count, horizontal.count, batch)
    image = np.zeros((channels, *size, batch), cols.dtype)
    scatter_add(columns, vertical, horizontal, Tile(0, vertical.count, 0, horizontal.count), image)
    return batch_first(image)
