"""Settings of windows as their primitives want them: pairs of integers, (height, width)."""

from __future__ import annotations

from typing import Any

import numpy as np

IntOrPair = int | tuple[int, int]
Pair = tuple[int, int]

LEAST = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1, "output_size": 1}
"""The smallest value of each setting."""


def pairs(op: str, **settings: Any) -> dict[str, Pair]:
    """Each setting as a pair of integers: one integer stands for both. Refuses what is too small, naming `op`."""
    return {name: _pair(op, name, value) for name, value in settings.items()}


def _pair(op: str, name: str, value: Any) -> Pair:
    numbers = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(numbers) != 2 or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in numbers):
        raise TypeError(f"{op}: {name} must be an integer or a pair of integers (height, width), not {value!r}")
    if min(numbers) < LEAST[name]:
        raise ValueError(f"{op}: {name} must be at least {LEAST[name]}, and is {value!r}")
    return int(numbers[0]), int(numbers[1])
