"""Sums, means, extrema and variances over axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive
from ..tensor import Tensor
from .axes import Axis, normalized_axes
from .shape import reshape_


@primitive
def sum_(x, *, axis, keepdims=False):
    return np.sum(x, axis=axis, keepdims=keepdims)


sum_.vjp(x=lambda g, x_shape, axis: spread(g, axis=axis, shape=x_shape))


@primitive(view=True)
def spread(x, *, axis, shape):
    """The transpose of a sum over `axis`: repeated along these axes, which may be missing or of size 1, to `shape`."""
    kept = [1 if i in axis else n for i, n in enumerate(shape)]
    return np.broadcast_to(x.reshape(kept), shape)


spread.vjp(x=lambda g, x_shape, axis: reshape_(sum_(g, axis=axis), shape=x_shape))


def sum(x: ArrayLike | Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes given, or over all.

    >>> import tensorgrad as tg
    >>> tg.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([4., 6.], dtype=float32)
    """
    return sum_(x, axis=normalized_axes("sum", axis, np.ndim(x)), keepdims=bool(keepdims))
