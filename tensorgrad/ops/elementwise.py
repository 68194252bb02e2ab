"""Functions of each element, comparisons, and choices between elements."""

from __future__ import annotations

import numpy as np

from ..primitive import primitive


@primitive(elementwise=True)
def exp(x, *, out=None):
    """e to the power of x."""
    return np.exp(x, out=out)


exp.vjp(x=lambda g, out: g * out)


@primitive(elementwise=True)
def log(x, *, out=None):
    """The natural logarithm."""
    return np.log(x, out=out)


log.vjp(x=lambda g, x: g / x)


@primitive(elementwise=True)
def relu(x, *, out=None):
    """x where it is positive, else 0."""
    return np.maximum(x, 0, out=out)


relu.vjp(x=lambda g, out: gate(g, out))  # relu'(0) = 0


@primitive(elementwise=True)
def gate(x, by, *, out=None):
    """x where `by` is positive, else 0; linear in x."""
    return np.multiply(x, np.greater(by, 0), out=out)


gate.vjp(x=lambda g, by: gate(g, by))


@primitive(elementwise=True)
def where(condition, x, y):
    """x where the condition holds, else y."""
    return np.where(condition, x, y)


where.vjp(x=lambda g, condition: where(condition, g, 0.0), y=lambda g, condition: where(condition, 0.0, g))

# Comparisons are piecewise constant: they have no rules, and gradients stop there.


@primitive(elementwise=True)
def greater(x, y, *, out=None):
    """x > y, as booleans."""
    return np.greater(x, y, out=out)


@primitive(elementwise=True)
def greater_equal(x, y, *, out=None):
    """x >= y, as booleans."""
    return np.greater_equal(x, y, out=out)


@primitive(elementwise=True)
def less(x, y, *, out=None):
    """x < y, as booleans."""
    return np.less(x, y, out=out)


@primitive(elementwise=True)
def less_equal(x, y, *, out=None):
    """x <= y, as booleans."""
    return np.less_equal(x, y, out=out)


@primitive(elementwise=True)
def equal(x, y, *, out=None):
    """x == y, as booleans."""
    return np.equal(x, y, out=out)


@primitive(elementwise=True)
def not_equal(x, y, *, out=None):
    """x != y, as booleans."""
    return np.not_equal(x, y, out=out)
