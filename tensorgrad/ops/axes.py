"""Axes and sizes as users give them, brought to one form."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

Axis = int | Sequence[int] | None


def integer(name: str, what: str, value: Any) -> int:
    """An integer of any kind as a Python one. `name` is the function that asks, `what` the thing, for the error message."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {what} must be an integer, not {value!r}") from None


def integers(name: str, what: str, values: Any) -> tuple[int, ...]:
    """Several integers; a single one as a tuple of one."""
    several = isinstance(values, Sequence) and not isinstance(values, str)
    return tuple(integer(name, what, value) for value in (values if several else (values,)))


def normalized_axis(name: str, axis: int, ndim: int) -> int:
    """One axis, counted from the front."""
    index = integer(name, "an axis", axis)
    if not -ndim <= index < ndim:
        choice = f"choose one from {-ndim} to {ndim - 1}" if ndim else "a single number has none"
        raise ValueError(f"{name}: axis {axis} is out of range for {ndim} axes; {choice}")
    return index % ndim


def normalized_axes(name: str, axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes, each once, counted from the front and in rising order; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(sorted([normalized_axis(name, a, ndim) for a in integers(name, "an axis", axis)]))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: an axis stands twice in axis={axis}; name each axis once")
    return axes
