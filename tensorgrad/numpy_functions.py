"""What NumPy's functions do with tensors: the primitive of the same meaning, which keeps the gradient, or a refusal.

`np.exp(x)` and `np.mean(x, axis=0)` are `tg.exp(x)` and `tg.mean(x, axis=0)`. A function that tensorgrad has no primitive for
gets the arrays where nothing is lost: it only looks (`np.allclose`, `np.argmax`), or no gradient is tracked. Where one would
be lost in silence, it is refused. `np.asarray(x)` always gives the array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import ops
from .state import current
from .tensor import Tensor, ndim_of, shape_of

LOOKS = {
    *(np.allclose, np.array_equal, np.array_equiv, np.isclose, np.array2string, np.array_repr),
    *(np.array_str, np.save, np.savez, np.savetxt, np.savez_compressed, np.argmax, np.argmin, np.argsort, np.nonzero),
    *(np.argwhere, np.flatnonzero, np.count_nonzero, np.any, np.all, np.searchsorted, np.digitize, np.result_type),
    *(np.can_cast, np.common_type, np.min_scalar_type, np.may_share_memory, np.shares_memory, np.iscomplexobj, np.isrealobj),
    *(np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.histogram, np.bincount, np.unique, np.isposinf),
    *(np.isneginf, np.copyto, np.round, np.around, np.fix),
}
"""Functions whose result has no gradient: they look, count, compare, round, print or save."""

LOOKING_UFUNCS = {
    *(np.isfinite, np.isinf, np.isnan, np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor),
    *(np.floor, np.ceil, np.rint, np.trunc, np.sign, np.floor_divide, np.spacing),
}
"""Ufuncs that are constant between jumps."""


def _reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduced(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return function(a, axis, keepdims)

    return reduced


def _deviation(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def deviation(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return function(a, axis, keepdims, ddof=ddof)

    return deviation


def _dot(a: Any, b: Any) -> Tensor:
    if ndim_of(a) == 0 or ndim_of(b) == 0:
        return ops.multiply(a, b)
    if ndim_of(b) > 2:
        raise TypeError("np.dot of more than two axes sums over the second to last; write the product with tg.matmul")
    return ops.matmul(a, b)


def _vdot(a: Any, b: Any) -> Tensor:
    return ops.matmul(ops.reshape(a, -1), ops.reshape(b, -1))


def _outer(a: Any, b: Any) -> Tensor:
    return ops.multiply(ops.reshape(a, (-1, 1)), ops.reshape(b, (1, -1)))


def _where(condition: Any, *chosen: Any) -> Any:
    return ops.where(condition, *chosen) if chosen else np.nonzero(_arrays(condition))


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    return ops.clip(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    return ops.split(ary, indices_or_sections, axis)


def _expand_dims(a: Any, axis: Any) -> Tensor:
    return ops.unsqueeze(a, axis)


def _ravel(a: Any) -> Tensor:
    return ops.reshape(a, -1)


def _reshape(a: Any, shape: Any) -> Tensor:
    return ops.reshape(a, shape)


def _pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Tensor:
    if mode != "constant":
        raise TypeError(f"np.pad: a tensor is padded with a constant; the mode {mode!r} has no primitive")
    return ops.pad(array, pad_width, constant_values)


def _joined(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def joined(arrays: Any, axis: int = 0) -> Tensor:
        return function(arrays, axis)

    return joined


def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    axes = list(range(ndim_of(a)))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return ops.permute(a, axes)


def _at_least_1d(*arys: Any) -> Any:
    made = [x if not isinstance(x, Tensor) or x.ndim else ops.reshape(x, (1,)) for x in arys]
    return made[0] if len(made) == 1 else tuple(made)


def _broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*map(shape_of, args))
    return tuple(ops.broadcast_to(x, shape) if isinstance(x, Tensor) else np.broadcast_to(x, shape) for x in args)


def _size(a: Any, axis: int | None = None) -> int:
    return math.prod(shape_of(a)) if axis is None else shape_of(a)[axis]


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.shape: shape_of,
    np.ndim: ndim_of,
    np.size: _size,
    np.sum: _reduction(ops.sum),
    np.mean: _reduction(ops.mean),
    np.prod: _reduction(ops.prod),
    np.max: _reduction(ops.max),
    np.min: _reduction(ops.min),
    np.amax: _reduction(ops.max),
    np.amin: _reduction(ops.min),
    np.var: _deviation(ops.var),
    np.std: _deviation(ops.std),
    np.dot: _dot,
    np.vdot: _vdot,
    np.inner: lambda a, b: ops.matmul(a, ops.transpose(b)) if ndim_of(a) and ndim_of(b) else ops.multiply(a, b),
    np.outer: _outer,
    np.where: _where,
    np.clip: _clip,
    np.concatenate: _joined(ops.concatenate),
    np.stack: _joined(ops.stack),
    np.split: _split,
    np.reshape: _reshape,
    np.ravel: _ravel,
    np.transpose: lambda a, axes=None: ops.transpose(a, axes),
    np.swapaxes: _swapaxes,
    np.squeeze: lambda a, axis=None: ops.squeeze(a, axis),
    np.expand_dims: _expand_dims,
    np.broadcast_to: lambda array, shape: ops.broadcast_to(array, shape),
    np.broadcast_arrays: _broadcast_arrays,
    np.atleast_1d: _at_least_1d,
    np.pad: _pad,
}
"""NumPy's functions that tensorgrad has, with the arguments that both have."""

