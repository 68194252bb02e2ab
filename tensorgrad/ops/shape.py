"""The same elements under other shapes: reshaping, reordering axes, repeating, joining and padding."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..primitive import primitive
from ..state import no_grad
from ..tensor import Tensor
from .axes import Axis, normalized_axes, normalized_axis

# -- other axes over the same elements -------------------------------------------------------------------------------


@primitive(view=True)
def reshape_(x, *, shape):
    """The same elements, read in row-major order, under another shape."""
    return x.reshape(shape)


reshape_.vjp(x=lambda g, x_shape: reshape_(g, shape=x_shape))


def reshape(x: ArrayLike | Tensor, shape: int | Sequence[int]) -> Tensor:
    """The same elements, read in row-major order, under another shape. One size may be -1: it follows from the others.

    Raises:
        ValueError: the sizes do not multiply to the number of elements.

    >>> import tensorgrad as tg
    >>> tg.reshape([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], (3, -1))
    Tensor([[1., 2.],
            [3., 4.],
            [5., 6.]], dtype=float32)
    """
    return reshape_(x, shape=_completed(np.shape(x), shape))


def _completed(old: tuple[int, ...], shape: int | Sequence[int]) -> tuple[int, ...]:
    """`shape` with its -1 filled in."""
    new = tuple(operator.index(n) for n in (shape if isinstance(shape, Sequence) else (shape,)))
    size, known = math.prod(old), math.prod(n for n in new if n != -1)
    if new.count(-1) == 1 and known > 0 and size % known == 0:
        return tuple(size // known if n == -1 else n for n in new)
    if known != size or any(n < 0 for n in new):
        raise ValueError(
            f"reshape: {size} elements of shape {old} do not fit the shape {new}; its sizes must multiply to {size}"
        )
    return new


@primitive(view=True)
def flatten_(x, *, start_axis):
    """(..., A, B, C) -> (..., A*B*C)."""
    return x.reshape(*x.shape[:start_axis], math.prod(x.shape[start_axis:]))


flatten_.vjp(x=lambda g, x_shape: reshape_(g, shape=x_shape))


def flatten(x: ArrayLike | Tensor, start_axis: int = 0) -> Tensor:
    """The axes from `start_axis` on merged into one: images (N, C, H, W) become rows (N, C*H*W) with `start_axis=1`.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> tg.flatten(np.zeros((2, 3, 4, 4)), start_axis=1).shape
    (2, 48)
    """
    ndim = np.ndim(x)
    return flatten_(x, start_axis=normalized_axis("flatten", start_axis, ndim) if ndim else 0)


@primitive(view=True)
def squeeze_(x, *, axis):
    return x.reshape([n for i, n in enumerate(x.shape) if i not in axis])


squeeze_.vjp(x=lambda g, x_shape: reshape_(g, shape=x_shape))


def squeeze(x: ArrayLike | Tensor, axis: Axis = None) -> Tensor:
    """Without the axes given, which must have size 1; without all axes of size 1 if none is given.

    >>> import tensorgrad as tg
    >>> tg.squeeze([[[1.0], [2.0]]]), tg.squeeze([[[1.0], [2.0]]], axis=-1).shape
    (Tensor([1., 2.], dtype=float32), (1, 2))
    """
    shape = np.shape(x)
    if axis is None:
        return squeeze_(x, axis=tuple(i for i, n in enumerate(shape) if n == 1))
    axes = normalized_axes("squeeze", axis, len(shape))
    if any(shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of the shape {shape} is not of size 1; squeeze only axes of size 1")
    return squeeze_(x, axis=axes)


@primitive(view=True)
def unsqueeze_(x, *, axis):
    return np.expand_dims(x, axis)


unsqueeze_.vjp(x=lambda g, x_shape: reshape_(g, shape=x_shape))


def unsqueeze(x: ArrayLike | Tensor, axis: int | Sequence[int]) -> Tensor:
    """With new axes of size 1, which have the numbers `axis` in the result.

    >>> import tensorgrad as tg
    >>> tg.unsqueeze([1.0, 2.0], 0).shape, tg.unsqueeze([1.0, 2.0], (0, -1)).shape
    ((1, 2), (1, 2, 1))
    """
    added = len(axis) if isinstance(axis, Sequence) else 1
    return unsqueeze_(x, axis=normalized_axes("unsqueeze", axis, np.ndim(x) + added))


@primitive(view=True)
def permute_(x, *, axes):
    return x.transpose(axes)


permute_.vjp(x=lambda g, axes: permute_(g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__))))


def permute(x: ArrayLike | Tensor, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis `axes[i]` of `x`.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> tg.permute(np.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    order = tuple(normalized_axis("permute", a, np.ndim(x)) for a in axes)
    if sorted(order) != list(range(np.ndim(x))):
        raise ValueError(f"permute: axes={tuple(axes)} must name each of the {np.ndim(x)} axes of the shape {np.shape(x)} once")
    return permute_(x, axes=order)


def transpose(x: ArrayLike | Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in reverse order, or in the order given, as in `permute`.

    >>> import tensorgrad as tg
    >>> tg.transpose([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 3.],
            [2., 4.]], dtype=float32)
    """
    return permute_(x, axes=tuple(range(np.ndim(x)))[::-1]) if axes is None else permute(x, axes)


@primitive(view=True)
def broadcast_to_(x, *, shape):
    return np.broadcast_to(x, shape)


broadcast_to_.vjp(x=lambda g: g)  # the engine sums it back to the shape of x


def broadcast_to(x: ArrayLike | Tensor, shape: int | Sequence[int]) -> Tensor:
    """Repeated to a shape, along new axes in front and along axes of size 1.

    >>> import tensorgrad as tg
    >>> tg.broadcast_to([1.0, 2.0], (3, 2))
    Tensor([[1., 2.],
            [1., 2.],
            [1., 2.]], dtype=float32)
    """
    return broadcast_to_(x, shape=tuple(shape) if isinstance(shape, Sequence) else (operator.index(shape),))


@primitive
def astype_(x, *, dtype):
    return x.astype(dtype)


astype_.vjp(x=lambda g: g)  # the engine casts it back to the dtype of x


def astype(x: ArrayLike | Tensor, dtype: DTypeLike) -> Tensor:
    """Converted to another dtype. Gradients flow between dtypes of floats, and stop at integers and booleans.

    >>> import tensorgrad as tg
    >>> tg.astype([1.5, 2.5], "int32")
    Tensor([1, 2], dtype=int32)
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return astype_(x, dtype=dtype)
    if dtype.kind not in "iub":
        raise TypeError(f"astype: a tensor holds real numbers or booleans, not {dtype}; choose a dtype of these")
    with no_grad():
        return astype_(x, dtype=dtype)
