"""Softmax and its logarithm."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.sums import total
from ..kernels.underflow import harmless
from ..primitive import primitive
from ..tensor import Tensor, ndim_of
from .axes import normalized_axis
from .elementwise import exp
from .precision import in_wider_floats
from .reduction import sum_


def shifted(x: np.ndarray, axis: int) -> np.ndarray:
    """x less its greatest element along the axis, so that its exponential neither overflows nor vanishes altogether."""
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    return x - np.maximum.reduce(x, axis=axis, keepdims=True, initial=np.finfo(x.dtype).min)


@primitive(flops=lambda out_shape, x_shape: 5 * math.prod(x_shape))
def softmax_(x, *, axis):
    """exp(x) over its sum along the axis."""
    return in_wider_floats(_softmax, x, axis)


@harmless
def _softmax(x, axis):
    e = np.exp(shifted(x, axis))
    e /= total(e, (axis,), keepdims=True)
    return e


softmax_.vjp(x=lambda g, out, axis: out * (g - sum_(g * out, axis=(axis,), keepdims=True)))


@primitive(flops=lambda out_shape, x_shape: 5 * math.prod(x_shape))
def log_softmax_(x, *, axis):
    """x less its logsumexp along the axis."""
    return in_wider_floats(_log_softmax, x, axis)


@harmless
def _log_softmax(x, axis):
    z = shifted(x, axis)
    if z.size:
        z -= np.log(total(np.exp(z), (axis,), keepdims=True))
    return z


log_softmax_.vjp(x=lambda g, out, axis: g - exp(out) * sum_(g, axis=(axis,), keepdims=True))


def softmax(x: ArrayLike | Tensor, axis: int = -1) -> Tensor:
    """exp(x) over its sum along an axis: positive numbers that sum to 1, for any x without overflow.

    >>> import tensorgrad as tg
    >>> tg.softmax([[0.0, 0.0], [1000.0, 0.0]])
    Tensor([[0.5, 0.5],
            [1. , 0. ]], dtype=float32)
    """
    return softmax_(x, axis=normalized_axis("softmax", axis, ndim_of(x)))


def log_softmax(x: ArrayLike | Tensor, axis: int = -1) -> Tensor:
    """The logarithm of `softmax`, accurate also where that is close to 0 or 1.

    >>> import tensorgrad as tg
    >>> tg.log_softmax([1000.0, 0.0])
    Tensor([    0., -1000.], dtype=float32)
    """
    return log_softmax_(x, axis=normalized_axis("log_softmax", axis, ndim_of(x)))