UFUNCS: dict[np.ufunc, Callable[..., Tensor]] = {
    getattr(np, name): getattr(ops, name)
    for name in (
        *("add", "subtract", "multiply", "divide", "negative", "positive", "exp", "log", "sqrt", "sin", "cos", "tanh"),
        *("maximum", "minimum", "matmul", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
    )
} | {
    np.power: ops.power,
    np.float_power: ops.power,
    np.absolute: ops.abs,
    np.fabs: ops.abs,
    np.square: lambda x: ops.multiply(x, x),
    np.reciprocal: lambda x: ops.divide(1.0, x),
}

REDUCTIONS = {np.add: ops.sum, np.multiply: ops.prod, np.maximum: ops.max, np.minimum: ops.min}


def array_function(function: Callable[..., Any], arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """What NumPy's function does with arguments of which one at least is, or holds, a tensor."""
    name = f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"
    ours = FUNCTIONS.get(function)
    given = {key: value for key, value in settings.items() if not (key in ("out", "dtype") and value is None)}
    if ours is not None:
        try:
            return ours(*arguments, **given)
        except TypeError as error:
            if "unexpected keyword" not in str(error) and "positional argument" not in str(error):
                raise
            unknown = ", ".join(f"{key}=" for key in given) or f"{len(arguments)} arguments"
            raise TypeError(
                f"{name} of a tensor does not take {unknown}; leave that out, or convert with np.asarray(x), without gradient"
            ) from error
    if function in LOOKS or not _tracked((arguments, settings)):
        return function(*_arrays(arguments), **_arrays(settings))
    raise TypeError(
        f"{name} would lose the gradient of a tensor, and tensorgrad has no primitive for it; compose it of tg's functions, "
        "or convert with np.asarray(x), detach() or under tg.no_grad() where no gradient is wanted"
    )


def array_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """What a ufunc of NumPy does with inputs of which one at least is a tensor."""
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    given = {key: value for key, value in settings.items() if value is not None}
    if "out" in given:
        raise TypeError(
            f"{name} cannot write a tensor into an array, which would lose its gradient; let the result be new, as in "
            f"`y = y + x` instead of `y += x`, or convert with np.asarray(x)"
        )
    if method == "__call__" and ufunc in UFUNCS and not given:
        return UFUNCS[ufunc](*inputs)
    if method == "reduce" and ufunc in REDUCTIONS and not given.keys() - {"axis", "keepdims"}:
        return REDUCTIONS[ufunc](inputs[0], settings.get("axis", 0), bool(given.get("keepdims")))
    if (method == "__call__" and ufunc in LOOKING_UFUNCS) or not _tracked(inputs):
        return getattr(ufunc, method)(*_arrays(inputs), **_arrays(settings))
    what = f" with {', '.join(f'{key}=' for key in given)}" if given else ""
    raise TypeError(
        f"{name}{what} would lose the gradient of a tensor, and tensorgrad has no primitive for it; compose it of tg's "
        "functions, or convert with np.asarray(x), detach() or under tg.no_grad() where no gradient is wanted"
    )


def _tracked(structure: Any) -> bool:
    """Whether a graph is being built and one of these tensors is in it."""
    if isinstance(structure, Tensor):
        return structure.requires_grad and current().builds_graph
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, list | tuple):
        return False
    return any(map(_tracked, structure))


def _arrays(structure: Any) -> Any:
    """The same arguments with arrays in the place of tensors."""
    if isinstance(structure, Tensor):
        return structure.data
    if isinstance(structure, dict):
        return {key: _arrays(value) for key, value in structure.items()}
    if type(structure) in (list, tuple):
        return type(structure)(map(_arrays, structure))
    return structure
