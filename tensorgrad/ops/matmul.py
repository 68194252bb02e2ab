"""Matrix products, and the linear layer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.matrix import product
from ..primitive import primitive
from ..tensor import Tensor, ndim_of, shape_of
from .reduction import sum_
from .shape import reshape_


def _matrix(x, transposed):
    return x.swapaxes(-1, -2) if transposed else x


def _batch_is_innermost(x):
    return x.ndim == 2 and x.strides[0] < x.strides[1]


def _product_flops(out_shape, x_shape, y_shape):
    rows = out_shape[-2]
    contracted = x_shape[-1] * x_shape[-2] // rows if rows else 0  # whichever of the two is not the rows
    return 2 * math.prod(out_shape) * contracted


@primitive(flops=_product_flops)
def matmul_(x, y, *, transpose_x=False, transpose_y=False):
    """(..., M, K), (..., K, N) -> (..., M, N): products of matrices, each transposed before where it says so.

    With the flags the primitive is closed under differentiation. A batch of rows x that lies innermost in memory gives
    a product that does so too; but x.T @ y, which sums over the batch, comes in row-major order, as weights do.
    """
    a, b = _matrix(x, transpose_x), _matrix(y, transpose_y)
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"matmul: rows of {a.shape[-1]} elements cannot be multiplied with columns of {b.shape[-2]}; "
            "the last axis of x and the last but one of y must have the same size"
        )
    if not transpose_x and b.ndim == 2 and _batch_is_innermost(a):
        return product(b.T, a.T).T
    return product(a, b)


def _left_cotangent(g, y, transpose_x, transpose_y):
    if transpose_x:
        return matmul_(y, g, transpose_x=transpose_y, transpose_y=True)
    return matmul_(g, y, transpose_y=not transpose_y)


def _right_cotangent(g, x, y_shape, transpose_x, transpose_y):
    if len(y_shape) == 2 and x.ndim > 2 and not transpose_x:
        g, x = _rows(g), _rows(x)  # one product, instead of one for each matrix of the batch and their sum
    if transpose_y:
        return matmul_(g, x, transpose_x=True, transpose_y=transpose_x)
    return matmul_(x, g, transpose_x=not transpose_x)


def _rows(x):
    """(..., K) -> (rows, K)."""
    return _shaped(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _shaped(x, shape):
    return x if x.shape == shape else reshape_(x, shape=shape)


matmul_.vjp(x=_left_cotangent, y=_right_cotangent)


def matmul(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Tensor:
    """x @ y: the product of matrices, of stacks of them (leading axes broadcast), and of vectors, as in NumPy.

    A vector on the left is a row, one on the right a column, and that axis is absent from the result.

    Raises:
        ValueError: the last axis of x and the last but one of y (the only one of a vector) differ in size; or one has no axes.

    >>> import tensorgrad as tg
    >>> tg.matmul([[1.0, 2.0], [3.0, 4.0]], [10.0, 1.0])
    Tensor([12., 34.], dtype=float32)
    """
    x_shape, y_shape = shape_of(x), shape_of(y)
    if not x_shape or not y_shape:
        raise ValueError(f"matmul: shapes {x_shape} and {y_shape}: a number has no rows or columns; multiply by it with *")
    if len(x_shape) > 1 and len(y_shape) > 1:
        return matmul_(x, y)
    row, column = len(x_shape) == 1, len(y_shape) == 1
    product = matmul_(
        reshape_(x, shape=(1, *x_shape)) if row else x,
        reshape_(y, shape=(*y_shape, 1)) if column else y,
    )
    *batch, m, n = product.shape
    return reshape_(product, shape=(*batch, *([] if row else [m]), *([] if column else [n])))


@primitive(flops=lambda out_shape, x_shape, w_shape, b_shape=None: 2 * math.prod(out_shape) * w_shape[1])
def linear_(x, w, b=None):
    """(..., in), (out, in), (out,) -> (..., out): x @ w.T + b, with the batch innermost in memory if x has it so."""
    if ndim_of(w) != 2 or not ndim_of(x) or x.shape[-1] != w.shape[1]:
        raise ValueError(
            "linear: the last axis of x must have the size of the last axis of w, the weights, whose shape is (out, in)"
        )
    if b is not None and shape_of(b) != w.shape[:1]:
        raise ValueError(f"linear: the bias b must have one element for each of the {w.shape[0]} rows of w")
    if _batch_is_innermost(x):
        out = product(w, x.T).T
    else:
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        out = product(rows, w.T).reshape(*x.shape[:-1], w.shape[0])
    if b is None:
        return out
    return np.add(out, b, out=out if b.dtype == out.dtype else None)


linear_.vjp(
    x=lambda g, w, x_shape: _shaped(matmul_(_rows(g), w), x_shape),
    w=lambda g, x: matmul_(_rows(g), _rows(x), transpose_x=True),  # in the memory order of w
    b=lambda g: sum_(g, axis=tuple(range(g.ndim - 1))),
)


def linear(x: ArrayLike | Tensor, w: ArrayLike | Tensor, b: ArrayLike | Tensor | None = None) -> Tensor:
    """x @ w.T + b, the layer that connects everything with everything.

    Args:
        x: (..., in), any number of rows.
        w: (out, in), the weights.
        b: (out,), the bias, or None.

    Returns:
        (..., out).

    Raises:
        ValueError: the shapes do not fit.

    >>> import tensorgrad as tg
    >>> tg.linear([[1.0, 2.0]], [[10.0, 1.0], [0.0, 1.0], [1.0, 1.0]], [0.5, 0.5, 0.5])
    Tensor([[12.5,  2.5,  3.5]], dtype=float32)
    """
    return linear_(x, w, b)
