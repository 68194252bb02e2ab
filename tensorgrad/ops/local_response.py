"""Local response normalization, across neighbouring channels.

Below, s = k + a W(x^2) with a = alpha / size: W sums over windows of channels, and W' is its transpose. With c = 2 a beta,
y = x s^-beta, and the cotangent of x that belongs to y is y s^-beta - c x W'(y x s^(-beta - 1)).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..kernels import local_response as kernels
from ..primitive import primitive
from ..tensor import Tensor, ndim_of
from .arithmetic import nth_power
from .precision import computed

# -- primitives ----------------------------------------------------------------------------------------------------------


@primitive(flops=lambda out_shape, *shapes: 10 * math.prod(out_shape))
def local_response_norm_(x, *, size, alpha, beta, k, out=None):
    """(N, C, ...) -> x s^-beta"""
    if ndim_of(x) < 2:
        raise ValueError(f"x must have shape (N, C, ...), with the channels second, and has {ndim_of(x)} axes; reshape it")
    return computed(kernels.normalize, (x,), size, alpha, beta, k, out=out)


@primitive(flops=lambda out_shape, *shapes: 20 * math.prod(out_shape))
def local_response_norm_input_grad(y, x, *, size, alpha, beta, k, out=None):
    """y s^-beta - c x W'(y x s^(-beta - 1))"""
    return computed(kernels.input_grad, (y, x), size, alpha, beta, k, out=out)


@primitive(flops=lambda out_shape, *shapes: 5 * math.prod(out_shape))
def channel_window_sums(x, *, size, back=False, out=None):
    """(N, C, ...) -> W(x): each channel's sum with the size // 2 before it and the (size - 1) // 2 behind it; `back`: W'(x)."""
    return computed(kernels.window_sums, (x,), size, back, out=out)


# -- rules ---------------------------------------------------------------------------------------------------------------


def _scale(x, size, alpha, k):
    return channel_window_sums(x * x, size=size) * (alpha / size) + k


def _power(s, exponent):
    return nth_power(s, exponent=exponent)


def _output_cotangent(g, x, size, alpha, beta, k):
    """g s^-beta - c x s^(-beta - 1) W(g x)"""
    s = _scale(x, size, alpha, k)
    pull = channel_window_sums(g * x, size=size) * x * _power(s, -beta - 1)
    return g * _power(s, -beta) - pull * (2 * alpha * beta / size)


def _input_cotangent(g, y, x, size, alpha, beta, k):
    """-c (x W'(g y e) + g W'(y x e) + y e u - 2 a (beta + 1) x W'(u y x e / s)) with e = s^(-beta - 1) and u = W(g x)"""

    def back(a):
        return channel_window_sums(a, size=size, back=True)

    s = _scale(x, size, alpha, k)
    ye, u = y * _power(s, -beta - 1), channel_window_sums(g * x, size=size)
    twice = back(u * ye * x / s) * x * (2 * alpha / size * (beta + 1))
    return (x * back(g * ye) + g * back(ye * x) + ye * u - twice) * (-2 * alpha * beta / size)


local_response_norm_.vjp(x=lambda g, x, **settings: local_response_norm_input_grad(g, x, **settings))
local_response_norm_input_grad.vjp(y=_output_cotangent, x=_input_cotangent)
channel_window_sums.vjp(x=lambda g, size, back: channel_window_sums(g, size=size, back=not back))


# -- the public function -------------------------------------------------------------------------------------------------


def local_response_norm(x: ArrayLike | Tensor, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha / size * squares)^beta, the squares being summed over `size` neighbouring channels at the same place.

    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012, section 3.3.
    Their alpha is this one over size: they do not divide by it, PyTorch does.

    Args:
        x: floats (N, C, ...), such as images (N, C, H, W).
        size: how many channels: the channel itself, size // 2 before it and (size - 1) // 2 behind it, where there are any.
        alpha, beta, k: as in the formula.

    Returns:
        an array like x, stored with the batch innermost.

    Raises:
        ValueError: size is less than 1, or x has less than two axes.
        TypeError: x has no floats, or size is no integer.

    >>> import tensorgrad as tg
    >>> tg.local_response_norm([[3.0, 4.0]], 2, alpha=2.0, beta=0.5, k=0.0).numpy().round(3)  # 3 / 3 and 4 / 5
    array([[1. , 0.8]], dtype=float32)
    """
    if not isinstance(size, int | np.integer) or isinstance(size, bool):
        raise TypeError(f"local_response_norm: size must be an integer, not {size!r}")
    if size < 1:
        raise ValueError(f"local_response_norm: size must be at least 1, and is {size}")
    x = x if isinstance(x, Tensor) else Tensor(x)
    return local_response_norm_(x, size=int(size), alpha=float(alpha), beta=float(beta), k=float(k))
