"""Sums, means, variances, extrema and products over axes.

All take `axis`, an integer or several (None means all axes), and `keepdims`, whether the axes reduced stay as axes of size 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.sums import total
from ..kernels.underflow import harmless
from ..primitive import primitive
from ..tensor import Tensor, dtype_of, ndim_of, shape_of
from .axes import Axis, normalized_axes
from .comparison import gate
from .elementwise import exp
from .precision import in_wider_floats
from .shape import astype, concatenate_, permute_, reshape_

# -- sums ----------------------------------------------------------------------------------------------------------------


@primitive
def sum_(x, *, axis, keepdims=False):
    """The sum over the axes, accurate in float32 for any number of summands."""
    return total(x, axis, keepdims=keepdims)


@primitive(view=True)
def spread(x, *, axis, shape):
    """x repeated to `shape` along these axes, which it lacks or has with size 1: the transpose of the sum over them."""
    kept = [1 if i in axis else n for i, n in enumerate(shape)]
    return np.broadcast_to(x.reshape(kept), shape)


sum_.vjp(x=lambda g, x_shape, axis: spread(g, axis=axis, shape=x_shape))
spread.vjp(x=lambda g, x_shape, axis: reshape_(sum_(g, axis=axis), shape=x_shape))


def sum(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes given, or over all.

    In float32 it is accurate to about 1e-6 of the sum of magnitudes for any number of summands, unlike NumPy's.

    >>> import tensorgrad as tg
    >>> tg.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([4., 6.], dtype=float32)
    """
    return sum_(x, axis=normalized_axes("sum", axis, ndim_of(x)), keepdims=bool(keepdims))


@primitive
def mean_(x, *, axis, keepdims=False):
    return in_wider_floats(_mean, x, axis, keepdims)


def _mean(x, axis, keepdims):
    return np.divide(total(x, axis, keepdims=keepdims), _count(x.shape, axis))


def _count(shape, axis):
    return math.prod(shape[a] for a in axis)


def _share(g, count):
    """g / count. A large count overflows in float16, and its reciprocal does not."""
    return g * (1 / count) if g.dtype == np.float16 and count else g / (count or 1)


mean_.vjp(x=lambda g, x_shape, axis: spread(_share(g, _count(x_shape, axis)), axis=axis, shape=x_shape))


