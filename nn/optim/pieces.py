"""Elementwise updates in pieces that stay in the processor's cache while all their operations run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

PIECE = 1 << 16
"""Elements of a piece: few enough for several arrays' pieces to fit in cache, enough to outweigh the calls."""


def in_pieces(
    step: Callable[..., None],
    *inputs: np.ndarray,
    results: int = 1,
    scratch: int = 0,
    out: Sequence[np.ndarray] | None = None,
) -> Sequence[np.ndarray]:
    """Run an elementwise `step` over arrays of one shape, piece by piece, and return its results.

    The results have the shape, dtype and memory order of the first input. Inputs in another order are copied first.

    Args:
        step: is called with a piece of each input, then of each result, to be written, then with scratch space.
        inputs: the arrays.
        results: number of arrays that the step writes.
        scratch: number of further pieces that it writes in on the way.
        out: arrays to write the results into. They may be inputs, so a step writes a result only once it has read that input.
    """
    first = inputs[0]
    if out is not None:
        return _into(out, step, inputs, scratch)
    if first.size <= PIECE and all(x.flags.c_contiguous for x in inputs):
        made = [np.empty(first.shape, first.dtype) for _ in range(results + scratch)]
        step(*inputs, *made)
        return made[:results]
    axes = _memory_order(first)
    flat = [np.ascontiguousarray(x.transpose(axes)).reshape(-1) for x in inputs]
    made = [np.empty(first.size, first.dtype) for _ in range(results)]
    space = [np.empty(min(PIECE, first.size), first.dtype) for _ in range(scratch)]
    for start in range(0, first.size, PIECE):
        piece = slice(start, start + PIECE)
        count = min(PIECE, first.size - start)
        step(*(x[piece] for x in flat), *(x[piece] for x in made), *(x[:count] for x in space))
    stored = [first.shape[axis] for axis in axes]
    return [x.reshape(stored).transpose(np.argsort(axes)) for x in made]


def _into(
    out: Sequence[np.ndarray], step: Callable[..., None], inputs: Sequence[np.ndarray], scratch: int
) -> Sequence[np.ndarray]:
    """Run the step piece by piece where its results shall lie."""
    axes = _memory_order(inputs[0])
    stored = [x.transpose(axes) for x in out]
    if not all(x.flags.c_contiguous for x in stored):
        for x, made in zip(out, in_pieces(step, *inputs, results=len(out), scratch=scratch), strict=True):
            np.copyto(x, made)
        return out
    flat = [np.ascontiguousarray(x.transpose(axes)).reshape(-1) for x in inputs] + [x.reshape(-1) for x in stored]
    size = inputs[0].size
    space = [np.empty(min(PIECE, size), inputs[0].dtype) for _ in range(scratch)]
    for start in range(0, size, PIECE):
        count = min(PIECE, size - start)
        step(*(x[start : start + PIECE] for x in flat), *(x[:count] for x in space))
    return out


def _memory_order(array: np.ndarray) -> tuple[int, ...]:
    """The axes from the one with the largest step in memory to the one with the smallest."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
