"""The four operations and powers, elementwise with NumPy's broadcasting."""

from __future__ import annotations

import numpy as np

from ..primitive import primitive


@primitive(elementwise=True)
def add(x, y, *, out=None):
    """x + y.

    >>> import tensorgrad as tg
    >>> tg.add([1.0, 2.0], 10)
    Tensor([11., 12.], dtype=float32)
    """
    return np.add(x, y, out=out)


add.vjp(x=lambda g: g, y=lambda g: g)


@primitive(elementwise=True)
def subtract(x, y, *, out=None):
    """x - y."""
    return np.subtract(x, y, out=out)


subtract.vjp(x=lambda g: g, y=lambda g: negative(g))


@primitive(elementwise=True)
def multiply(x, y, *, out=None):
    """x * y."""
    return np.multiply(x, y, out=out)


multiply.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x)


@primitive(elementwise=True)
def divide(x, y, *, out=None):
    """x / y."""
    return np.divide(x, y, out=out)


divide.vjp(x=lambda g, y: g / y, y=lambda g, y, out: -g * out / y)


@primitive(elementwise=True)
def negative(x, *, out=None):
    """-x."""
    return np.negative(x, out=out)


negative.vjp(x=lambda g: -g)


@primitive(elementwise=True)
def positive(x, *, out=None):
    """+x: the same values in an array of their own."""
    return np.positive(x, out=out)


positive.vjp(x=lambda g: g)
