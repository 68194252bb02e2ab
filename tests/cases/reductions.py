"""Rows of sums and what is like them: means, variances, extrema, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tensorgrad as tg

from .table import Call, Domain, Row, arrays, distinct, normal, optional_torch, shapes

torch = optional_torch()


@st.composite
def some_axes(draw: Any, ndim: int) -> Any:
    """None, one axis or several, counted from the front or from behind."""
    axes = draw(st.lists(st.integers(0, max(ndim - 1, 0)), max_size=ndim, unique=True))
    if draw(st.sampled_from([True, False, False])):
        return None
    signed = tuple(a - ndim if draw(st.booleans()) else a for a in axes)
    return signed[0] if len(signed) == 1 and draw(st.booleans()) else signed


def from_front(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))))


@st.composite
def reductions(draw: Any, domain: Domain = normal, least: int = 0, **settings: st.SearchStrategy[Any]) -> Call:
    """An array, axes to reduce that hold at least so many elements together, and settings."""
    shape = list(draw(shapes()))
    axis = draw(some_axes(len(shape)))
    reduced = from_front(axis, len(shape))
    if math.prod(shape[a] for a in reduced) < least:
        if not reduced:
            shape, axis, reduced = [3], None, (0,)
        for a in reduced:
            shape[a] = max(shape[a], least)
    x = draw(arrays(tuple(shape), domain))
    return Call((x,), {"axis": axis, "keepdims": draw(st.booleans())} | {k: draw(s) for k, s in settings.items()})


def reduced_by(f: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's reduction of the last axis, for any axes."""

    def reduction(x: Any, axis: Any, keepdims: bool, **settings: Any) -> Any:
        axes = from_front(axis, x.ndim)
        others = [a for a in range(x.ndim) if a not in axes]
        rows = x.permute([*others, *axes]).reshape([x.shape[a] for a in others] + [math.prod(x.shape[a] for a in axes)])
        shape = [1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes]
        return f(rows, **settings).reshape(shape)

    return reduction


def variance(rows: Any, ddof: int) -> Any:
    """PyTorch's own warns of empty results."""
    return (rows - rows.mean(-1, keepdim=True)).square().sum(-1) / (rows.shape[-1] - ddof)


@st.composite
def spreads(draw: Any) -> Call:
    """What `spread` is for: a sum over some axes, with these axes or without, and the shape before."""
    shape = draw(shapes())
    axis = from_front(draw(some_axes(len(shape))), len(shape))
    keepdims = draw(st.booleans())
    x_shape = tuple(1 if a in axis else n for a, n in enumerate(shape) if keepdims or a not in axis)
    return Call((draw(arrays(x_shape)),), {"axis": axis, "shape": shape})


@st.composite
def extrema(draw: Any) -> Call:
    """What `attained` is for: an array and its maximum over some axes."""
    x, *_ = draw(reductions(distinct, least=1))[0]
    axis = from_front(draw(some_axes(x.ndim)), x.ndim)
    if not math.prod(x.shape[a] for a in axis):
        axis = ()
    return Call((x, np.asarray(x.max(axis=axis))), {"axis": axis})


@st.composite
def along_an_axis(draw: Any) -> Call:
    x = draw(arrays(shapes(min_dims=1, max_dims=3)))
    return Call((x,), {"axis": draw(st.integers(-x.ndim, x.ndim - 1))})


ddofs = st.sampled_from([0, 1])

ROWS = [
    Row("sum", reductions(), reduced_by(lambda rows: rows.sum(-1)), tg.sum, linear=True),
    Row(
        "spread",
        spreads(),
        lambda x, axis, shape: x.reshape([1 if a in axis else n for a, n in enumerate(shape)]).expand(shape),
        linear=True,
    ),
    Row("mean", reductions(least=1), reduced_by(lambda rows: rows.mean(-1)), tg.mean, linear=True),
    Row("var", reductions(least=2, ddof=ddofs), reduced_by(variance), tg.var),
    Row("std", reductions(distinct, least=2, ddof=ddofs), reduced_by(lambda *a, **s: variance(*a, **s).sqrt()), tg.std),
    Row("max", reductions(distinct, least=1), reduced_by(lambda rows: rows.amax(-1)), tg.max),
    Row("min", reductions(distinct, least=1), reduced_by(lambda rows: rows.amin(-1)), tg.min),
    Row("attained", extrema(), differentiable=False),
    Row("logsumexp", reductions(least=1), reduced_by(lambda rows: rows.logsumexp(-1)), tg.logsumexp),
    Row("softmax", along_an_axis(), lambda x, axis: x.softmax(axis), tg.softmax),
    Row("log_softmax", along_an_axis(), lambda x, axis: x.log_softmax(axis), tg.log_softmax),
]
