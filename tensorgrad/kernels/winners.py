"""The largest of several arrays, element for element, and which of them it was; among equals the first.

Pairs are compared, then the winners of these, and so on. For each array the booleans are kept that say where it won,
so that a cotangent finds its way back to it by one multiplication.

The passes are given as calls without arguments, to be made later, and again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from .threads import Call


def largest(arrays: Sequence[np.ndarray]) -> list[Call]:
    """Leave the elementwise maximum in the first array. Others are overwritten."""
    return [partial(np.maximum, arrays[a], arrays[b], out=arrays[a]) for a, b in _matches(len(arrays))]


def largest_and_won(arrays: Sequence[np.ndarray], won: Sequence[np.ndarray], space: np.ndarray) -> list[Call]:
    """The same, and fill in for each array where it won. `space` is room for one more array of booleans."""
    calls: list[Call] = []
    sides = {k: [k] for k in range(len(arrays))}  # who fought on the way to each place
    for a, b in _matches(len(arrays)):
        alone = len(sides[b]) == 1
        second_won = won[b] if alone else space
        calls.append(partial(np.greater, arrays[b], arrays[a], out=second_won))
        calls.append(partial(np.maximum, arrays[a], arrays[b], out=arrays[a]))
        if not alone:
            calls += [partial(np.logical_and, won[k], second_won, out=won[k]) for k in sides[b]]
        if len(sides[a]) == 1:
            calls.append(partial(np.logical_not, second_won, out=won[a]))
        else:
            calls += [partial(np.greater, won[k], second_won, out=won[k]) for k in sides[a]]  # won before, and not lost now
        sides[a] += sides.pop(b)
    return calls


def _matches(count: int) -> list[tuple[int, int]]:
    """Who meets whom, in order; the winner takes the first one's place."""
    found, step = [], 1
    while step < count:
        found += [(k, k + step) for k in range(0, count - step, 2 * step)]
        step *= 2
    return found


def to_winners(g: np.ndarray, won: Sequence[np.ndarray], out: Sequence[np.ndarray]) -> list[Call]:
    """Fill each array of `out` with the elements of `g` where it won, and with 0 elsewhere.

    They are multiplied as the integers that share their bits, so that inf and nan stay with their winners.
    """
    bits = f"i{g.itemsize}"
    return [partial(np.multiply, g.view(bits), hits, out=target.view(bits)) for hits, target in zip(won, out, strict=True)]
