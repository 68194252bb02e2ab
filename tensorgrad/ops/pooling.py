"""Pooling: the largest or the mean of each window."""

from __future__ import annotations

import numpy as np

from ..kernels import pool
from ..kernels.windows import axes
from ..primitive import primitive
from ..tensor import Tensor, ndim_of
from .settings import IntOrPair, Pair, pairs

# -- the largest ---------------------------------------------------------------------------------------------------


@primitive(extras=("winners",))
def max_pool2d_(x, *, kernel_size, stride, padding, dilation, ceil_mode, out=None):
    """(N, C, H, W) -> (N, C, OH, OW), and which position of each window won; a tie goes to the first."""
    _refuse_other_than_images(x)
    _refuse_wide_padding(kernel_size, padding, dilation)
    return pool.maximum(x, *axes(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode), out=out)


max_pool2d_.vjp(x=lambda g, winners, x_shape, **attrs: scatter_winners(g, winners, shape=x_shape, **attrs))


@primitive
def scatter_winners(y, winners, *, shape, kernel_size, stride, padding, dilation, ceil_mode, out=None):
    """(N, C, OH, OW) -> (N, C, H, W): each number at the place of its window's winner, added up where windows share it."""
    where = axes(shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    return pool.scatter_winners(y, winners, shape, *where, out=out)


scatter_winners.vjp(y=lambda g, winners, shape, **attrs: gather_winners(g, winners, **attrs))


@primitive
def gather_winners(x, winners, *, kernel_size, stride, padding, dilation, ceil_mode, out=None):
    """(N, C, H, W) -> (N, C, OH, OW): of each window the number at its winner's place; the transpose of scatter_winners."""
    where = axes(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    return pool.gather_winners(x, winners, *where, out=out)


gather_winners.vjp(x=lambda g, winners, x_shape, **attrs: scatter_winners(g, winners, shape=x_shape, **attrs))


def max_pool2d(
    x: Tensor,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest number of each window. The gradient goes to it, and among equals to the first; a nan counts as largest.

    Args:
        x: images (N, C, H, W).
        kernel_size: height and width of the window.
        stride: steps between windows; None means `kernel_size`, hence windows that do not overlap.
        padding: rows and columns of minus infinity added on each side, at most half a window.
        dilation: steps between the numbers that a window covers.
        ceil_mode: add a last window that reaches beyond the padded image, where it begins before the padding on the far side.

    Returns:
        (N, C, OH, OW), stored with the batch innermost.

    Raises:
        ValueError: settings that do not fit, or a window larger than the padded images.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> tg.max_pool2d(np.arange(16.0, dtype=np.float32).reshape(1, 1, 4, 4), 2)
    Tensor([[[[ 5.,  7.],
              [13., 15.]]]], dtype=float32)
    """
    stride = kernel_size if stride is None else stride
    settings = pairs("max_pool2d", kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    return max_pool2d_(x, **settings, ceil_mode=bool(ceil_mode))


# -- the mean ------------------------------------------------------------------------------------------------------


@primitive
def avg_pool2d_(x, *, kernel_size, stride, padding, ceil_mode, count_include_pad, out=None):
    """(N, C, H, W) -> (N, C, OH, OW): the mean of each window."""
    _refuse_other_than_images(x)
    _refuse_wide_padding(kernel_size, padding, (1, 1))
    if x.dtype.kind != "f":
        raise TypeError(f"a mean needs floats, and the images are {x.dtype}; convert them, e.g. with x.astype(np.float32)")
    where = axes(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    result = pool.window_sums(x, *where, out=out)
    return np.multiply(result, pool.shares(*where, count_include_pad, result.dtype), out=result)


avg_pool2d_.vjp(x=lambda g, x_shape, **attrs: avg_pool2d_input_grad(g, shape=x_shape, **attrs))


@primitive
def avg_pool2d_input_grad(y, *, shape, kernel_size, stride, padding, ceil_mode, count_include_pad, out=None):
    """(N, C, OH, OW) -> (N, C, H, W): each number in equal shares over its window; the transpose of avg_pool2d."""
    where = axes(shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    return pool.spread_sums(y * pool.shares(*where, count_include_pad, y.dtype), *where, out=out)


avg_pool2d_input_grad.vjp(y=lambda g, shape, **attrs: avg_pool2d_(g, **attrs))


def avg_pool2d(
    x: Tensor,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window.

    Args:
        x: images of floats (N, C, H, W).
        kernel_size: height and width of the window.
        stride: steps between windows; None means `kernel_size`.
        padding: rows and columns of zeros added on each side, at most half a window.
        ceil_mode: add a last window that reaches beyond the padded image, where it begins before the padding on the far side.
        count_include_pad: divide by the numbers in the window and the padding; False counts those in the image alone.

    Returns:
        (N, C, OH, OW), stored with the batch innermost.

    Raises:
        ValueError: settings that do not fit, or a window larger than the padded images.
        TypeError: images that are no floats.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> tg.avg_pool2d(np.arange(16.0, dtype=np.float32).reshape(1, 1, 4, 4), 2)
    Tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]], dtype=float32)
    """
    stride = kernel_size if stride is None else stride
    settings = pairs("avg_pool2d", kernel_size=kernel_size, stride=stride, padding=padding)
    return avg_pool2d_(x, **settings, ceil_mode=bool(ceil_mode), count_include_pad=bool(count_include_pad))


# -- refusals ------------------------------------------------------------------------------------------------------


def _refuse_other_than_images(x: np.ndarray) -> None:
    if ndim_of(x) != 4:
        raise ValueError(
            f"the images must have shape (N, C, H, W), and these have {ndim_of(x)} axes; add an axis with tg.unsqueeze(x, 0)"
        )


def _refuse_wide_padding(kernel_size: Pair, padding: Pair, dilation: Pair) -> None:
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True))
    if any(p > span // 2 for p, span in zip(padding, spans, strict=True)):
        raise ValueError(
            f"the padding {padding} is more than half of the window, {spans[0]} x {spans[1]}, so that some windows would hold "
            "nothing else; take less padding or a larger window"
        )
