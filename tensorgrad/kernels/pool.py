"""The largest and the mean of each window, and their transposes, by one pass over the image for each position of the window.

A pass takes the same position of all windows: a strided view whose runs are as long as the batch at least.
The image is taken in blocks that stay in cache from pass to pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .halves import LARGE
from .layout import batch_innermost, delivered, storage
from .select import kept
from .threads import at_once, halves
from .windows import Axis

BLOCK_BYTES = 1 << 19
"""About how much memory the results of one block take."""

Block = tuple[slice, slice]
"""Channels and rows of results that are worked on at a time."""

Pass = tuple[int, tuple[slice, slice, slice], np.ndarray]
"""A position of the window: its number, the index of the windows that have it in the image, and the image there."""


def maximum(x: np.ndarray, vertical: Axis, horizontal: Axis, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(N, C, H, W) -> (N, C, OH, OW), and of each window which position won, counted row by row.

    The padding never wins. Among equals the first wins; among nans, which beat all numbers, the last one does.
    """
    image = batch_innermost(x)  # (C, H, W, N)
    shape = (len(image), vertical.count, horizontal.count, len(x))
    best = storage(out, shape, x.dtype)
    winners = np.empty(shape, np.min_scalar_type(vertical.kernel * horizontal.kernel - 1))
    first = (_first_inside(vertical)[:, None] * horizontal.kernel + _first_inside(horizontal)).astype(winners.dtype)  # (OH, OW)

    def work(share: list[Block], better: np.ndarray, number: np.ndarray) -> None:
        for channels, rows in share:
            champion, winner = best[channels, rows], winners[channels, rows]
            winner[...] = first[rows, :, None]
            passes = list(positions(image[channels], vertical, horizontal, rows))
            _run(champion, winner, passes, *(space[: champion.size].reshape(champion.shape) for space in (better, number)))
            if champion.size and np.isnan(np.max(champion)):
                _run_with_nans(champion, winner, passes)

    jobs = blocks(shape, x.itemsize)
    room = max((best[job].size for job in jobs), default=0)
    at_once(
        [partial(work, share, np.empty(room, bool), np.empty(room, winners.dtype)) for share in halves(jobs, x.size >= LARGE)]
    )
    return delivered(best, out), winners.transpose(3, 0, 1, 2)


