"""Comparisons, and choices between elements that follow from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.select import kept
from ..primitive import primitive
from ..tensor import Number, Tensor, as_operand

# -- comparisons are piecewise constant: they have no rules, and gradients stop there ----------------------------------


@primitive(elementwise=True, ufunc=np.greater)
def greater(x, y, *, out=None):
    """x > y, as booleans.

    >>> import tensorgrad as tg
    >>> tg.greater([1.0, 2.0, 3.0], 2)
    Tensor([False, False,  True], dtype=bool)
    """
    return np.greater(x, y, out=out)


@primitive(elementwise=True, ufunc=np.greater_equal)
def greater_equal(x, y, *, out=None):
    """x >= y, as booleans."""
    return np.greater_equal(x, y, out=out)


@primitive(elementwise=True, ufunc=np.less)
def less(x, y, *, out=None):
    """x < y, as booleans."""
    return np.less(x, y, out=out)


@primitive(elementwise=True, ufunc=np.less_equal)
def less_equal(x, y, *, out=None):
    """x <= y, as booleans."""
    return np.less_equal(x, y, out=out)


@primitive(elementwise=True, ufunc=np.equal)
def equal(x, y, *, out=None):
    """x == y, as booleans."""
    return np.equal(x, y, out=out)


@primitive(elementwise=True, ufunc=np.not_equal)
def not_equal(x, y, *, out=None):
    """x != y, as booleans."""
    return np.not_equal(x, y, out=out)


# -- choices -------------------------------------------------------------------------------------------------------------


@primitive(elementwise=True)
def gate(x, by, *, out=None):
    """x where `by` is positive, true or nan, else 0. Linear in x."""
    if not isinstance(x, np.ndarray):
        x = np.asarray(x, np.result_type(x, by))
    is_open = by if by.dtype == np.bool_ else np.logical_not(np.less_equal(by, 0))
    return kept(x, is_open, out)


gate.vjp(x=lambda g, by: gate(g, by), by=None)


@primitive(elementwise=True)
def where_(condition, x, y):
    """x where the condition, an array of booleans, holds, else y."""
    chosen = np.where(condition, x, y)
    if chosen.dtype == np.float64 and isinstance(x, int | float) and isinstance(y, int | float):
        return chosen.astype(np.float32)  # numbers alone are float32
    return chosen


where_.vjp(x=lambda g, condition: gate(g, condition), y=lambda g, condition: gate(g, equal(condition, False)))


def where(condition: ArrayLike | Tensor, x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Tensor:
    """x where the condition holds, else y; all three broadcast. Numbers other than 0 hold, as in NumPy.

    The gradient goes to the element chosen. A function that is infinite or nan for the elements not chosen still
    gives nan there: in where(x > 0, sqrt(x), 0) the slope of the root at x = 0 is 0 times infinite. Choose before you
    apply it, as in sqrt(where(x > 0, x, 1)).

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([-1.0, 2.0])
    >>> tg.where(x > 0, x, 0.1 * x)
    Tensor([-0.1,  2. ], dtype=float32)
    """
    if not isinstance(condition, Tensor):
        condition = Tensor(condition)
    return where_(condition if condition.dtype == np.bool_ else not_equal(condition, 0), x, y)


@primitive(elementwise=True)
def share(x, mine, other):
    """x where mine > other, half of it where they are equal, else 0: what a maximum owes to one side. Linear in x."""
    if not isinstance(x, np.ndarray):
        x = np.asarray(x, np.result_type(x, mine, other))
    owed = kept(x, np.logical_not(np.less(mine, other)))
    ties = np.equal(mine, other)
    return owed * (1 - np.multiply(ties, 0.5, dtype=owed.dtype)) if ties.any() else owed


share.vjp(x=lambda g, mine, other: share(g, mine, other), mine=None, other=None)


@primitive(elementwise=True, ufunc=np.maximum)
def maximum(x, y, *, out=None):
    """The greater of x and y; nan if one of them is. Where they are equal, each gets half of the gradient.

    >>> import tensorgrad as tg
    >>> tg.maximum([1.0, 5.0], [4.0, 2.0])
    Tensor([4., 5.], dtype=float32)
    """
    return np.maximum(x, y, out=out)


maximum.vjp(x=lambda g, x, y: share(g, x, y), y=lambda g, x, y: share(g, y, x))


@primitive(elementwise=True, ufunc=np.minimum)
def minimum(x, y, *, out=None):
    """The lesser of x and y; nan if one of them is. Where they are equal, each gets half of the gradient."""
    return np.minimum(x, y, out=out)


minimum.vjp(x=lambda g, x, y: share(g, y, x), y=lambda g, x, y: share(g, x, y))


@primitive(elementwise=True)
def clip_(x, *, low, high, out=None):
    """x, raised to `low` and lowered to `high`, where these are numbers."""
    return np.clip(x, low, high, out=out)


def _inside(x, low, high):
    if low is None or high is None:
        return x <= high if low is None else x >= low
    return (x >= low) * (x <= high)


clip_.vjp(x=lambda g, x, low, high: gate(g, _inside(x, low, high)))  # 1 at the bounds themselves


def clip(x: ArrayLike | Tensor, low: Number | None = None, high: Number | None = None) -> Tensor:
    """x, raised to `low` where it is below, and lowered to `high` where it is above. Gradients pass from low to high inclusive.

    Raises:
        TypeError: the bounds are not numbers, or both are missing.

    >>> import tensorgrad as tg
    >>> tg.clip([-2.0, 0.5, 3.0], 0, 1)
    Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    bounds: dict[str, Any] = {"low": as_operand(low), "high": as_operand(high)}
    if low is None and high is None:
        raise TypeError("clip: both bounds are missing; give low, high or both")
    if any(not isinstance(bound, int | float | None) for bound in bounds.values()):
        raise TypeError("clip: low and high must be numbers; for bounds that are arrays or tensors use maximum and minimum")
    return clip_(x, **bounds)
