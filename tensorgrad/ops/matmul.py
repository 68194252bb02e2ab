"""Matrix products, and the linear layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive
from ..tensor import Tensor
from .shape import reshape_


def _matrix(x, transposed):
    return np.swapaxes(x, -1, -2) if transposed else x


@primitive
def matmul_(x, y, *, transpose_x=False, transpose_y=False):
    """(..., M, K), (..., K, N) -> (..., M, N)."""
    return np.matmul(_matrix(x, transpose_x), _matrix(y, transpose_y))


def _left_cotangent(g, y, transpose_x, transpose_y):
    if transpose_x:
        return matmul_(y, g, transpose_x=transpose_y, transpose_y=True)
    return matmul_(g, y, transpose_y=not transpose_y)


def _right_cotangent(g, x, transpose_x, transpose_y):
    if transpose_y:
        return matmul_(g, x, transpose_x=True, transpose_y=transpose_x)
    return matmul_(x, g, transpose_x=not transpose_x)


matmul_.vjp(x=_left_cotangent, y=_right_cotangent)


def matmul(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Tensor:
    """x @ y"""
    x_shape, y_shape = np.shape(x), np.shape(y)
    if len(x_shape) == 1:
        x = reshape_(x, shape=(1, *x_shape))
    if len(y_shape) == 1:
        y = reshape_(y, shape=(*y_shape, 1))
    out = matmul_(x, y)
    if len(x_shape) == 1 or len(y_shape) == 1:
        shape = out.shape[:-2] + out.shape[-2:-1] * (len(x_shape) > 1) + out.shape[-1:] * (len(y_shape) > 1)
        out = reshape_(out, shape=shape)
    return out
