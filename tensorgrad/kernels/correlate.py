"""Convolution as deep learning means it, cross-correlation, and its two transposes: matrix products over tiles of windows.

Each is linear in both of its arguments: the output in images and weights, the images' cotangent in the output's and the
weights, the weights' cotangent in the output's and the images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from .columns import TILE_BYTES, Columns, Tile, scatter_add, tiles
from .layout import batch_innermost, delivered, storage
from .products import times_columns, times_transposed
from .threads import at_once, blas_on_one_thread, halves
from .windows import Axis

LARGE = 1 << 25
"""Multiply-adds from which on a convolution is large enough for two threads. BLAS takes those of its own for smaller ones."""


def correlate(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    vertical: Axis,
    horizontal: Axis,
    groups: int,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """(N, C, H, W), (F, C/groups, KH, KW), (F,) or None -> (N, F, OH, OW)"""
    result = storage(out, (len(w), vertical.count, horizontal.count, len(x)), x.dtype)  # (F, OH, OW, N)
    weights = w.reshape(groups, len(w) // groups, -1)  # (groups, F/groups, C/groups * KH * KW)
    bias = None if b is None else b.reshape(groups, -1, 1)
    many = result[0].size > weights.shape[2]  # windows, so that a copy of the weights is worth it
    columns = Columns(x, vertical, horizontal, groups, ones=bias is not None and many)
    if columns.ones:
        weights, bias = np.concatenate([weights, bias], axis=2), None

    def work(share: list[Tile], memory: np.ndarray) -> None:
        for tile in share:
            part = _matrices(tile.of(result), groups)  # (groups, F/groups, R * Q * N)
            times_columns(weights, columns.of(tile, memory), part)
            if bias is not None:
                np.add(part, bias, out=part)

    _in_shares(work, columns, result.size * weights.shape[2])
    return delivered(result, out)


def input_grad(
    y: np.ndarray,
    w: np.ndarray,
    shape: tuple[int, ...],
    vertical: Axis,
    horizontal: Axis,
    groups: int,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The transpose of `correlate` in its images: (N, F, OH, OW), (F, C/groups, KH, KW) -> (N, C, H, W)"""
    if _gathers(y.shape, shape, vertical, horizontal):
        turned = w[:, :, ::-1, ::-1].reshape(groups, -1, *w.shape[1:]).transpose(0, 2, 1, 3, 4)
        turned = turned.reshape(shape[1], -1, *w.shape[2:])  # (C, F/groups, KH, KW)
        return correlate(y, turned, None, vertical.reversed(), horizontal.reversed(), groups, out)
    cotangent = batch_innermost(y)  # (F, OH, OW, N)
    batch, channels = shape[:2]
    image = storage(out, (channels, *shape[2:], batch), y.dtype)
    image[...] = 0
    weights = w.reshape(groups, len(w) // groups, -1).transpose(0, 2, 1)  # (groups, C/groups * KH * KW, F/groups)
    length = channels * vertical.kernel * horizontal.kernel
    jobs = tiles(vertical, horizontal, length, batch, y.itemsize, nbytes=2 * TILE_BYTES)  # longer runs to add
    memory = np.empty(length * batch * max(tile.windows for tile in jobs), y.dtype)
    for tile in jobs:
        part = _matrices(tile.of(cotangent), groups)  # (groups, F/groups, R * Q * N)
        columns = memory[: length * part.shape[2]].reshape(groups, length // groups, -1)
        times_columns(weights, part, columns)
        scatter_add(
            columns.reshape(channels, vertical.kernel, horizontal.kernel, *tile.shape, batch), vertical, horizontal, tile, image
        )
    return delivered(image, out)


def _gathers(y_shape: tuple[int, ...], shape: tuple[int, ...], vertical: Axis, horizontal: Axis) -> bool:
    """Whether the images' cotangent is found faster by gathering from the output's than by scattering to it.

    With a stride of 1 it is a correlation too: of the output's cotangent, well padded, with the filters turned around.
    To add a number to its place takes about twice as long as to copy it.
    """
    return vertical.stride == horizontal.stride == 1 and np.prod(shape[2:]) * y_shape[1] <= 2 * np.prod(y_shape[2:]) * shape[1]


def weight_grad(
    y: np.ndarray, x: np.ndarray, shape: tuple[int, ...], vertical: Axis, horizontal: Axis, groups: int
) -> np.ndarray:
    """The transpose of `correlate` in its weights: (N, F, OH, OW), (N, C, H, W) -> (F, C/groups, KH, KW)"""
    cotangent = batch_innermost(y)  # (F, OH, OW, N)
    columns = Columns(x, vertical, horizontal, groups, least=1024)  # each tile adds to all of the result: take few
    sums: dict[Tile, np.ndarray] = {}  # by the first tile of a share

    def work(share: list[Tile], memory: np.ndarray) -> None:
        total = None
        for tile in share:
            part = times_transposed(_matrices(tile.of(cotangent), groups), columns.of(tile, memory))
            total = part if total is None else np.add(total, part, out=total)
        sums[share[0]] = total

    _in_shares(work, columns, cotangent.size * math.prod(shape[1:]))
    total = np.add(*sums.values()) if len(sums) > 1 else sums[columns.jobs[0]]
    return np.ascontiguousarray(total).reshape(shape)


def _in_shares(work: Callable[[list[Tile], np.ndarray], None], columns: Columns, products: int) -> None:
    """Work on all tiles, if there are so many multiply-adds on two threads."""
    if products < LARGE:
        work(columns.jobs, columns.memory_for(columns.jobs))
        return
    shares = [partial(work, share, columns.memory_for(share)) for share in halves(columns.jobs)]
    blas_on_one_thread(partial(at_once, shares))


def _matrices(part: np.ndarray, groups: int) -> np.ndarray:
    """(C, R, Q, N) -> (groups, C/groups, R * Q * N), a view."""
    return part.reshape(groups, len(part) // groups, -1)