def _first_inside(axis: Axis) -> np.ndarray:
    """For each window its first position that lies in the image, not in the padding."""
    outside = np.maximum(axis.padding - np.arange(axis.count) * axis.stride, 0)
    return np.minimum(-(-outside // axis.dilation), axis.kernel - 1)


def _lowest(dtype: np.dtype) -> Any:
    """What is larger than nothing else."""
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _run(champion: np.ndarray, winner: np.ndarray, passes: list[Pass], better: np.ndarray, number: np.ndarray) -> None:
    """The running maximum over the positions of the windows, and which of them it came from. Never hands over from a nan.

    `better` and `number` are room for booleans and winners.
    """
    hits = better.view(winner.dtype) if winner.itemsize == 1 else better  # as numbers, multiplied without conversion
    for k, windows, challenger in passes:
        best = champion[windows]
        if k == 0:
            if challenger.shape == champion.shape:
                np.copyto(champion, challenger)
                continue
            champion[...] = _lowest(champion.dtype)  # some windows begin in the padding
        np.greater(challenger, best, out=better[windows])
        np.multiply(hits[windows], winner.dtype.type(k), out=number[windows])
        np.maximum(winner[windows], number[windows], out=winner[windows])  # numbers rise from pass to pass
        np.maximum(best, challenger, out=best)


def _run_with_nans(champion: np.ndarray, winner: np.ndarray, passes: list[Pass]) -> None:
    """Again, for blocks in which a maximum is nan: the last nan of its window has won."""
    for k, windows, challenger in passes:
        winner[windows][np.isnan(challenger)] = k


def scatter_winners(
    y: np.ndarray, winners: np.ndarray, shape: tuple[int, ...], vertical: Axis, horizontal: Axis, out: np.ndarray | None = None
) -> np.ndarray:
    """(N, C, OH, OW) -> (N, C, H, W): each number at the place of its window's winner; the transpose of `gather_winners`."""
    cotangent, won = batch_innermost(y), batch_innermost(winners)
    image = storage(out, (shape[1], shape[2], shape[3], shape[0]), y.dtype)
    apart = vertical.apart and horizontal.apart
    if not (apart and vertical.covers and horizontal.covers):
        image[...] = 0

    def work(share: list[Block]) -> None:
        for channels, rows in share:
            part, winner = cotangent[channels, rows], won[channels, rows]
            for k, windows, target in positions(image[channels], vertical, horizontal, rows):
                if apart:
                    kept(part[windows], winner[windows] == k, out=target)
                else:
                    target += kept(part[windows], winner[windows] == k)

    jobs = blocks(cotangent.shape, y.itemsize)
    at_once([partial(work, share) for share in halves(jobs, apart and image.size >= LARGE)])
    return delivered(image, out)


def gather_winners(
    x: np.ndarray, winners: np.ndarray, vertical: Axis, horizontal: Axis, out: np.ndarray | None = None
) -> np.ndarray:
    """(N, C, H, W) -> (N, C, OH, OW): of each window the number at its winner's place."""
    image, won = batch_innermost(x), batch_innermost(winners)
    result = storage(out, won.shape, x.dtype)
    result[...] = 0
    for channels, rows in blocks(result.shape, x.itemsize):
        part, winner = result[channels, rows], won[channels, rows]
        for k, windows, source in positions(image[channels], vertical, horizontal, rows):
            part[windows] += kept(source, winner[windows] == k)
    return delivered(result, out)


def window_sums(x: np.ndarray, vertical: Axis, horizontal: Axis, out: np.ndarray | None = None) -> np.ndarray:
    """(N, C, H, W) -> (N, C, OH, OW): the sum over each window, first over its rows and then over its columns."""
    image = batch_innermost(x)  # (C, H, W, N)
    channels, _, width, batch = image.shape
    by_rows = np.zeros((channels, vertical.count, width, batch), x.dtype)
    for i in range(vertical.kernel):
        windows, source = vertical.inside(i)
        by_rows[:, windows] += image[:, source]
    result = storage(out, (channels, vertical.count, horizontal.count, batch), x.dtype)
    result[...] = 0
    for j in range(horizontal.kernel):
        windows, source = horizontal.inside(j)
        result[:, :, windows] += by_rows[:, :, source]
    return delivered(result, out)


def spread_sums(y: np.ndarray, vertical: Axis, horizontal: Axis, out: np.ndarray | None = None) -> np.ndarray:
    """(N, C, OH, OW) -> (N, C, H, W): each number added to all of its window; the transpose of `window_sums`."""
    cotangent = batch_innermost(y)  # (C, OH, OW, N)
    channels, _, _, batch = cotangent.shape
    by_rows = np.zeros((channels, vertical.count, horizontal.size, batch), y.dtype)
    for j in range(horizontal.kernel):
        windows, target = horizontal.inside(j)
        by_rows[:, :, target] += cotangent[:, :, windows]
    image = storage(out, (channels, vertical.size, horizontal.size, batch), y.dtype)
    image[...] = 0
    for i in range(vertical.kernel):
        windows, target = vertical.inside(i)
        image[:, target] += by_rows[:, windows]
    return delivered(image, out)


def blocks(shape: tuple[int, ...], itemsize: int) -> list[Block]:
    """Results (C, OH, OW, N) cut into blocks of whole channels, or of rows of one channel: independent jobs."""
    channels, rows, columns, batch = shape
    row_bytes = max(1, columns * batch * itemsize)
    if row_bytes * rows <= BLOCK_BYTES:
        some = max(1, BLOCK_BYTES // max(1, row_bytes * rows))
        return [(slice(c, min(c + some, channels)), slice(0, rows)) for c in range(0, channels, some)]
    some = max(1, BLOCK_BYTES // row_bytes)
    return [(slice(c, c + 1), slice(r, min(r + some, rows))) for c in range(channels) for r in range(0, rows, some)]


def positions(image: np.ndarray, vertical: Axis, horizontal: Axis, rows: slice) -> Iterator[Pass]:
    """A pass for each position of the window, over the windows in `rows`."""
    for i in range(vertical.kernel):
        down, from_rows = vertical.inside(i, rows.start, rows.stop)
        for j in range(horizontal.kernel):
            across, from_columns = horizontal.inside(j)
            yield i * horizontal.kernel + j, (slice(None), down, across), image[:, from_rows, from_columns]


def shares(vertical: Axis, horizontal: Axis, include_padding: bool, dtype: np.dtype) -> np.ndarray:
    """One over the count of numbers in each window, (OH, OW). What lies beyond the padding never counts."""
    counts = _covered(vertical, include_padding)[:, None] * _covered(horizontal, include_padding)
    return (1 / counts).astype(dtype)


def _covered(axis: Axis, include_padding: bool) -> np.ndarray:
    """How many places of the image, and of its padding, each window covers along an axis."""
    begin = np.arange(axis.count) * axis.stride - axis.padding
    end = np.minimum(begin + axis.kernel, axis.size + axis.padding)
    if not include_padding:
        begin, end = np.maximum(begin, 0), np.minimum(end, axis.size)
    return end - begin
