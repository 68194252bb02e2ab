"""A convolution and what follows it in one pass over tiles: bias, maximum of blocks, relu; and the way back.

What lies between (the convolution's output, four times as large as the pooled one, and its cotangent) is never stored as a
whole: a tile of it is made, used and forgotten while it is in cache. The windows of a tile are ordered by their place in
the pooling block, so that pooling compares long contiguous runs. The way back gathers the columns anew, which costs
less than keeping them.

All of it is prepared once, as a list of NumPy calls on views made beforehand, and made again and again. Between two such
calls a thread holds the interpreter's lock for less than a microsecond, so that two threads hardly ever wait for each other.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .columns import Tile, patches, tiles
from .product_calls import add_times_transposed, times_columns
from .threads import Call
from .windows import Axis, Pair
from .winners import largest, largest_and_won, to_winners

TILE_BYTES = 1 << 22
"""About how much memory a tile takes, its columns and its output: more than fits in a core's own cache pays, since calls
last longer."""

TILE_COLUMNS = 8192
"""About so many columns a tile has at least, so that products run at full speed; unless they take four times that memory."""


class Frame:
    """Images (C, H, W, N) with the padding of a convolution around them, in memory given."""

    def __init__(self, memory: np.ndarray, vertical: Axis, horizontal: Axis) -> None:
        down, across = vertical.padding, horizontal.padding
        self.image = memory
        self.inside = memory[:, down : down + vertical.size, across : across + horizontal.size]
        self._borders = [
            memory[:, :down],
            memory[:, down + vertical.size :],
            memory[:, :, :across],
            memory[:, :, across + horizontal.size :],
        ]

    @staticmethod
    def shape(channels: int, vertical: Axis, horizontal: Axis, batch: int) -> tuple[int, int, int, int]:
        return channels, vertical.size + 2 * vertical.padding, horizontal.size + 2 * horizontal.padding, batch

    def clear(self) -> None:
        """Set the padding to zero."""
        for border in self._borders:
            border[...] = 0

    def blocks(self, rows: int, columns: int, block: Pair) -> np.ndarray:
        """The part that whole pooling blocks cover, by place in the block: (C, ph, pw, PH, PW, N), a view."""
        return _by_block(self.inside[:, : rows * block[0], : columns * block[1]], rows, columns, block)


def _by_block(part: np.ndarray, rows: int, columns: int, block: Pair) -> np.ndarray:
    """(..., PH * ph, PW * pw, N) -> (..., ph, pw, PH, PW, N), a view."""
    *lead, _, _, batch = part.shape
    *steps, down, across, sample = part.strides
    shape = (*lead, *block, rows, columns, batch)
    strides = (*steps, down, across, down * block[0], across * block[1], sample)
    return np.lib.stride_tricks.as_strided(part, shape, strides)


class Geometry:
    """How the windows of a convolution lie, and the blocks of a pooling over its output; (1, 1) is none."""

    def __init__(
        self, shape: tuple[int, ...], w_shape: tuple[int, ...], vertical: Axis, horizontal: Axis, groups: int, block: Pair
    ):
        self.batch, self.channels = shape[:2]
        self.filters, self.w_shape = w_shape[0], w_shape
        self.vertical, self.horizontal, self.groups, self.block = vertical, horizontal, groups, block
        self.rows, self.columns = vertical.count // block[0], horizontal.count // block[1]  # of blocks
        self.length = self.channels * vertical.kernel * horizontal.kernel
        self.places = block[0] * block[1]
        self.axes = (vertical, horizontal)
        # The order of a tile's windows. By their place in the block, pooling compares long runs of memory; row by row,
        # columns are copied in long runs. What there is more of decides.
        by_place = self.length <= 4 * self.filters
        self.order = (0, 1, 2, 3, 4) if by_place else (2, 0, 3, 1, 4)  # of (ph, pw, R, Q, N) in memory

    def frame_shape(self) -> tuple[int, int, int, int]:
        """Of the framed image, (C, H, W, N)."""
        return Frame.shape(self.channels, self.vertical, self.horizontal, self.batch)

    def shares(self, itemsize: int) -> list[list[Tile]]:
        """The pooled output cut into tiles, for each thread about as much."""
        down = self.vertical._replace(count=self.rows)
        across = self.horizontal._replace(count=self.columns)
        length = self.places * (self.length + self.filters)
        least = min(TILE_COLUMNS // self.places, 4 * TILE_BYTES // (length * itemsize))
        jobs = tiles(down, across, length, self.batch, itemsize, least, TILE_BYTES)
        return [share for share in _two_shares(jobs) if share]

    def most_columns(self, jobs: list[Tile]) -> int:
        return max((tile.windows for tile in jobs), default=0) * self.places * self.batch

    def scratch_bytes(self, itemsize: int) -> int:
        """Memory that a worker needs."""
        columns = max(map(self.most_columns, self.shares(itemsize)), default=0)
        return (self.length + self.filters + 1) * columns * itemsize + self.filters * columns // self.places

    def windows(self, image: np.ndarray) -> np.ndarray:
        """All windows of a framed image by their place in the block, (C, KH, KW, ph, pw, PH, PW, N), a view."""
        view = patches(image, self.vertical, self.horizontal)
        covered = view[:, :, :, : self.rows * self.block[0], : self.columns * self.block[1]]
        return _by_block(covered, self.rows, self.columns, self.block)


def _two_shares(jobs: list[Tile]) -> tuple[list[Tile], list[Tile]]:
    """The first half of all windows and the second; a tile in the middle is cut."""
    left = sum(tile.windows for tile in jobs) // 2
    mine: list[Tile] = []
    for k, tile in enumerate(jobs):
        if tile.windows > left:
            one, other = _cut_tile(tile, left)
            return [*mine, *one], [*other, *jobs[k + 1 :]]
        mine.append(tile)
        left -= tile.windows
    return mine, []


def _cut_tile(tile: Tile, windows: int) -> tuple[list[Tile], list[Tile]]:
    """The first so many windows of a tile, row by row, and the others."""
    rows, columns = divmod(windows, tile.right - tile.left)
    row, place = tile.top + rows, tile.left + columns
    one = [tile._replace(bottom=row), tile._replace(top=row, bottom=row + 1, right=place)]
    other = [tile._replace(top=row, bottom=row + 1, left=place), tile._replace(top=row + 1)]
    return [part for part in one if part.windows > 0], [part for part in other if part.windows > 0]


class Worker:
    """One thread's tiles, and its memory for them (bytes, `Geometry.scratch_bytes` of them)."""

    def __init__(self, where: Geometry, jobs: list[Tile], image: np.ndarray, memory: np.ndarray) -> None:
        self.where, self.jobs = where, jobs
        self.windows = where.windows(image)
        columns = where.most_columns(jobs)
        sizes = [n * columns * image.itemsize for n in (where.length + 1, where.filters)]
        self._columns = memory[: sizes[0]].view(image.dtype)
        self._values = memory[sizes[0] : sum(sizes)].view(image.dtype)
        self._mask = memory[sum(sizes) :].view(np.bool_)

    def columns(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Room for the tile's columns, and where they are copied from: (C, KH, KW, ...), the rest in the order of windows."""
        part = self.in_order(tile.of(self.windows))
        return self._columns[: part.size].reshape(part.shape), part

    def with_ones(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns of a convolution without groups with a row more, (1, C * KH * KW + 1, M), and that row, to be
        filled with ones.

        The product with it sums over the windows, which makes the bias's gradient on the way.
        """
        count = columns.size // self.where.length
        matrix = self._columns[: columns.size + count].reshape(1, self.where.length + 1, count)
        return matrix, matrix[0, -1]

    def in_order(self, windows: np.ndarray) -> np.ndarray:
        """(C, KH, KW, ph, pw, R, Q, N) with the axes behind the kernel's in the order of a tile's windows."""
        return windows.transpose(0, 1, 2, *(3 + axis for axis in self.where.order))

    def grouped(self, columns: np.ndarray) -> np.ndarray:
        """(C, KH, KW, ...) -> (groups, C/groups * KH * KW, the rest)."""
        return columns.reshape(self.where.groups, self.where.length // self.where.groups, -1)

    def mask(self, tile: Tile) -> np.ndarray:
        """Room for booleans (F, R, Q, N)."""
        shape = (self.where.filters, *tile.shape, self.where.batch)
        return self._mask[: math.prod(shape)].reshape(shape)

    def values(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Room for the convolution's output in a tile, (F, M), and the same by place of the block, (F, ph, pw, R, Q, N)."""
        where = self.where
        shape = (*where.block, *tile.shape, where.batch)
        matrix = self._values[: where.filters * math.prod(shape)].reshape(where.filters, -1)
        stored = matrix.reshape(where.filters, *(shape[axis] for axis in where.order))
        back = np.argsort(where.order)
        return matrix, stored.transpose(0, *(1 + axis for axis in back))

    def matrices(self, matrix: np.ndarray) -> np.ndarray:
        """(F, ...) -> (groups, F/groups, the rest)."""
        groups = self.where.groups
        return matrix.reshape(groups, self.where.filters // groups, -1)


def players(values: np.ndarray) -> list[np.ndarray]:
    """(F, ph, pw, R, Q, N) as one array (F, R, Q, N) for each place of the block, row by row."""
    return [values[:, i, j] for i in range(values.shape[1]) for j in range(values.shape[2])]


def forward(
    worker: Worker, w: np.ndarray, b: np.ndarray | None, relu: bool, won: np.ndarray | None, result: np.ndarray
) -> list[Call]:
    """Fill in the worker's tiles of `result` (F, PH, PW, N).

    Where the way back needs it also those of `won` (ph * pw, F, PH, PW, N): which place of its block won, unless relu
    let nothing pass.
    """
    weights = worker.matrices(w)
    calls: list[Call] = []
    for tile in worker.jobs:
        (matrix, values), columns = worker.values(tile), worker.columns(tile)
        calls.append(partial(np.copyto, *columns))
        calls += times_columns(weights, worker.grouped(columns[0]), worker.matrices(matrix))
        hits = None if won is None else list(tile.of(won))
        calls += finished(players(values), b, relu, hits, worker.mask(tile), tile.of(result))
    return calls


def finished(
    values: list[np.ndarray],
    b: np.ndarray | None,
    relu: bool,
    hits: list[np.ndarray] | None,
    alive: np.ndarray,
    target: np.ndarray,
) -> list[Call]:
    """Write into `target` the largest of the values (..., F, R, Q, N) at each place of a block, with the bias and relu.

    Which of them won, unless relu let nothing pass, goes to `hits`, if given; `alive` is room for such booleans.
    """
    best = values[0]
    calls = largest(values) if hits is None else largest_and_won(values, hits, alive)
    if b is not None:
        calls.append(partial(np.add, best, b[:, None, None, None], out=best if relu else target))
    if relu:
        zeros = np.zeros(best.shape[-2:], best.dtype)  # NumPy is slower with a number in place of an array
        calls.append(partial(np.maximum, best, zeros, out=target))
    elif b is None:
        calls.append(partial(np.copyto, target, best))
    if relu and hits is not None:
        calls.append(partial(np.greater, target, 0, out=alive if len(hits) > 1 else hits[0]))
        if len(hits) > 1:
            calls += [partial(np.logical_and, hit, alive, out=hit) for hit in hits]
    return calls


class Gradients:
    """What one worker's tiles add to the gradients of weights and bias; the bias's stand behind the weights'."""

    def __init__(self, w: np.ndarray, where: Geometry) -> None:
        self.where = where
        extra = where.groups == 1
        self.sums = np.zeros((where.groups, where.filters // where.groups, where.length // where.groups + extra), w.dtype)
        self.w = self.sums[:, :, : where.length // where.groups]
        self.b = self.sums[0, :, -1] if extra else np.zeros(where.filters, w.dtype)

    def add(self, worker: Worker, matrix: np.ndarray, columns: np.ndarray) -> list[Call]:
        """Add what a tile with this cotangent (F, M) and these columns contributes."""
        if self.where.groups == 1:
            widened, ones = worker.with_ones(columns)
            return [partial(ones.fill, 1), *add_times_transposed(matrix[None], widened, self.sums)]
        share = np.empty_like(self.b)
        calls: list[Call] = [partial(np.add.reduce, matrix, axis=1, out=share), partial(np.add, self.b, share, out=self.b)]
        return calls + add_times_transposed(worker.matrices(matrix), worker.grouped(columns), self.w)


def backward(
    worker: Worker,
    g: np.ndarray,
    won: np.ndarray | None,
    gradients: Gradients,
    cotangent: np.ndarray | None,
    scattered: tuple[np.ndarray, np.ndarray] | None,
) -> list[Call]:
    """From the cotangent `g` (F, PH, PW, N) of the result to the gradients, over the worker's tiles.

    Args:
        won: what `forward` left, or None if nothing follows the convolution and its bias.
        cotangent: where the cotangent of the convolution's output is wanted, (F, ph, pw, PH, PW, N), or None.
        scattered: the weights, and a framed image (C, H, W, N) that the worker's share of the images' cotangent is wanted in;
            or None.
    """
    sums = None if scattered is None else worker.where.windows(scattered[1])
    calls: list[Call] = [partial(gradients.sums.fill, 0), partial(gradients.b.fill, 0)]
    if scattered is not None:
        calls.append(partial(scattered[1].fill, 0))
    for tile in worker.jobs:
        (matrix, values), columns = worker.values(tile), worker.columns(tile)
        if won is None:
            calls.append(partial(np.copyto, values[:, 0, 0], tile.of(g)))
        else:
            calls += to_winners(tile.of(g), list(tile.of(won)), players(values))
        calls.append(partial(np.copyto, *columns))
        calls += gradients.add(worker, matrix, columns[0])
        if cotangent is not None:
            calls.append(partial(np.copyto, tile.of(cotangent), values))
        if sums is not None:
            back = worker.matrices(scattered[0]).transpose(0, 2, 1)
            calls += times_columns(back, worker.matrices(matrix), worker.grouped(columns[0]))
            calls += scatter_add(columns[0], worker.in_order(tile.of(sums)))
    return calls


def scatter_add(columns: np.ndarray, windows: np.ndarray) -> list[Call]:
    """Add columns (C, KH, KW, ...) to where they were gathered from, one place of the kernel after the other."""
    places = [windows[:, i, j] for i in range(columns.shape[1]) for j in range(columns.shape[2])]
    shares = [columns[:, i, j] for i in range(columns.shape[1]) for j in range(columns.shape[2])]
    return [partial(np.add, place, share, out=place) for place, share in zip(places, shares, strict=True)]


def turn(w: np.ndarray, groups: int, out: np.ndarray) -> None:
    """The filters that lead back from the output to the images, for a stride of 1:
    (F, C/groups, KH, KW) -> (C, F/groups, KH, KW)."""
    filters, channels, *kernel = w.shape
    swapped = w[:, :, ::-1, ::-1].reshape(groups, filters // groups, channels, *kernel).transpose(0, 2, 1, 3, 4)
    np.copyto(out.reshape(swapped.shape), swapped)
