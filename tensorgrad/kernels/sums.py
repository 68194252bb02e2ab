"""Sums of floats that stay accurate, over any axes and in any memory order.

NumPy sums pairwise along the axis that lies innermost in memory, and one after the other along all others: there
2**25 ones in float32 make 2**24. Here no sum is longer than `RUN` summands in a row before its parts are summed in turn.
Narrow rows are taken many at a time, which is also what makes them quick.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import numpy as np

from .halves import LARGE
from .layout import order_in_memory
from .threads import at_once

RUN = 128
"""How many summands are added one after the other; the rounding errors of so many are harmless."""

WIDTH = 8192
"""About how many elements a row has that is added at once: some that stay in the fastest cache."""


def total(x: np.ndarray, axes: tuple[int, ...], *, keepdims: bool = False) -> np.ndarray:
    """The sum over the axes given, in the dtype of x for floats, in NumPy's dtype for integers and booleans."""
    if x.dtype == np.float16:
        return total(x.astype(np.float32), axes, keepdims=keepdims).astype(np.float16)
    count = math.prod(x.shape[a] for a in axes)
    one_run = len(axes) == x.ndim and x.flags.forc
    if x.dtype.kind != "f" or count <= 2 * RUN or one_run or not x.size:
        return np.asarray(x.sum(axis=axes, keepdims=keepdims))
    order = order_in_memory(x)
    if order[0] in axes or x.shape[order[0]] < 2 or x.size < LARGE:
        result = _sum_in_memory_order(x, axes, order)
    else:
        result = _sum_in_halves(x, axes, order)
    return np.expand_dims(result, axes) if keepdims else result


def _sum_in_halves(x: np.ndarray, axes: tuple[int, ...], order: tuple[int, ...]) -> np.ndarray:
    """The sum, on two threads: cut along the axis that lies outermost in memory, which is kept."""
    rows = np.moveaxis(x, order[0], 0)
    parts = [np.moveaxis(half, 0, order[0]) for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :])]
    sums: list[Any] = [None, None]

    def work(k: int) -> None:
        sums[k] = _sum_in_memory_order(parts[k], axes, order)

    at_once([partial(work, 0), partial(work, 1)])
    return np.concatenate(sums, axis=sum(axis < order[0] for axis in range(x.ndim) if axis not in axes))


def _sum_in_memory_order(x: np.ndarray, axes: tuple[int, ...], order: tuple[int, ...]) -> np.ndarray:
    groups = [(summed, tuple(group)) for summed, group in itertools.groupby(order, key=lambda a: a in axes)]
    sums = x.transpose(order).reshape([math.prod(x.shape[a] for a in group) for _, group in groups])
    for place in reversed(range(len(groups))):
        if groups[place][0]:
            innermost = place == len(groups) - 1
            sums = np.add.reduce(sums, axis=place) if innermost else _sum_rows(sums, place)
    kept = [a for a in order if a not in axes]
    in_order = sorted(range(len(kept)), key=kept.__getitem__)
    return np.reshape(sums, [x.shape[a] for a in kept]).transpose(in_order)


def _sum_rows(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum over one axis, which does not lie innermost."""
    lead, count, rest = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    if count <= RUN:
        return np.add.reduce(x, axis=axis)
    together = max(1, min(WIDTH // math.prod(rest), count // RUN))
    whole = count - count % (RUN * together)
    blocks, left = np.split(x, [whole], axis=axis)
    blocks = blocks.reshape(*lead, whole // (RUN * together), RUN, together, *rest)
    parts = np.add.reduce(blocks, axis=axis + 1)
    sums = _sum_rows(parts.reshape(*lead, whole // RUN, *rest), axis)
    return sums + _sum_rows(left, axis) if left.size else sums
