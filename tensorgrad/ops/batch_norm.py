"""Batch normalization: with the statistics of the batch, as in training, or with statistics given, as in use.

Below, z = (x - m) r is x normalized: m is the mean of its channel, v the variance and r = 1 / sqrt(v + eps). For a cotangent y
of z, that of x is r (y - <y> - z <y z>), <> being the mean over a channel: m and v depend on x, and this accounts for it.
"""

from __future__ import annotations

import math
from typing import Literal, overload

from numpy.typing import ArrayLike

from ..kernels import batch_norm as kernels
from ..primitive import primitive
from ..tensor import Tensor, ndim_of, shape_of
from .elementwise import sqrt
from .precision import computed
from .reduction import sum_
from .shape import reshape_

# -- on arrays ---------------------------------------------------------------------------------------------------------


def _refuse_misfits(x, **vectors):
    if ndim_of(x) < 2:
        raise ValueError(f"x must have shape (N, C, ...), with the channels second, and has {ndim_of(x)} axes; reshape it")
    for name, vector in vectors.items():
        if vector is not None and shape_of(vector) != x.shape[1:2]:
            raise ValueError(
                f"{name} must have one number for each of the {x.shape[1]} channels: "
                f"shape ({x.shape[1]},), not {shape_of(vector)}"
            )


# -- with the statistics of the batch ------------------------------------------------------------------------------------


@primitive(extras=("mean", "var"), flops=lambda out_shape, *shapes: 7 * math.prod(out_shape))
def batch_norm_(x, weight=None, bias=None, *, eps):
    """(N, C, ...), (C,), (C,) -> weight z + bias, and m and v, which are figures to look at, without gradient."""
    _refuse_misfits(x, weight=weight, bias=bias)
    if x.size == x.shape[1] > 0:
        raise ValueError("a channel of one number has no variance to divide by; give a larger batch, or mean and var")
    return computed(kernels.normalize, (x, weight, bias), eps)


@primitive(flops=lambda out_shape, *shapes: 9 * math.prod(out_shape))
def batch_norm_input_grad(y, x, weight, mean, var, *, eps, out=None):
    """weight r (y - <y> - z <y z>). The mean and variance are those of x, given so that they need not be found again."""
    return computed(kernels.input_grad, (y, x, weight), mean, var, eps, out=out)


@primitive(flops=lambda out_shape, y_shape, *shapes: 3 * math.prod(y_shape))
def batch_norm_weight_grad(y, x, mean, var, *, eps):
    """The sum of y z over each channel, (C,). The mean and variance are those of x."""
    return computed(kernels.weight_grad, (y, x), mean, var, eps)


batch_norm_.vjp(
    x=lambda g, x, weight, mean, var, eps: batch_norm_input_grad(g, x, weight, mean, var, eps=eps),
    weight=lambda g, x, mean, var, eps: batch_norm_weight_grad(g, x, mean, var, eps=eps),
    bias=lambda g: sum_(g, axis=_all_but_channels(g)),
)


def _all_but_channels(x):
    return (0, *range(2, x.ndim))


def _average(x):
    """The mean of each channel, with an axis of size 1 for each one gone; 0 where there is nothing to take it of."""
    axes = _all_but_channels(x)
    return sum_(x, axis=axes, keepdims=True) / max(1, math.prod(x.shape[a] for a in axes))


def _input_cotangent_of_input_grad(g, y, x, weight, mean, var, eps):
    """-weight r (z <g p(y)> + p(y) <g z> + p(g) <y z>) where weight p(y) is what the primitive returns."""
    z = batch_norm_(x, None, None, eps=eps)
    py, pg = (batch_norm_input_grad(a, x, None, mean, var, eps=eps) for a in (y, g))
    slope = z * _average(g * py) + py * _average(g * z) + pg * _average(y * z)
    centred = x - _average(x)
    scale = -1 / sqrt(_average(centred * centred) + eps)
    return slope * (scale if weight is None else scale * reshape_(weight, shape=scale.shape))


