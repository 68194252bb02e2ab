"""Convolution and the matrix of windows: linear maps with their transposes."""

from __future__ import annotations

import math

import numpy as np

from ..kernels import columns, correlate, fused_winograd, winograd
from ..kernels.windows import axes
from ..primitive import primitive
from ..tensor import Tensor, ndim_of, shape_of
from .settings import IntOrPair, pairs

# -- convolution ---------------------------------------------------------------------------------------------------


@primitive(flops=lambda out_shape, x_shape, w_shape, b_shape=None: 2 * math.prod(out_shape) * math.prod(w_shape[1:]))
def conv2d_(x, w, b=None, *, stride, padding, dilation, groups, out=None):
    """(N, C, H, W), (F, C/groups, KH, KW), (F,) or None -> (N, F, OH, OW): cross-correlation, by im2col or Winograd."""
    where = _geometry(x, w, stride, padding, dilation, groups)
    if b is not None and shape_of(b) != (len(w),):
        raise ValueError(
            f"the bias must have one number for each of the {len(w)} filters: shape ({len(w)},), not {shape_of(b)}"
        )
    dtype = np.result_type(x, w) if b is None else np.result_type(x, w, b)
    if winograd.suits(x.shape, w.shape, *where, groups, dtype):
        return _computed(fused_winograd.correlate, dtype, (x, w, b), *where, out=out)
    return _computed(correlate.correlate, dtype, (x, w, b), *where, groups, out=out)


conv2d_.vjp(
    x=lambda g, w, x_shape, **attrs: conv2d_input_grad(g, w, shape=x_shape, **attrs),
    w=lambda g, x, w_shape, **attrs: conv2d_weight_grad(g, x, shape=w_shape, **attrs),
    b=lambda g: g.sum((0, 2, 3)),
)


@primitive(flops=lambda out_shape, y_shape, w_shape: 2 * math.prod(y_shape) * math.prod(w_shape[1:]))
def conv2d_input_grad(y, w, *, shape, stride, padding, dilation, groups, out=None):
    """(N, F, OH, OW), (F, C/groups, KH, KW) -> (N, C, H, W): the transpose of conv2d in its images."""
    where = axes(shape[2:], w.shape[2:], stride, padding, dilation)
    dtype = np.result_type(y, w)
    if winograd.suits(shape, w.shape, *where, groups, dtype):
        return _computed(fused_winograd.input_grad, dtype, (y, w), shape, *where, out=out)
    return _computed(correlate.input_grad, dtype, (y, w), shape, *where, groups, out=out)


conv2d_input_grad.vjp(
    y=lambda g, w, shape, **attrs: conv2d_(g, w, **attrs),
    w=lambda g, y, w_shape, shape, **attrs: conv2d_weight_grad(y, g, shape=w_shape, **attrs),
)


@primitive(flops=lambda out_shape, y_shape, x_shape: 2 * math.prod(y_shape) * math.prod(out_shape[1:]))
def conv2d_weight_grad(y, x, *, shape, stride, padding, dilation, groups):
    """(N, F, OH, OW), (N, C, H, W) -> (F, C/groups, KH, KW): the transpose of conv2d in its weights."""
    where = axes(x.shape[2:], shape[2:], stride, padding, dilation)
    dtype = np.result_type(y, x)
    if winograd.suits(x.shape, shape, *where, groups, dtype):
        return _computed(fused_winograd.weight_grad, dtype, (y, x), shape, *where)
    return _computed(correlate.weight_grad, dtype, (y, x), shape, *where, groups)


conv2d_weight_grad.vjp(
    y=lambda g, x, shape, **attrs: conv2d_(x, g, **attrs),
    x=lambda g, y, x_shape, shape, **attrs: conv2d_input_grad(y, g, shape=x_shape, **attrs),
)


def _computed(kernel, dtype, arrays, *settings, **buffers):
    """Run a kernel on arrays of one dtype. BLAS knows no float16: such products are computed in float32 and rounded."""
    working = np.dtype(np.float32) if dtype == np.float16 else dtype
    arrays = [a if a is None else np.asarray(a, working) for a in arrays]
    if working == dtype:
        return kernel(*arrays, *settings, **buffers)
    result = kernel(*arrays, *settings).astype(dtype)
    if buffers.get("out") is None:
        return result
    np.copyto(buffers["out"], result)
    return buffers["out"]


def _geometry(x, w, stride, padding, dilation, groups):
    if ndim_of(x) != 4 or ndim_of(w) != 4:
        raise ValueError(
            "the images x must have shape (N, C, H, W) and the weights w (F, C/groups, KH, KW), but these have "
            f"{ndim_of(x)} and {ndim_of(w)} axes; add an axis to a single image with tg.unsqueeze(x, 0)"
        )
    if w.dtype.kind != "f":
        raise TypeError(f"the weights must be floats, and these are {w.dtype}; convert them, e.g. with w.astype(np.float32)")
    channels, filters = x.shape[1], len(w)
    if channels % groups or filters % groups:
        raise ValueError(f"groups={groups} must divide both the {channels} channels and the {filters} filters")
    if w.shape[1] * groups != channels:
        if x.shape[3] == w.shape[1] * groups:
            raise ValueError(
                f"the images of shape {x.shape} look like (N, H, W, C), with their {x.shape[3]} channels last, and must be "
                "(N, C, H, W); turn the axes with tg.permute(x, (0, 3, 1, 2)) or x.transpose(0, 3, 1, 2)"
            )
        raise ValueError(
            f"the weights take {w.shape[1]} channels in each of {groups} group(s), {w.shape[1] * groups} in all, "
            f"but the images have {channels}; give weights of shape (F, {channels // groups}, KH, KW)"
        )
    if 0 in w.shape[2:]:
        raise ValueError("the kernel has no positions; KH and KW must be at least 1")
    return axes(x.shape[2:], w.shape[2:], stride, padding, dilation)


