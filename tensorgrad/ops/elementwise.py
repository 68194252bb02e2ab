"""Functions of each element on its own."""

from __future__ import annotations

import math

import numpy as np

from ..kernels.select import positive
from ..kernels.special import error_function
from ..kernels.underflow import harmless
from ..primitive import primitive
from .comparison import gate


@primitive(elementwise=True, ufunc=np.exp)
def exp(x, *, out=None):
    """e to the power of x.

    >>> import tensorgrad as tg
    >>> tg.exp([0.0, 1.0]).numpy().round(3)
    array([1.   , 2.718], dtype=float32)
    """
    return np.exp(x, out=out)


exp.vjp(x=lambda g, out: g * out)


@primitive(elementwise=True, ufunc=np.log)
def log(x, *, out=None):
    """The natural logarithm.

    >>> import tensorgrad as tg
    >>> tg.log([1.0, 10.0]).numpy().round(3)
    array([0.   , 2.303], dtype=float32)
    """
    return np.log(x, out=out)


log.vjp(x=lambda g, x: g / x)


@primitive(elementwise=True, ufunc=np.sqrt)
def sqrt(x, *, out=None):
    """The square root. Its derivative at 0 is infinite.

    >>> import tensorgrad as tg
    >>> tg.sqrt([4.0, 9.0])
    Tensor([2., 3.], dtype=float32)
    """
    return np.sqrt(x, out=out)


sqrt.vjp(x=lambda g, out: g / (out * 2))


@primitive(elementwise=True, ufunc=np.abs)
def abs(x, *, out=None):
    """The absolute value. Its derivative at 0 is taken to be 0.

    >>> import tensorgrad as tg
    >>> tg.abs([-2.0, 3.0])
    Tensor([2., 3.], dtype=float32)
    """
    return np.abs(x, out=out)


abs.vjp(x=lambda g, x: g * sign(x))  # |x|'(0) = 0, as sign(0) is


@primitive(elementwise=True, ufunc=np.sign)
def sign(x, *, out=None):
    """-1, 0 or 1. It is piecewise constant: it has no rule, and gradients stop here.

    >>> import tensorgrad as tg
    >>> tg.sign([-2.0, 0.0, 3.0])
    Tensor([-1.,  0.,  1.], dtype=float32)
    """
    return np.sign(x, out=out)


sign.vjp(x=None)  # constant between jumps


@primitive(elementwise=True, ufunc=np.sin)
def sin(x, *, out=None):
    """The sine of an angle in radians.

    >>> import tensorgrad as tg
    >>> tg.sin([0.0, 0.5]).numpy().round(3)
    array([0.   , 0.479], dtype=float32)
    """
    return np.sin(x, out=out)


sin.vjp(x=lambda g, x: g * cos(x))


@primitive(elementwise=True, ufunc=np.cos)
def cos(x, *, out=None):
    """The cosine of an angle in radians.

    >>> import tensorgrad as tg
    >>> tg.cos([0.0, 0.5]).numpy().round(3)
    array([1.   , 0.878], dtype=float32)
    """
    return np.cos(x, out=out)


cos.vjp(x=lambda g, x: -(g * sin(x)))


@primitive(elementwise=True, ufunc=np.tanh)
def tanh(x, *, out=None):
    """The hyperbolic tangent.

    >>> import tensorgrad as tg
    >>> tg.tanh([0.0, 1.0]).numpy().round(3)
    array([0.   , 0.762], dtype=float32)
    """
    return np.tanh(x, out=out)


tanh.vjp(x=lambda g, out: g * (1 - out * out))


@primitive(elementwise=True)
@harmless
def sigmoid(x, *, out=None):
    """1 / (1 + exp(-x)), for any x without overflow.

    >>> import tensorgrad as tg
    >>> tg.sigmoid([-1000.0, 0.0, 1000.0])
    Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    e = np.exp(np.abs(x) * -1.0)  # at most 1
    return np.divide(np.maximum(e, np.greater_equal(x, 0)), 1 + e, out=out)  # e / (1 + e) for negative x, else 1 / (1 + e)


sigmoid.vjp(x=lambda g, out: g * (out * (1 - out)))


@primitive(elementwise=True)
def relu(x, *, out=None):
    """x where it is positive, else 0; nan stays nan. Its derivative at 0 is taken to be 0.

    >>> import tensorgrad as tg
    >>> tg.relu([-1.0, 2.0])
    Tensor([0., 2.], dtype=float32)
    """
    return positive(x, out)


relu.vjp(x=lambda g, out: gate(g, out))  # relu'(0) = 0, relu'(nan) = 1


@primitive(elementwise=True)
@harmless
def softplus(x, *, out=None):
    """log(1 + exp(x)), a smooth relu, for any x without overflow.

    >>> import tensorgrad as tg
    >>> tg.softplus([-1000.0, 0.0, 10.0]).numpy().round(3)
    array([ 0.   ,  0.693, 10.   ], dtype=float32)
    """
    return np.add(np.maximum(x, 0), np.log1p(np.exp(np.abs(x) * -1.0)), out=out)


softplus.vjp(x=lambda g, x: g * sigmoid(x))


@primitive(elementwise=True)
@harmless
def silu(x, *, out=None):
    """x * sigmoid(x), also known as swish.

    >>> import tensorgrad as tg
    >>> tg.silu([-1.0, 0.0, 1.0]).numpy().round(3)
    array([-0.269,  0.   ,  0.731], dtype=float32)
    """
    return np.multiply(x, sigmoid.kernel(x), out=out)


def _silu_slope(x, out):
    s = sigmoid(x)
    return s + out * (1 - s)


silu.vjp(x=lambda g, x, out: g * _silu_slope(x, out))


@primitive(elementwise=True)
@harmless
def erf(x, *, out=None):
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, to about the precision of its dtype.

    >>> import tensorgrad as tg
    >>> tg.erf([0.0, 0.5]).numpy().round(3)
    array([0.  , 0.52], dtype=float32)
    """
    return error_function(x, out)


erf.vjp(x=lambda g, x: g * (exp(-(x * x)) * (2 / math.sqrt(math.pi))))


@primitive(elementwise=True)
@harmless
def gelu(x, *, out=None):
    """x times the probability that a standard normal number is less than x (Hendrycks and Gimpel, 2016), exactly.

    >>> import tensorgrad as tg
    >>> tg.gelu([-1.0, 0.0, 1.0]).numpy().round(3)
    array([-0.159,  0.   ,  0.841], dtype=float32)
    """
    return np.multiply(x, 0.5 + 0.5 * error_function(x / math.sqrt(2)), out=out)


def _gelu_slope(x):
    below = 0.5 + 0.5 * erf(x / math.sqrt(2))
    density = exp(x * x * -0.5) / math.sqrt(2 * math.pi)
    return below + x * density


gelu.vjp(x=lambda g, x: g * _gelu_slope(x))