def mean(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes given, or over all; nan where there is nothing to take it of.

    >>> import tensorgrad as tg
    >>> tg.mean([[1.0, 2.0], [3.0, 4.0]], axis=1, keepdims=True)
    Tensor([[1.5],
            [3.5]], dtype=float32)
    """
    return mean_(x, axis=normalized_axes("mean", axis, ndim_of(x)), keepdims=bool(keepdims))


# -- variances -----------------------------------------------------------------------------------------------------------


@primitive(flops=lambda out_shape, x_shape: 4 * math.prod(x_shape))
def var_(x, *, axis, keepdims=False, ddof=0):
    """The mean squared distance from the mean, n - ddof being the number divided by."""
    return in_wider_floats(_var, x, axis, keepdims, ddof)


@harmless
def _var(x, axis, keepdims, ddof):
    centred = x - _mean(x, axis, keepdims=True)
    return np.divide(total(centred * centred, axis, keepdims=keepdims), np.maximum(_count(x.shape, axis) - ddof, 0).item())


def _per_degree_of_freedom(x_shape, axis, ddof):
    """1 / (n - ddof), and nan where the variance itself is."""
    freedom = _count(x_shape, axis) - ddof
    return 1 / freedom if freedom > 0 else math.nan


def _centred(x, axis):
    return x - mean_(x, axis=axis, keepdims=True)


def _var_cotangent(g, x, axis, ddof):
    g = g * (2 * _per_degree_of_freedom(x.shape, axis, ddof))
    return spread(g, axis=axis, shape=x.shape) * _centred(x, axis)


var_.vjp(x=_var_cotangent)


def var(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False, *, ddof: int = 0) -> Tensor:
    """The variance over the axes given, or over all: of n values, the sum of squared distances from their mean over n - ddof.

    >>> import tensorgrad as tg
    >>> tg.var([1.0, 3.0]), tg.var([1.0, 3.0], ddof=1)
    (Tensor(1., dtype=float32), Tensor(2., dtype=float32))
    """
    return var_(x, axis=normalized_axes("var", axis, ndim_of(x)), keepdims=bool(keepdims), ddof=ddof)


@primitive(flops=lambda out_shape, x_shape: 4 * math.prod(x_shape))
def std_(x, *, axis, keepdims=False, ddof=0):
    """The square root of the variance."""
    return in_wider_floats(_std, x, axis, keepdims, ddof)


def _std(x, axis, keepdims, ddof):
    return np.sqrt(_var(x, axis, keepdims, ddof))


def _std_cotangent(g, x, out, axis, ddof):
    g = gate(g, out) / (out + (out == 0)) * _per_degree_of_freedom(x.shape, axis, ddof)
    return spread(g, axis=axis, shape=x.shape) * _centred(x, axis)


std_.vjp(x=_std_cotangent)  # 0 where the deviation is 0: the function has a kink there


def std(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False, *, ddof: int = 0) -> Tensor:
    """The standard deviation, the root of `var`. Where all values are equal its derivative is taken to be 0.

    >>> import tensorgrad as tg
    >>> tg.std([[1.0, 3.0], [5.0, 5.0]], axis=1)
    Tensor([1., 0.], dtype=float32)
    """
    return std_(x, axis=normalized_axes("std", axis, ndim_of(x)), keepdims=bool(keepdims), ddof=ddof)


# -- extrema -------------------------------------------------------------------------------------------------------------


@primitive
def max_(x, *, axis, keepdims=False):
    return np.max(x, axis=axis, keepdims=keepdims)


@primitive
def min_(x, *, axis, keepdims=False):
    return np.min(x, axis=axis, keepdims=keepdims)


@primitive
def attained(x, extremum, *, axis):
    """1/n for each of the n elements that equal the extremum over the axes, else 0. Piecewise constant, hence without rules."""
    kept = [1 if a in axis else n for a, n in enumerate(x.shape)]
    hits = np.equal(x, extremum.reshape(kept))
    return np.divide(hits, np.sum(hits, axis=axis, keepdims=True), dtype=x.dtype)


def _extremum_cotangent(g, x, out, axis):
    return spread(g, axis=axis, shape=x.shape) * attained(x, out, axis=axis)  # ties share evenly


attained.vjp(x=None, extremum=None)
max_.vjp(x=_extremum_cotangent)
min_.vjp(x=_extremum_cotangent)


def max(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The greatest element over the axes given, or over all. Where several are greatest, they share the gradient evenly.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([[2.0, 2.0], [2.0, 1.0]], requires_grad=True)
    >>> tg.max(x, axis=1).sum().backward()
    >>> x.grad
    Tensor([[0.5, 0.5],
            [1. , 0. ]], dtype=float32)
    """
    return max_(x, axis=_axes_of_something("max", x, axis), keepdims=bool(keepdims))


def min(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The least element over the axes given, or over all. Where several are least, they share the gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.min([[2.0, 5.0], [4.0, 1.0]], axis=0)
    Tensor([2., 1.], dtype=float32)
    """
    return min_(x, axis=_axes_of_something("min", x, axis), keepdims=bool(keepdims))


def _axes_of_something(name: str, x: ArrayLike | Tensor, axis: Axis) -> tuple[int, ...]:
    shape = shape_of(x)
    axes = normalized_axes(name, axis, len(shape))
    if not _count(shape, axes) and math.prod(n for a, n in enumerate(shape) if a not in axes):
        raise ValueError(f"{name}: there is no element along axis {axis} of the shape {shape}; reduce axes that are not empty")
    return axes


# -- others --------------------------------------------------------------------------------------------------------------


@primitive(flops=lambda out_shape, x_shape: 4 * math.prod(x_shape))
def logsumexp_(x, *, axis, keepdims=False):
    """log(sum(exp(x))), the greatest element taken out before, so that nothing overflows."""
    return in_wider_floats(_logsumexp, x, axis, keepdims)


@harmless
def _logsumexp(x, axis, keepdims):
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    greatest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    greatest = np.where(np.isfinite(greatest), greatest, 0).astype(greatest.dtype)
    result = np.log(total(np.exp(x - greatest), axis, keepdims=True)) + greatest
    return result if keepdims else np.squeeze(result, axis)


def _softmax_over(x, out, axis):
    return exp(x - spread(out, axis=axis, shape=x.shape))


logsumexp_.vjp(x=lambda g, x, out, axis: spread(g, axis=axis, shape=x.shape) * _softmax_over(x, out, axis))


def logsumexp(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over the axes given, or over all, for any x without overflow.

    >>> import tensorgrad as tg
    >>> tg.logsumexp([1000.0, 1000.0]).numpy().round(1)
    np.float32(1000.7)
    """
    return logsumexp_(x, axis=normalized_axes("logsumexp", axis, ndim_of(x)), keepdims=bool(keepdims))


def prod(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over the axes given, or over all: by halves, so that its gradient holds at zeros too.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([0.0, 2.0, 3.0], requires_grad=True)
    >>> tg.prod(x).backward()
    >>> x.grad
    Tensor([6., 0., 0.], dtype=float32)
    """
    shape = shape_of(x)
    axes = normalized_axes("prod", axis, len(shape))
    dtype = dtype_of(x)
    if dtype.kind in "iub":  # as in NumPy, small integers become large ones, so that products do not wrap
        x = astype(x, np.result_type(dtype, np.uint if dtype.kind == "u" else np.int_))
    others = tuple(a for a in range(len(shape)) if a not in axes)
    count = _count(shape, axes)
    factors = reshape_(permute_(x, axes=axes + others), shape=(count, *(shape[a] for a in others)))
    while count > 1:
        half = count // 2
        halves = factors[:half] * factors[half : 2 * half]
        factors = concatenate_(halves, factors[2 * half :], axis=0) if count % 2 else halves
        count = factors.shape[0]
    product = factors if count else factors.sum(0) + 1  # of no factors at all it is 1
    kept = tuple(1 if a in axes else n for a, n in enumerate(shape)) if keepdims else tuple(shape[a] for a in others)
    return reshape_(product, shape=kept)
