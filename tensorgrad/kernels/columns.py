"""Windows as the columns of a matrix, so that a convolution becomes a matrix product; and the transpose of that.

The whole matrix holds each number of the image once for every window it lies in, which may be far more than memory.
So it is made a tile at a time: a few rows of windows, or a piece of one row, whose columns fit in cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .layout import batch_first, batch_innermost
from .windows import Axis, Pair

TILE_BYTES = 1 << 21
"""About how much memory the columns of one tile take: what a processor's own cache holds."""

TILE_COLUMNS = 256
"""A tile has about as many columns at least: with fewer, a product spends its time on reading the weights."""


class Tile(NamedTuple):
    """The windows from row `top` to before `bottom`, and from column `left` to before `right`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> Pair:
        return self.bottom - self.top, self.right - self.left

    @property
    def windows(self) -> int:
        return self.shape[0] * self.shape[1]

    def of(self, stored: np.ndarray) -> np.ndarray:
        """This part of an array (..., OH, OW, N), a view (..., R, Q, N)."""
        return stored[..., self.top : self.bottom, self.left : self.right, :]


def tiles(
    vertical: Axis,
    horizontal: Axis,
    length: int,
    batch: int,
    itemsize: int,
    least: int = TILE_COLUMNS,
    nbytes: int | None = None,
) -> list[Tile]:
    """All windows, cut into tiles with columns of the given length: jobs that do not depend on each other.

    A tile has about `nbytes` of columns (`TILE_BYTES` if None), but not fewer than `least` columns.
    """
    columns = max(least, (TILE_BYTES if nbytes is None else nbytes) // max(1, length * itemsize))
    windows = max(1, columns // max(1, batch))
    rows, width = vertical.count, horizontal.count
    if windows < width:
        return [Tile(r, r + 1, *piece) for r in range(rows) for piece in _cut(width, windows)]
    return [Tile(*piece, 0, width) for piece in _cut(rows, windows // width)]


def _cut(length: int, most: int) -> list[Pair]:
    """The range from 0 to `length` in pieces of about equal size, `most` at most."""
    number = -(-length // most)
    return [(k * length // number, (k + 1) * length // number) for k in range(number)]


def padded(image: np.ndarray, vertical: Axis, horizontal: Axis) -> np.ndarray:
    """(C, H, W, N) with the zeros around it that the axes ask for; less of it, where the padding is negative."""
    down, across = vertical.padding, horizontal.padding
    image = image[:, max(0, -down) : image.shape[1] + min(0, down), max(0, -across) : image.shape[2] + min(0, across)]
    down, across = max(0, down), max(0, across)
    if not down and not across:
        return image
    channels, height, width, batch = image.shape
    framed = np.empty((channels, height + 2 * down, width + 2 * across, batch), image.dtype)
    framed[:, :down] = framed[:, down + height :] = 0
    framed[:, down : down + height, :across] = framed[:, down : down + height, across + width :] = 0
    framed[:, down : down + height, across : across + width] = image
    return framed


def patches(framed: np.ndarray, vertical: Axis, horizontal: Axis) -> np.ndarray:
    """The windows of a padded image (C, H, W, N) as a view (C, KH, KW, OH, OW, N), in which numbers stand many times."""
    channel, row, place, sample = framed.strides
    shape = (len(framed), vertical.kernel, horizontal.kernel, vertical.count, horizontal.count, framed.shape[3])
    steps = (row * vertical.dilation, place * horizontal.dilation, row * vertical.stride, place * horizontal.stride)
    return as_strided(framed, shape, (channel, *steps, sample))


class Columns:
    """The columns of images, made a tile at a time.

    Attributes:
        jobs: the tiles.
        length: of a column, over all groups.
        ones: whether each group's columns end in a 1, by which a product with the weights and the bias adds the bias.
    """

    def __init__(
        self, x: np.ndarray, vertical: Axis, horizontal: Axis, groups: int, *, least: int = TILE_COLUMNS, ones: bool = False
    ) -> None:
        self.groups = groups
        self.ones = False
        self.patches = patches(padded(batch_innermost(x), vertical, horizontal), vertical, horizontal)
        channels, height, width, *_, batch = self.patches.shape
        self.length = channels * height * width
        self._ready = self.patches.flags.c_contiguous
        if self._ready:  # a window of one place, or as large as the image: it is the matrix already
            self.jobs = [Tile(0, vertical.count, 0, horizontal.count)]
        else:
            self.jobs = tiles(vertical, horizontal, self.length, batch, x.itemsize, least)
            self.ones = ones

    def memory_for(self, jobs: list[Tile]) -> np.ndarray:
        """Memory for the columns of any of these tiles."""
        windows = 0 if self._ready else max(tile.windows for tile in jobs)
        return np.empty((self.length + self.groups * self.ones) * windows * self.patches.shape[-1], self.patches.dtype)

    def of(self, tile: Tile, memory: np.ndarray) -> np.ndarray:
        """The tile's columns, (groups, C/groups * KH * KW, R * Q * N), a row more with ones, in the memory given."""
        part = tile.of(self.patches)  # (C, KH, KW, R, Q, N)
        part = part.reshape(self.groups, len(part) // self.groups, *part.shape[1:])
        rows, count = self.length // self.groups, tile.windows * part.shape[-1]
        if self._ready:
            return part.reshape(self.groups, rows, count)
        filled = memory[: self.groups * (rows + self.ones) * count].reshape(self.groups, rows + self.ones, count)
        np.copyto(filled[:, :rows].reshape(part.shape), part)
        filled[:, rows:] = 1
        return filled


def scatter_add(columns: np.ndarray, vertical: Axis, horizontal: Axis, tile: Tile, image: np.ndarray) -> None:
    """Add a tile's columns (C, KH, KW, R, Q, N) to their places in `image` (C, H, W, N); those in the padding are dropped."""
    for i in range(vertical.kernel):
        rows, to_rows = vertical.inside(i, tile.top, tile.bottom)
        for j in range(horizontal.kernel):
            places, to_places = horizontal.inside(j, tile.left, tile.right)
            image[:, to_rows, to_places] += columns[:, i, j, rows, places]


def image_to_columns(x: np.ndarray, vertical: Axis, horizontal: Axis) -> np.ndarray:
    """(N, C, H, W) -> (N, C * KH * KW, OH * OW): each column is a window."""
    view = patches(padded(batch_innermost(x), vertical, horizontal), vertical, horizontal)
    channels, *_, batch = view.shape
    columns = np.array(view, order="C", copy=True)
    shape = (channels * vertical.kernel * horizontal.kernel, vertical.count * horizontal.count, batch)
    return columns.reshape(shape).transpose(2, 0, 1)


def columns_to_image(cols: np.ndarray, vertical: Axis, horizontal: Axis) -> np.ndarray:
    """(N, C * KH * KW, OH * OW) -> (N, C, H, W): what the windows hold, added up where they overlap."""
    batch, length, _ = cols.shape
    channels = length // (vertical.kernel * horizontal.kernel)
    shape = (channels, vertical.kernel, horizontal.kernel, vertical.count, horizontal.count, batch)
    image = np.zeros((channels, vertical.size, horizontal.size, batch), cols.dtype)
    everything = Tile(0, vertical.count, 0, horizontal.count)
    scatter_add(cols.transpose(1, 2, 0).reshape(shape), vertical, horizontal, everything, image)
    return batch_first(image)
