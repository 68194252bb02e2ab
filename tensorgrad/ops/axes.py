"""Axes as users give them, brought to one form."""

from __future__ import annotations

import operator
from collections.abc import Sequence

Axis = int | Sequence[int] | None


def normalized_axis(name: str, axis: int, ndim: int) -> int:
    """One axis, counted from the front. `name` is the function that asks, for its error message."""
    index = operator.index(axis)
    if not -ndim <= index < ndim:
        raise ValueError(f"{name}: axis {axis} is out of range for {ndim} axes; choose one from {-ndim} to {ndim - 1}")
    return index % ndim


def normalized_axes(name: str, axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes, each once, counted from the front and in rising order; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    axes = tuple(sorted(normalized_axis(name, a, ndim) for a in given))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: an axis stands twice in axis={axis}; name each axis once")
    return axes
