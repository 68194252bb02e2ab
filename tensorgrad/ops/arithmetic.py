"""The four operations and powers, elementwise with NumPy's broadcasting."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive
from ..stand_in import StandIn
from ..tensor import Tensor, as_operand
from .comparison import equal, greater_equal, where_
from .elementwise import log


@primitive(elementwise=True, ufunc=np.add)
def add(x, y, *, out=None):
    """x + y.

    >>> import tensorgrad as tg
    >>> tg.add([1.0, 2.0], 10)
    Tensor([11., 12.], dtype=float32)
    """
    return np.add(x, y, out=out)


add.vjp(x=lambda g: g, y=lambda g: g)


@primitive(elementwise=True, ufunc=np.subtract)
def subtract(x, y, *, out=None):
    """x - y."""
    return np.subtract(x, y, out=out)


subtract.vjp(x=lambda g: g, y=lambda g: negative(g))


@primitive(elementwise=True, ufunc=np.multiply)
def multiply(x, y, *, out=None):
    """x * y."""
    return np.multiply(x, y, out=out)


multiply.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x)


@primitive(elementwise=True, ufunc=np.divide)
def divide(x, y, *, out=None):
    """x / y."""
    return np.divide(x, y, out=out)


divide.vjp(x=lambda g, y: g / y, y=lambda g, y, out: -g * out / y)


@primitive(elementwise=True, ufunc=np.negative)
def negative(x, *, out=None):
    """-x."""
    return np.negative(x, out=out)


negative.vjp(x=lambda g: -g)


@primitive(elementwise=True, ufunc=np.positive)
def positive(x, *, out=None):
    """+x: the same values in an array of their own."""
    return np.positive(x, out=out)


positive.vjp(x=lambda g: g)


@primitive(elementwise=True)
def nth_power(x, *, exponent, out=None):
    """x to the power of a number: what `power` calls for one, since its rule is simpler."""
    if out is not None:
        return np.power(x, exponent, out=out)
    return x**exponent  # unlike np.power, quick for squares, roots and reciprocals


def _slope(x, exponent):
    """The derivative of x to the power of a number: of x**0 it is 0 everywhere, even at 0, where 1/x is infinite."""
    if exponent == 2:
        return x * 2
    return nth_power(x, exponent=exponent - 1 if exponent else 0) * exponent


nth_power.vjp(x=lambda g, x, exponent: g * _slope(x, exponent))


@primitive(elementwise=True, ufunc=np.power)
def power_(x, y, *, out=None):
    """x to the power of y."""
    return np.power(x, y, out=out)


def _base_cotangent(g, x, y):
    """g y x**(y-1): 0 at 0**0, as the derivative of x**0 = 1 is."""
    both_zero = equal(x, 0) * equal(y, 0)
    return g * y * power_(x, where_(both_zero, 1, y) - 1)


def _exponent_cotangent(g, x, y, out):
    """g x**y log(x): 0 at x = 0 with y >= 0, where the power itself is flat; nan for negative x."""
    flat = equal(x, 0) * greater_equal(y, 0)
    return g * out * log(where_(flat, 1, x))


power_.vjp(x=_base_cotangent, y=_exponent_cotangent)


def power(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Tensor:
    """x to the power of y, elementwise.

    The derivative of x**0 is 0 also at x = 0. With respect to y it is 0 where x = 0 and y >= 0, and nan for negative x.

    >>> import tensorgrad as tg
    >>> tg.power([1.0, 2.0, 3.0], 2)
    Tensor([1., 4., 9.], dtype=float32)
    """
    exponent = as_operand(y) if not isinstance(y, Tensor) and type(y) is not StandIn else y
    if type(exponent) is not StandIn and isinstance(exponent, int | float):
        return nth_power(x, exponent=exponent)
    return power_(x, y)
