"""Elementwise updates as NumPy calls prepared once, on pieces that stay in the processor's cache while all their
operations run.

A replayed step makes the same calls again and again; an update outside of one prepares them and makes them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Call = Callable[[], Any]

PIECE = 1 << 16
"""Elements of a piece: few enough for several arrays' pieces to fit in cache, enough to outweigh the calls."""


def run(
    prepare: Callable[..., list[Call]], arrays: Sequence[np.ndarray], *numbers: np.ndarray, **settings: Any
) -> list[np.ndarray]:
    """Prepare an update piece by piece, and make its calls.

    Args:
        prepare: takes a piece of each array, then the numbers, then `out=` with a piece of each result, and settings.
        arrays: of one shape; the results are like the first.
        numbers: arrays without axes.
        settings: `results` is how many results there are; the others are passed on.
    """
    made = [np.empty_like(arrays[0]) for _ in range(settings.pop("results"))]
    for parts in pieces(*arrays, *made):
        given, out = parts[: len(arrays)], parts[len(arrays) :]
        for call in prepare(*given, *numbers, out=out, **settings):
            call()
    return made


def pieces(*arrays: np.ndarray) -> Iterator[Sequence[np.ndarray]]:
    """The arrays cut into flat pieces along memory. One in another order than the first is copied, so it is only to be read."""
    first = arrays[0]
    if first.size <= PIECE:
        yield arrays
        return
    order = sorted(range(first.ndim), key=lambda axis: -abs(first.strides[axis]))
    flat = [np.ascontiguousarray(x.transpose(order)).reshape(-1) for x in arrays]
    for start in range(0, first.size, PIECE):
        yield [x[start : start + PIECE] for x in flat]