def conv2d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """Slide filters over images: the cross-correlation that deep learning calls convolution.

    Args:
        x: images (N, C, H, W).
        w: filters (F, C/groups, KH, KW).
        b: a bias for each filter (F,), or None.
        stride: steps between windows, for height and width or one for both.
        padding: rows and columns of zeros added on each side.
        dilation: steps between the numbers that a window covers.
        groups: in how many groups channels and filters are split; each group of filters sees its channels alone.

    Returns:
        (N, F, OH, OW) with OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1, stored with the batch innermost.

    Raises:
        ValueError: shapes or settings that do not fit, or a kernel larger than the padded images.
        TypeError: weights that are no floats.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> image = np.arange(16.0, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> tg.conv2d(image, np.ones((1, 1, 3, 3), np.float32))
    Tensor([[[[45., 54.],
              [81., 90.]]]], dtype=float32)
    """
    if not isinstance(groups, int | np.integer) or groups < 1:
        raise ValueError(f"conv2d: groups must be an integer of at least 1, and is {groups!r}")
    return conv2d_(x, w, b, **pairs("conv2d", stride=stride, padding=padding, dilation=dilation), groups=int(groups))


# -- the matrix of windows ---------------------------------------------------------------------------------------------


@primitive(flops=lambda out_shape, x_shape: 0)
def im2col_(x, *, kernel_size, stride, padding, dilation):
    """(N, C, H, W) -> (N, C * KH * KW, OH * OW): each column is a window."""
    if ndim_of(x) != 4:
        raise ValueError(f"the images must have shape (N, C, H, W), but these have {ndim_of(x)} axes; reshape them")
    return columns.image_to_columns(x, *axes(x.shape[2:], kernel_size, stride, padding, dilation))


im2col_.vjp(x=lambda g, x_shape, **attrs: col2im_(g, output_size=x_shape[2:], **attrs))


@primitive
def col2im_(cols, *, output_size, kernel_size, stride, padding, dilation):
    """(N, C * KH * KW, OH * OW) -> (N, C, H, W): what the windows hold, added up where they overlap."""
    vertical, horizontal = axes(output_size, kernel_size, stride, padding, dilation)
    windows = vertical.count * horizontal.count
    if ndim_of(cols) != 3 or cols.shape[1] % math.prod(kernel_size) or cols.shape[2] != windows:
        raise ValueError(
            f"the columns must have shape (N, C * {math.prod(kernel_size)}, {windows}) for a kernel of {kernel_size} on images "
            f"of {output_size}, not {shape_of(cols)}; give the settings that im2col was given"
        )
    if cols.dtype.kind in "iub":  # sums of integers are in NumPy's dtype for them, so that small ones do not wrap
        cols = cols.astype(np.result_type(cols, np.uint if cols.dtype.kind == "u" else np.int_))
    return columns.columns_to_image(cols, vertical, horizontal)


col2im_.vjp(cols=lambda g, output_size, **attrs: im2col_(g, **attrs))


def im2col(
    x: Tensor, kernel_size: IntOrPair, *, stride: IntOrPair = 1, padding: IntOrPair = 0, dilation: IntOrPair = 1
) -> Tensor:
    """The windows of images as the columns of a matrix, so that a convolution becomes a matrix product.

    Args:
        x: images (N, C, H, W).
        kernel_size: height and width of the window, KH and KW.
        stride, padding, dilation: as in `conv2d`.

    Returns:
        (N, C * KH * KW, OH * OW): a column for each window, row by row; in it channel by channel what the window covers.

    Raises:
        ValueError: settings that do not fit, or a window larger than the padded images.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> tg.im2col(np.arange(9).reshape(1, 1, 3, 3), 2)
    Tensor([[[0, 1, 3, 4],
             [1, 2, 4, 5],
             [3, 4, 6, 7],
             [4, 5, 7, 8]]], dtype=int64)
    """
    return im2col_(x, **pairs("im2col", kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation))


def col2im(
    cols: Tensor,
    output_size: IntOrPair,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """Put columns back into images, adding up where windows overlap: the transpose of `im2col`, not its inverse.

    Args:
        cols: (N, C * KH * KW, OH * OW).
        output_size: height and width of the images.
        kernel_size, stride, padding, dilation: what `im2col` was given.

    Returns:
        (N, C, H, W)

    Raises:
        ValueError: columns of another shape than `im2col` makes of such images.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> tg.col2im(np.ones((1, 4, 4)), 3, 2)  # in how many windows each place lies
    Tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]], dtype=float64)
    """
    settings = pairs(
        "col2im", output_size=output_size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )
    return col2im_(cols, **settings)
