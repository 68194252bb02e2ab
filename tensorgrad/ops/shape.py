"""The same elements under other shapes: reshaping, reordering axes, repeating, joining and padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..contexts import no_grad
from ..primitive import primitive
from ..tensor import Tensor, ndim_of, shape_of
from .axes import Axis, integer, integers, normalized_axes, normalized_axis
from .indexing import getitem_

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
    return reshape_(x, shape=_completed(shape_of(x), shape))


def _completed(old: tuple[int, ...], shape: int | Sequence[int]) -> tuple[int, ...]:
    """`shape` with its -1 filled in."""
    new = integers("reshape", "a size", shape)
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
    ndim = ndim_of(x)
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
    shape = shape_of(x)
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
    return unsqueeze_(x, axis=normalized_axes("unsqueeze", axis, ndim_of(x) + added))


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
    order = tuple(normalized_axis("permute", a, ndim_of(x)) for a in integers("permute", "an axis", axes))
    if sorted(order) != list(range(ndim_of(x))):
        raise ValueError(f"permute: axes={axes} must name each of the {ndim_of(x)} axes of the shape {shape_of(x)} once")
    return permute_(x, axes=order)


def transpose(x: ArrayLike | Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in reverse order, or in the order given, as in `permute`.

    >>> import tensorgrad as tg
    >>> tg.transpose([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 3.],
            [2., 4.]], dtype=float32)
    """
    return permute_(x, axes=tuple(range(ndim_of(x)))[::-1]) if axes is None else permute(x, axes)


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
    return broadcast_to_(x, shape=integers("broadcast_to", "a size", shape))


@primitive(flops=lambda *shapes: 0)
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


# -- joining, parting and padding ------------------------------------------------------------------------------------


def _along(axis, entry):
    """The index that takes `entry` of an axis and everything of the others."""
    return (slice(None),) * axis + (entry,)


@primitive(flops=lambda *shapes: 0)
def concatenate_(*xs, axis):
    return np.concatenate(xs, axis)


def _part(g, position, xs_shape, axis):
    start = sum(shape[axis] for shape in xs_shape[:position])
    return getitem_(g, index=_along(axis, slice(start, start + xs_shape[position][axis])))


concatenate_.vjp(xs=_part)


def concatenate(xs: Sequence[ArrayLike | Tensor], axis: int = 0) -> Tensor:
    """Joined along an axis that they have; all other sizes are equal.

    >>> import tensorgrad as tg
    >>> tg.concatenate([[1.0, 2.0], [3.0]])
    Tensor([1., 2., 3.], dtype=float32)
    """
    _refuse_nothing("concatenate", xs)
    return concatenate_(*xs, axis=normalized_axis("concatenate", axis, ndim_of(xs[0])))


@primitive(flops=lambda *shapes: 0)
def stack_(*xs, axis):
    return np.stack(xs, axis, dtype=np.result_type(*xs))  # in which numbers among arrays are weak


stack_.vjp(xs=lambda g, position, axis: getitem_(g, index=_along(axis, position)))


def stack(xs: Sequence[ArrayLike | Tensor], axis: int = 0) -> Tensor:
    """Joined along a new axis, which has the number `axis` in the result; all shapes are equal.

    >>> import tensorgrad as tg
    >>> tg.stack([[1.0, 2.0], [3.0, 4.0]], axis=1)
    Tensor([[1., 3.],
            [2., 4.]], dtype=float32)
    """
    _refuse_nothing("stack", xs)
    return stack_(*xs, axis=normalized_axis("stack", axis, ndim_of(xs[0]) + 1))


def _refuse_nothing(name: str, xs: Sequence[ArrayLike | Tensor]) -> None:
    if not isinstance(xs, Sequence | np.ndarray | Tensor) or not len(xs):
        raise ValueError(f"{name}: there is nothing to join; pass a list with at least one tensor or array")


def split(x: ArrayLike | Tensor, parts: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Parted along an axis into this many equal parts, or at these indices, as by NumPy.

    Raises:
        ValueError: the axis cannot be parted equally.

    >>> import tensorgrad as tg
    >>> tg.split([1.0, 2.0, 3.0], [1])
    [Tensor([1.], dtype=float32), Tensor([2., 3.], dtype=float32)]
    """
    shape = shape_of(x)
    axis = normalized_axis("split", axis, len(shape))
    size = shape[axis]
    if isinstance(parts, Sequence):
        bounds = [0, *integers("split", "an index", parts), size]
    elif integer("split", "the number of parts", parts) < 1 or size % parts:
        raise ValueError(
            f"split: axis {axis} of the shape {shape} cannot be parted into {parts} equal parts; pass indices to part at"
        )
    else:
        bounds = list(range(0, size + 1, size // parts)) if size else [0] * (parts + 1)
    return [getitem_(x, index=_along(axis, slice(a, b))) for a, b in itertools.pairwise(bounds)]


@primitive(flops=lambda *shapes: 0)
def pad_(x, *, pad_width, value=0.0):
    """x inside a larger array of the same memory order, filled with the value."""
    shape = [before + n + after for n, (before, after) in zip(x.shape, pad_width, strict=True)]
    padded = np.full_like(x, value, shape=shape)
    padded[_inside(x.shape, pad_width)] = x
    return padded


def _inside(shape, pad_width):
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, pad_width, strict=True))


pad_.vjp(x=lambda g, x_shape, pad_width: getitem_(g, index=_inside(x_shape, pad_width)))


def pad(x: ArrayLike | Tensor, pad_width: int | Sequence[int] | Sequence[Sequence[int]], value: float = 0.0) -> Tensor:
    """x with a margin of one value around it.

    Args:
        x: any array.
        pad_width: for each axis how many elements to add (before, after); or one such pair, or one number, for all axes.
        value: of the elements added.

    Raises:
        ValueError: `pad_width` does not fit the axes, or is negative.

    >>> import tensorgrad as tg
    >>> tg.pad([[1.0, 2.0]], ((1, 0), (0, 2)))
    Tensor([[0., 0., 0., 0.],
            [1., 2., 0., 0.]], dtype=float32)
    """
    ndim = ndim_of(x)
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (ndim, 2))
    except ValueError:
        raise ValueError(f"pad: pad_width={pad_width} does not give a pair (before, after) for each of {ndim} axes") from None
    if widths.dtype.kind not in "iu" or (widths < 0).any():
        raise ValueError(f"pad: pad_width={pad_width} must hold integers that are not negative; to cut off, index")
    return pad_(x, pad_width=tuple((int(before), int(after)) for before, after in widths), value=value)
