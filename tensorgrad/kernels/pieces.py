"""Elementwise updates as NumPy calls prepared once, on pieces that stay in the processor's cache while all operations run.

A replayed step makes the same calls again and again; an update outside of one prepares them and makes them once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .layout import order_in_memory
from .threads import Call, at_once, halves, in_turn

PIECE = 1 << 16
"""Elements of a piece: few enough for several arrays' pieces to fit in cache, enough to outweigh the calls."""

TOGETHER = 8
"""So many pieces are prepared at a time: their calls last much longer than it takes to wake a thread for half of them."""


def in_pieces(
    prepare: Callable[..., list[Call]], arrays: Sequence[np.ndarray], *numbers: np.ndarray, results: int = 1
) -> list[np.ndarray]:
    """Make the calls that an elementwise update consists of, on one piece after another, and on two threads where there are
    many pieces.

    Args:
        prepare: takes a piece of each array, then the numbers, then `out=` with a piece of each result, and returns calls
            without arguments.
        arrays: of one shape.
        numbers: arrays without axes.
        results: how many results there are.

    Returns:
        the results, arrays like the first.

    >>> from functools import partial
    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> def prepare(x, y, out):
    ...     return [partial(np.multiply, x, y, out=out[0]), partial(np.add, out[0], 1, out=out[0])]
    >>> tg.in_pieces(prepare, [np.array([1.0, 2.0]), np.array([10.0, 100.0])])
    [array([ 11., 201.])]
    """
    made = [np.empty_like(arrays[0]) for _ in range(results)]
    if arrays[0].size <= PIECE:
        for call in prepare(*arrays, *numbers, out=made):
            call()
        return made
    remaining = _cut(*arrays, *made)
    while parts := list(itertools.islice(remaining, TOGETHER)):
        calls = [prepare(*part[: len(arrays)], *numbers, out=part[len(arrays) :]) for part in parts]
        at_once([in_turn(list(itertools.chain(*share))) for share in halves(calls, len(calls) == TOGETHER)])
    return made


def _cut(*arrays: np.ndarray) -> Iterator[Sequence[np.ndarray]]:
    """The arrays cut into flat pieces along memory. One in another order than the first is copied, so it is only to be read."""
    order = order_in_memory(arrays[0])
    flat = [np.ascontiguousarray(x.transpose(order)).reshape(-1) for x in arrays]
    for start in range(0, arrays[0].size, PIECE):
        yield [x[start : start + PIECE] for x in flat]
