"""Rows of what moves elements: other shapes and orders, joining and padding, indexing, and assignment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad as tg
from tensorgrad.ops.indexing import ARRAY

from .table import Call, Row, arrays, optional_torch, shapes, unary

torch = optional_torch()


# -- shapes ----------------------------------------------------------------------------------------------------------


@st.composite
def reshapes(draw: Any) -> Call:
    x = draw(arrays(shapes()))
    divisors = [n for n in range(1, x.size + 1) if x.size % n == 0] or [0]
    rows = draw(st.sampled_from(divisors))
    candidates = [(x.size,), (rows, x.size // rows if rows else 3), (-1, 1), (1, x.size, 1)]
    if x.size:
        candidates.append((rows, -1))
    return Call((x,), {"shape": draw(st.sampled_from(candidates))})


@st.composite
def flattenings(draw: Any) -> Call:
    x = draw(arrays(shapes(min_dims=1)))
    return Call((x,), {"start_axis": draw(st.integers(-x.ndim, x.ndim - 1))})


@st.composite
def squeezes(draw: Any) -> Call:
    shape = draw(st.lists(st.sampled_from([1, 1, 3, 0]), max_size=4).map(tuple))
    single = [k for k, n in enumerate(shape) if n == 1]
    axis = draw(st.sampled_from([None, tuple(single), *single, *(k - len(shape) for k in single)]))
    return Call((draw(arrays(shape)),), {"axis": axis})


@st.composite
def unsqueezes(draw: Any) -> Call:
    x = draw(arrays(shapes(max_dims=3)))
    one = st.integers(-x.ndim - 1, x.ndim)
    return Call((x,), {"axis": draw(st.one_of(one, st.just((0, -1)), st.just((x.ndim,))))})


@st.composite
def permutations(draw: Any) -> Call:
    x = draw(arrays(shapes()))
    axes = draw(st.permutations(range(x.ndim)))
    return Call((x,), {"axes": tuple(a - x.ndim if draw(st.booleans()) else a for a in axes)})


@st.composite
def stretches(draw: Any) -> Call:
    shape = draw(shapes(max_dims=3))
    kept = draw(st.integers(0, len(shape)))
    x_shape = tuple(1 if draw(st.booleans()) else n for n in shape[kept:])
    return Call((draw(arrays(x_shape)),), {"shape": shape})


# -- joining ---------------------------------------------------------------------------------------------------------


@st.composite
def joins(draw: Any) -> Call:
    shape = draw(shapes(min_dims=1, max_dims=3))
    axis = draw(st.integers(0, len(shape) - 1))
    sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    return Call(tuple(draw(arrays((*shape[:axis], n, *shape[axis + 1 :]))) for n in sizes), {"axis": axis})


@st.composite
def stacks(draw: Any) -> Call:
    shape = draw(shapes(max_dims=3))
    count = draw(st.integers(1, 3))
    return Call(tuple(draw(arrays(shape)) for _ in range(count)), {"axis": draw(st.integers(0, len(shape)))})


@st.composite
def paddings(draw: Any) -> Call:
    x = draw(arrays(shapes(min_dims=1, max_dims=3)))
    width = st.integers(0, 2)
    each = st.tuples(*[st.tuples(width, width)] * x.ndim)
    return Call((x,), {"pad_width": draw(st.one_of(each, width)), "value": draw(st.sampled_from([0.0, -1.5]))})


def padded(x: Any, pad_width: Any, value: float) -> Any:
    pairs = ((pad_width, pad_width),) * x.ndim if isinstance(pad_width, int) else pad_width
    return torch.nn.functional.pad(x, [n for pair in reversed(pairs) for n in pair], value=value)


# -- indexing --------------------------------------------------------------------------------------------------------


@st.composite
def indices(draw: Any, shape: tuple[int, ...]) -> Any:
    """Basic ones; arrays that repeat, for some axes or all; masks; arrays next to integers, slices, `...` and None."""
    basic = hnp.basic_indices(shape, allow_newaxis=True, max_dims=4)
    if 0 in shape or not shape:
        return draw(basic)
    places = [draw(hnp.arrays(np.intp, draw(shapes(1, 2)), elements=st.integers(-n, n - 1))) for n in shape]
    one = draw(st.integers(-shape[-1], shape[-1] - 1))
    options = [
        basic,
        st.just(places[0]),
        st.just((..., places[-1])),
        st.just((slice(None), *[np.array([0, n - 1, 0, -1]) for n in shape[1:]])),
        st.just((None, places[0], slice(None)) if len(shape) > 1 else (None, places[0])),
        hnp.integer_array_indices(shape),
        hnp.arrays(np.bool_, shape),
        hnp.arrays(np.bool_, shape[:1]),
    ]
    if len(shape) > 2:
        options += [st.just((places[0], slice(None), places[-1][:1].ravel()[:1])), st.just((places[0], ..., one))]
    return draw(st.one_of(options))


@st.composite
def readings(draw: Any, back: bool = False) -> Call:
    shape = draw(shapes(max_dims=3))
    index = draw(indices(shape))
    if not back:
        return Call((draw(arrays(shape)),), {"index": index})
    return Call((draw(arrays(np.zeros(shape)[index].shape)),), {"index": index, "shape": shape})


def positions(shape: tuple[int, ...], index: Any) -> np.ndarray:
    """Which elements an index reads, as numbers in the flattened array."""
    return np.arange(math.prod(shape)).reshape(shape)[index]


def read(x: Any, index: Any) -> Any:
    where = positions(tuple(x.shape), index)
    return x.reshape(-1)[torch.tensor(where.ravel())].reshape(where.shape)


def scattered(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    where = torch.tensor(positions(shape, index).ravel())
    flat = torch.zeros(math.prod(shape), dtype=x.dtype)
    return flat.index_put((where,), x.reshape(-1), accumulate=True).reshape(shape)


def scatter_add(x: Any, index: Any, shape: tuple[int, ...]) -> tg.Tensor:
    """The primitive, with the index parted as it wants it: arrays as inputs, the rest as a setting."""
    entries = index if isinstance(index, tuple) else (index,)
    found = [entry for entry in entries if isinstance(entry, np.ndarray) and entry.ndim]
    static = tuple(ARRAY if any(entry is a for a in found) else entry for entry in entries)
    return tg.PRIMITIVES["scatter_add"](x, *found, index=static, shape=shape)


# -- assignment ------------------------------------------------------------------------------------------------------


@st.composite
def assignments(draw: Any) -> Call:
    shape = draw(shapes(min_dims=1))
    return Call((draw(arrays(shape)), draw(arrays(shape))), {})


ROWS = [
    Row("reshape", reshapes(), lambda x, shape: x.reshape(shape), tg.reshape, linear=True),
    Row("flatten", flattenings(), lambda x, start_axis: x.flatten(start_axis), tg.flatten, linear=True),
    Row(
        "squeeze",
        squeezes(),
        lambda x, axis: x.squeeze() if axis is None else x.squeeze(axis),
        tg.squeeze,
        linear=True,
    ),
    Row(
        "unsqueeze",
        unsqueezes(),
        lambda x, axis: x[None, ..., None] if axis == (0, -1) else x.unsqueeze(axis if isinstance(axis, int) else axis[0]),
        tg.unsqueeze,
        linear=True,
    ),
    Row("permute", permutations(), lambda x, axes: x.permute(axes), tg.permute, linear=True),
    Row("broadcast_to", stretches(), lambda x, shape: x.expand(shape), tg.broadcast_to, linear=True),
    Row(
        "astype",
        unary(dtype=st.just(np.float64)),
        lambda x, dtype: x.double(),
        tg.astype,
        linear=True,
        dtype=np.float64,
    ),
    Row("concatenate", joins(), lambda *xs, axis: torch.cat(xs, axis), linear=True),
    Row("stack", stacks(), lambda *xs, axis: torch.stack(xs, axis), linear=True),
    Row("pad", paddings(), padded, tg.pad, linear=True),
    Row("getitem", readings(), read, tg.getitem, linear=True, constant=("indices",)),
    Row("scatter_add", readings(back=True), scattered, scatter_add, linear=True, constant=("indices",)),
    Row("assign", assignments(), lambda value, leaf: value, differentiable=False),
]
