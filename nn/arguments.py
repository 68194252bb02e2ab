"""Checks of the arguments that layers are made with; every error names the layer, the argument and the cure."""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy as np

Pair = tuple[int, int]
Size = int | tuple[int, int]
"""An int for both directions, or a pair (vertical, horizontal)."""
Rng: TypeAlias = "np.random.Generator | int | None"  # in quotes, so that numpy.random is not imported before it is used
"""A generator, a seed, or None for a fresh generator without a seed."""


def whole(layer: str, name: str, value: Any, *, least: int = 1) -> int:
    """`value` as an int that is at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_) or number < least:
        raise ValueError(f"{layer}: {name} must be a whole number of at least {least}, not {value!r}")
    return number


def pair(layer: str, name: str, value: Any, *, least: int = 1) -> Pair:
    """An int, or a pair of them, as a pair (vertical, horizontal)."""
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{layer}: {name} must be an int or a pair of ints (vertical, horizontal), not {value!r}")
    return whole(layer, name, both[0], least=least), whole(layer, name, both[1], least=least)


def shown(size: Pair) -> str:
    """A pair as a user would write it: one number where both are the same."""
    return str(size[0]) if size[0] == size[1] else str(size)


def number(layer: str, name: str, value: Any, *, low: float = 0.0, high: float = np.inf) -> float:
    """`value` as a Python float within [low, high]."""
    if hasattr(value, "through"):  # an argument of a compiled function, which is recorded: replays check it too
        return value.through(_number, layer, name, value, low, high)
    return _number(layer, name, value, low, high)


def _number(layer: str, name: str, value: Any, low: float, high: float) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if isinstance(value, str) or not (low <= found <= high and np.isfinite(found)):
        span = f"of at least {low:g}" if high == np.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{layer}: {name} must be a number {span}, not {value!r}")
    return found


def generator(layer: str, rng: Rng) -> np.random.Generator:
    """The generator that `rng=` means."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{layer}: rng must be a numpy.random.Generator, a seed (an int of at least 0) or None, not {rng!r}"
        ) from error