batch_norm_input_grad.vjp(
    y=lambda g, x, weight, mean, var, eps: batch_norm_input_grad(g, x, weight, mean, var, eps=eps),
    x=_input_cotangent_of_input_grad,
    weight=lambda g, y, x, mean, var, eps: sum_(
        g * batch_norm_input_grad(y, x, None, mean, var, eps=eps), axis=_all_but_channels(x)
    ),
)
batch_norm_weight_grad.vjp(
    y=lambda g, x, eps: batch_norm_(x, g, None, eps=eps),
    x=lambda g, y, x, mean, var, eps: batch_norm_input_grad(y, x, g, mean, var, eps=eps),
)


# -- with statistics given -----------------------------------------------------------------------------------------------


@primitive(flops=lambda out_shape, *shapes: 2 * math.prod(out_shape))
def scale_channels(x, scale, shift=None, *, out=None):
    """(N, C, ...), (C,), (C,) -> scale x + shift"""
    _refuse_misfits(x, scale=scale, shift=shift)
    return computed(kernels.scale_and_shift, (x, scale, shift), out=out)


scale_channels.vjp(
    x=lambda g, scale: scale_channels(g, scale),
    scale=lambda g, x: sum_(g * x, axis=_all_but_channels(x)),
    shift=lambda g: sum_(g, axis=_all_but_channels(g)),
)


# -- the public function -------------------------------------------------------------------------------------------------

Vector = ArrayLike | Tensor | None


@overload
def batch_norm(
    x: ArrayLike | Tensor,
    weight: Vector = None,
    bias: Vector = None,
    *,
    mean: Vector = None,
    var: Vector = None,
    eps: float = 1e-5,
    with_statistics: Literal[False] = False,
) -> Tensor: ...


@overload
def batch_norm(
    x: ArrayLike | Tensor,
    weight: Vector = None,
    bias: Vector = None,
    *,
    eps: float = 1e-5,
    with_statistics: Literal[True],
) -> tuple[Tensor, Tensor, Tensor]: ...


def batch_norm(
    x: ArrayLike | Tensor,
    weight: Vector = None,
    bias: Vector = None,
    *,
    mean: Vector = None,
    var: Vector = None,
    eps: float = 1e-5,
    with_statistics: bool = False,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """weight (x - mean) / sqrt(var + eps) + bias for each channel, with its mean and variance over the batch or those given.

    Ioffe and Szegedy, Batch normalization, 2015, https://arxiv.org/abs/1502.03167.

    Args:
        x: floats (N, C, ...), such as images (N, C, H, W): the statistics are taken over all axes but the second.
        weight, bias: (C,), or None for 1 and 0.
        mean, var: (C,), both or none. As in training, without them, those of the batch are taken, and the gradient accounts
            for their dependence on x; the variance is the biased one, over n numbers and not n - 1.
        eps: added to the variance, so that a constant channel becomes 0.
        with_statistics: return the mean and the variance of the batch too, (C,) each, which have no gradient.

    Returns:
        an array like x, stored with the batch innermost; or (that, mean, var).

    Raises:
        ValueError: shapes do not fit, there is a single number in each channel of a batch, or only one of mean and var.
        TypeError: x has no floats.

    >>> import tensorgrad as tg
    >>> tg.batch_norm([[1.0], [3.0]])
    Tensor([[-0.999995],
            [ 0.999995]], dtype=float32)
    >>> tg.batch_norm([[1.0], [3.0]], mean=[1.0], var=[4.0], eps=0)
    Tensor([[0.],
            [1.]], dtype=float32)
    """
    if not eps >= 0:
        raise ValueError(f"batch_norm: eps must be at least 0, and is {eps}")
    if (mean is None) != (var is None):
        raise ValueError("batch_norm: mean and var go together; give both, or none to take those of the batch")
    x = x if isinstance(x, Tensor) else Tensor(x)
    if mean is None:
        out, *statistics = batch_norm_.outputs(x, weight, bias, eps=float(eps))
        return (out, *statistics) if with_statistics else out
    if with_statistics:
        raise ValueError("batch_norm: with_statistics returns those of the batch, but mean and var are given; leave them out")
    scale = 1 / sqrt((var if isinstance(var, Tensor) else Tensor(var)) + eps)
    scale = scale if weight is None else scale * weight
    shift = -scale * mean
    return scale_channels(x, scale, shift if bias is None else shift + bias)
