"""What `fused_convolution` does, by Winograd's method: a convolution and what follows it over pieces of tiles, and back.

A piece is some tiles of 4x4 outputs, all of one extent: those at the lower and the right edge, of which a part only is wanted,
are pieces of their own. The numbers of all tiles at one place lie together, so that every pass runs over long rows.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from .columns import Tile
from .fused_convolution import Frame, Geometry, finished, turn
from .layout import batch_innermost, delivered, storage
from .outliers import Usual
from .threads import Call, at_once, blas_on_one_thread, in_turn
from .windows import Axis, Pair
from .winners import to_winners
from .winograd import POINTS, REACH, SIDE, SUM, filters_gradient, mapped, maps, suits, transform_filters

PIECE_BYTES = 3 << 19
"""About how much memory a piece takes: what it is made of and what it is made into."""


class Piece(NamedTuple):
    """Tiles that are of one extent: how many rows and columns of each are wanted."""

    tile: Tile  # counts tiles, not windows
    rows: int
    columns: int


class Grid(Geometry):
    """A geometry for which `winograd.suits`, covered by tiles."""

    def frame_shape(self) -> tuple[int, int, int, int]:
        """Of the framed image (C, H, W, N), to which the last tiles may add a few rows and columns."""
        down, across = (-(-n // SIDE) * SIDE + REACH - SIDE for n in self._covered())
        height, width = (axis.size + 2 * axis.padding for axis in self.axes)
        return self.channels, max(down, height), max(across, width), self.batch

    def _covered(self) -> tuple[int, int]:
        """Rows and columns of the convolution's output that are wanted."""
        return self.rows * self.block[0], self.columns * self.block[1]

    def shares(self, itemsize: int) -> list[list[Piece]]:
        """All pieces, for each thread about as many tiles."""
        most = max(1, PIECE_BYTES // (2 * POINTS * max(self.channels, self.filters) * itemsize * self.batch))
        pieces = [
            Piece(Tile(*rows, *columns), height, width)
            for rows, height in _even_cut(self._covered()[0], most)
            for columns, width in _even_cut(self._covered()[1], most)
        ]
        total, seen, shares = sum(piece.tile.windows for piece in pieces), 0, ([], [])
        for piece in pieces:
            shares[2 * seen >= total].append(piece)
            seen += piece.tile.windows
        return [share for share in shares if share]

    def most_columns(self, jobs: list[Piece]) -> int:
        return max((piece.tile.windows for piece in jobs), default=0) * self.batch

    def scratch_bytes(self, itemsize: int) -> int:
        columns = max(map(self.most_columns, self.shares(itemsize)), default=0)
        return (3 * POINTS * max(self.channels, self.filters) * itemsize + SIDE * SIDE * self.filters) * columns


def geometry(shape: tuple[int, ...], w_shape: tuple[int, ...], along: tuple[Axis, Axis], groups: int, block: Pair, dtype: str):
    """The way to convolve images of that shape by such filters, and to pool what comes out."""
    kind = Grid if suits(shape, w_shape, *along, groups, dtype, block) else Geometry
    return kind(shape, w_shape, *along, groups, block)


def _even_cut(wanted: int, most: int) -> list[tuple[Pair, int]]:
    """So many rows (or columns) of outputs as pieces: from which tile to before which, and how many rows of each."""
    whole, rest = divmod(wanted, SIDE)
    number = -(-whole // most)
    pieces = [((k * whole // number, (k + 1) * whole // number), SIDE) for k in range(number)]
    return pieces + [((whole, whole + 1), rest)] * (rest > 0)


class PieceWorker:
    """One thread's pieces, and its memory for them (bytes, `Grid.scratch_bytes` of them)."""

    def __init__(self, where: Grid, jobs: list[Piece], image: np.ndarray, memory: np.ndarray) -> None:
        self.where, self.jobs, self.image = where, jobs, image
        room = POINTS * max(where.channels, where.filters) * where.most_columns(jobs) * image.itemsize
        self._rooms = [memory[k * room : (k + 1) * room].view(image.dtype) for k in range(3)]
        self._mask = memory[3 * room :].view(np.bool_)

    def room(self, number: int, *shape: int) -> np.ndarray:
        return self._rooms[number][: math.prod(shape)].reshape(shape)

    def columns(self, piece: Piece) -> int:
        return piece.tile.windows * self.where.batch

    def tiles(self, piece: Piece) -> np.ndarray:
        """The piece's tiles of the image, (6, 6, C, R, Q, N), a view."""
        return _tiled(self.image, piece.tile, (SIDE, SIDE), (REACH, REACH))

    def windows(self, piece: Piece, i: int, j: int) -> np.ndarray:
        """The window of output (i, j) in each of the piece's tiles, (3, 3, C, R, Q, N), a view."""
        return self.tiles(piece)[i : i + 3, j : j + 3]

    def inputs(self, piece: Piece) -> tuple[list[Call], np.ndarray]:
        """Carry the piece's tiles of the image over: into room 1, through room 0, as (36, C, M)."""
        count = self.where.channels * self.columns(piece)
        windows = self.tiles(piece)
        gathered, carried = self.room(0, *windows.shape), self.room(1, POINTS, count)
        calls = [partial(np.copyto, gathered, windows), *mapped(maps()[0], gathered.reshape(POINTS, count), carried)]
        return calls, carried.reshape(POINTS, self.where.channels, -1)

    def outputs(self, piece: Piece, number: int) -> np.ndarray:
        """Room for the piece's tiles of the convolution's output, (4, 4, F, R, Q, N)."""
        return self.room(number, SIDE, SIDE, self.where.filters, *piece.tile.shape, self.where.batch)

    def players(self, piece: Piece, values: np.ndarray) -> list[np.ndarray]:
        """Outputs of tiles (4, 4, F, R, Q, N) as one array (rows, columns, F, R, Q, N) for each place of the pooling block."""
        down, across = self.where.block
        wanted = values[: piece.rows, : piece.columns]
        return [wanted[i::down, j::across] for i in range(down) for j in range(across)]

    def pooled(self, piece: Piece, array: np.ndarray) -> np.ndarray:
        """The piece's part of an array (F, PH, PW, N) of pooled outputs, (rows, columns, F, R, Q, N), a view."""
        down, across = self.where.block
        return _tiled(array, piece.tile, (SIDE // down, SIDE // across), (piece.rows // down, piece.columns // across))

    def mask(self, like: np.ndarray) -> np.ndarray:
        return self._mask[: like.size].reshape(like.shape)


def _tiled(array: np.ndarray, tile: Tile, steps: Pair, extent: Pair) -> np.ndarray:
    """Tiles of an array (C, H, W, N), so many steps apart and of such an extent: (rows, columns, C, R, Q, N), a view."""
    part = array[:, tile.top * steps[0] :, tile.left * steps[1] :]
    channel, row, place, sample = array.strides
    shape = (*extent, len(array), *tile.shape, array.shape[3])
    strides = (row, place, channel, row * steps[0], place * steps[1], sample)
    return np.lib.stride_tricks.as_strided(part, shape, strides)


class Filters:
    """The filters (F, C, 3, 3) of a convolution, carried over, and how large its outputs usually are."""

    def __init__(self, w: np.ndarray, image: np.ndarray) -> None:
        self.w = w
        self.carried = np.empty((POINTS, *w.shape[:2]), w.dtype)  # (36, F, C)
        self.usual = Usual(image, w)

    def prepare(self) -> None:
        """What comes first in each run."""
        transform_filters(self.w, self.carried)
        self.usual.measure()


def forward(
    worker: PieceWorker, filters: Filters, b: np.ndarray | None, relu: bool, won: np.ndarray | None, result: np.ndarray
) -> list[Call]:
    """Fill in the worker's pieces of `result` and `won`, as `fused_convolution.forward` does."""
    calls: list[Call] = []
    for piece in worker.jobs:
        carry, tiles = worker.inputs(piece)
        products = worker.room(0, POINTS, worker.where.filters, worker.columns(piece))
        values = worker.outputs(piece, 1)
        calls += [*carry, partial(np.matmul, filters.carried, tiles, out=products)]
        calls += mapped(maps()[2], products.reshape(POINTS, -1), values.reshape(SIDE * SIDE, -1))
        calls.append(partial(_mend, worker, piece, filters, values))
        target = worker.pooled(piece, result)
        hits = None if won is None else [worker.pooled(piece, one) for one in won]
        calls += finished(worker.players(piece, values), b, relu, hits, worker.mask(target), target)
    return calls


def _mend(worker: PieceWorker, piece: Piece, filters: Filters, values: np.ndarray) -> None:
    """Compute a piece's outputs (4, 4, F, R, Q, N) again by plain products, where one of them is far beyond the usual."""
    if not filters.usual.exceeded(values):
        return
    weights = filters.w.transpose(0, 2, 3, 1).reshape(len(filters.w), -1)  # (F, 9 * C)
    for i, j in np.ndindex(SIDE, SIDE):
        windows = worker.windows(piece, i, j)  # (3, 3, C, R, Q, N)
        np.matmul(weights, windows.reshape(weights.shape[1], -1), out=values[i, j].reshape(len(weights), -1))


class Gradients:
    """What one worker's pieces add to the gradients of weights and bias: sums over tiles, carried over."""

    def __init__(self, where: Grid, dtype: np.dtype) -> None:
        self.sums = np.zeros((POINTS, where.filters, where.channels), dtype)
        self.b = np.zeros(where.filters, dtype)

    @property
    def w(self) -> np.ndarray:
        """(F, C, 3, 3)"""
        return filters_gradient(self.sums)


def backward(
    worker: PieceWorker, g: np.ndarray, won: np.ndarray | None, gradients: Gradients, cotangent: np.ndarray | None
) -> list[Call]:
    """From the cotangent `g` (F, PH, PW, N) of the result to the gradients, over the worker's pieces.

    A number far beyond the others leaves its rounding error in sums over all windows, where it does no harm.

    Args:
        won: what `forward` left, or None if nothing follows the convolution and its bias.
        cotangent: where the cotangent of the convolution's output is wanted, (F, OH, OW, N), or None.
    """
    filters = worker.where.filters
    share, share_of_b = np.empty_like(gradients.sums), np.empty_like(gradients.b)
    calls: list[Call] = [partial(gradients.sums.fill, 0), partial(gradients.b.fill, 0)]
    for piece in worker.jobs:
        carry, tiles = worker.inputs(piece)
        values = worker.outputs(piece, 0)
        carried = worker.room(2, POINTS, filters, worker.columns(piece))
        wanted, part = values[: piece.rows, : piece.columns], worker.pooled(piece, g)
        calls += carry
        if wanted.shape != values.shape:
            calls.append(partial(values.fill, 0))
        if won is None:
            calls.append(partial(np.copyto, wanted, part))
        else:
            calls += to_winners(part, [worker.pooled(piece, one) for one in won], worker.players(piece, values))
        if cotangent is not None:
            there = _tiled(cotangent, piece.tile, (SIDE, SIDE), wanted.shape[:2])
            calls.append(partial(np.copyto, there, wanted))
        calls += mapped(maps()[2].T, values.reshape(SIDE * SIDE, -1), carried.reshape(POINTS, -1))
        calls.append(partial(np.matmul, carried, tiles.transpose(0, 2, 1), out=share))
        calls.append(partial(np.add, gradients.sums, share, out=gradients.sums))
        calls.append(partial(np.add.reduce, carried[SUM], axis=1, out=share_of_b))
        calls.append(partial(np.add, gradients.b, share_of_b, out=gradients.b))
    return calls


# -- run at once -------------------------------------------------------------------------------------------------------


def correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, vertical: Axis, horizontal: Axis, out: np.ndarray | None = None
) -> np.ndarray:
    """(N, C, H, W), (F, C, 3, 3), (F,) or None -> (N, F, OH, OW), for what `winograd.suits`."""
    where = Grid(x.shape, w.shape, vertical, horizontal, 1, (1, 1))
    result = storage(out, (len(w), vertical.count, horizontal.count, len(x)), x.dtype)
    workers = _workers(where, x)
    filters = Filters(w, workers[0].image)
    shares = [in_turn(forward(worker, filters, b, False, None, result)) for worker in workers]
    blas_on_one_thread(in_turn([filters.prepare, partial(at_once, shares)]))
    return delivered(result, out)


def input_grad(
    y: np.ndarray, w: np.ndarray, shape: tuple[int, ...], vertical: Axis, horizontal: Axis, out: np.ndarray | None = None
) -> np.ndarray:
    """The transpose of `correlate` in its images: (N, F, OH, OW), (F, C, 3, 3) -> (N, C, H, W)"""
    turned = np.empty((shape[1], len(w), 3, 3), w.dtype)
    turn(w, 1, turned)
    return correlate(y, turned, None, vertical.reversed(), horizontal.reversed(), out)


def weight_grad(y: np.ndarray, x: np.ndarray, shape: tuple[int, ...], vertical: Axis, horizontal: Axis) -> np.ndarray:
    """The transpose of `correlate` in its weights: (N, F, OH, OW), (N, C, H, W) -> (F, C, 3, 3)"""
    where = Grid(x.shape, shape, vertical, horizontal, 1, (1, 1))
    cotangent, workers = batch_innermost(y), _workers(where, x)
    parts = [Gradients(where, x.dtype) for _ in workers]
    shares = [in_turn(backward(worker, cotangent, None, part, None)) for worker, part in zip(workers, parts, strict=True)]

    def work() -> np.ndarray:
        at_once(shares)
        return np.ascontiguousarray(np.sum([part.w for part in parts], axis=0))

    return blas_on_one_thread(work)


def _workers(where: Grid, x: np.ndarray) -> list[PieceWorker]:
    """One for each thread."""
    frame = Frame(np.zeros(where.frame_shape(), x.dtype), *where.axes)
    np.copyto(frame.inside, x.transpose(1, 2, 3, 0))
    nbytes = where.scratch_bytes(x.itemsize)
    return [PieceWorker(where, jobs, frame.image, np.empty(nbytes, np.uint8)) for jobs in where.shares(x.itemsize)]
