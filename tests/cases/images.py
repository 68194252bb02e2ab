"""Rows of convolution and pooling, and of the linear maps that their gradients are made of."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import tensorgrad as tg

from .table import Call, Row, arrays, distinct, generators, normal, optional_torch

torch = optional_torch()


# -- geometry ------------------------------------------------------------------------------------------------------


@st.composite
def geometries(draw: Any, widest_padding: Any = lambda kernel: 2, dilations: int = 2) -> tuple[dict[str, Any], tuple[int, int]]:
    """Settings of windows as pairs, and the height and width of images that they fit into, seldom without remainder."""
    kernel_size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, dilations), st.integers(1, dilations)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    padding = tuple(draw(st.integers(0, widest_padding(k))) for k in kernel_size)
    size = tuple(max(1, span - 2 * p) + draw(st.integers(0, 4)) for span, p in zip(spans, padding, strict=True))
    return {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}, size


@st.composite
def pool_geometries(draw: Any, dilations: int = 2) -> tuple[dict[str, Any], tuple[int, int]]:
    """The same for pools, whose windows all hold something of the image: with dilation a single row may lie between."""
    settings, size = draw(geometries(half, dilations))
    return settings, tuple(max(n, d) for n, d in zip(size, settings["dilation"], strict=True))


def half(kernel: int) -> int:
    """The widest padding that PyTorch pools with."""
    return kernel // 2


batches = st.sampled_from([2, 1, 3, 0])


def output_size(size: tuple[int, int], kernel_size: Any, stride: Any, padding: Any, dilation: Any = (1, 1)) -> tuple[int, int]:
    """The sizes of a convolution's output, from its definition: how many starts leave room for the window."""
    return tuple(
        len(range(0, n + 2 * p - d * (k - 1), s))
        for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    )


def one_number_where_equal(draw: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Sometimes an integer in place of a pair of equal ones."""
    return {
        name: value[0] if isinstance(value, tuple) and value[0] == value[1] and draw(st.booleans()) else value
        for name, value in settings.items()
    }


# -- applications ----------------------------------------------------------------------------------------------------


@st.composite
def convolution(draw: Any, of: str) -> Call:
    """An application of conv2d, of its transpose in the images, or of its transpose in the weights."""
    settings, size = draw(geometries())
    kernel_size = settings.pop("kernel_size")
    groups, channels, filters = draw(st.sampled_from([(1, 2, 3), (1, 1, 1), (2, 2, 4), (3, 3, 3), (1, 3, 2)]))
    n = draw(batches)
    x_shape, w_shape = (n, channels, *size), (filters, channels // groups, *kernel_size)
    y_shape = (n, filters, *output_size(size, kernel_size, **settings))
    if of == "images":
        return Call((draw(arrays(y_shape)), draw(arrays(w_shape))), {"shape": x_shape, **settings, "groups": groups})
    if of == "weights":
        return Call((draw(arrays(y_shape)), draw(arrays(x_shape))), {"shape": w_shape, **settings, "groups": groups})
    b = draw(st.sampled_from([None, normal]))
    inputs = draw(arrays(x_shape)), draw(arrays(w_shape)), b and b(draw(generators), (filters,))
    return Call(inputs, {**one_number_where_equal(draw, settings), "groups": groups})


@st.composite
def columns(draw: Any, back: bool = False) -> Call:
    settings, size = draw(geometries())
    n, channels = draw(batches), draw(st.integers(1, 2))
    if not back:
        return Call((draw(arrays((n, channels, *size))),), one_number_where_equal(draw, settings))
    (kh, kw), (oh, ow) = settings["kernel_size"], output_size(size, **settings)
    settings = one_number_where_equal(draw, {"output_size": size, **settings})
    return Call((draw(arrays((n, channels * kh * kw, oh * ow))),), settings)


@st.composite
def max_pools(draw: Any) -> Call:
    settings, size = draw(pool_geometries())
    x = draw(arrays((draw(batches), draw(st.integers(1, 2)), *size), distinct))
    return Call((x,), {**one_number_where_equal(draw, settings), "ceil_mode": draw(st.booleans())})


@st.composite
def winners(draw: Any, gather: bool) -> Call:
    """An application of scatter_winners or gather_winners, with the winners of a max-pool."""
    settings, size = draw(pool_geometries())
    settings["ceil_mode"] = draw(st.booleans())
    x = draw(arrays((draw(batches), draw(st.integers(1, 2)), *size), distinct))
    y, won = tg.PRIMITIVES["max_pool2d"].outputs(x, **settings)
    if gather:
        return Call((draw(arrays(x.shape)), won.data), settings)
    return Call((draw(arrays(y.shape)), won.data), {"shape": x.shape, **settings})


@st.composite
def average_pools(draw: Any, back: bool = False) -> Call:
    settings, size = draw(pool_geometries(dilations=1))
    del settings["dilation"]
    settings |= {"ceil_mode": draw(st.booleans()), "count_include_pad": draw(st.booleans())}
    x = draw(arrays((draw(batches), draw(st.integers(1, 2)), *size)))
    if not back:
        return Call((x,), one_number_where_equal(draw, settings))
    return Call((draw(arrays(tg.avg_pool2d(x, **settings).shape)),), {"shape": x.shape, **settings})


# -- PyTorch ---------------------------------------------------------------------------------------------------------


def transposed(f: Any, y: Any, shape: tuple[int, ...]) -> Any:
    """The transpose of a linear function of a tensor of that shape, applied to y."""
    x = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(f(x), x, y, create_graph=True)[0]


def functional() -> Any:
    return torch.nn.functional


ROWS = [
    Row("conv2d", convolution("outputs"), lambda x, w, b, **s: functional().conv2d(x, w, b, **s), tg.conv2d, linear=True),
    Row(
        "conv2d_input_grad",
        convolution("images"),
        lambda y, w, shape, **s: transposed(lambda x: functional().conv2d(x, w, **s), y, shape),
        linear=True,
    ),
    Row(
        "conv2d_weight_grad",
        convolution("weights"),
        lambda y, x, shape, **s: transposed(lambda w: functional().conv2d(x, w, **s), y, shape),
        linear=True,
    ),
    Row("im2col", columns(), lambda x, **s: functional().unfold(x, **s), tg.im2col, linear=True),
    Row("col2im", columns(back=True), lambda cols, **s: functional().fold(cols, **s), tg.col2im, linear=True),
    Row("max_pool2d", max_pools(), lambda x, **s: functional().max_pool2d(x, **s), tg.max_pool2d),
    Row("scatter_winners", winners(gather=False), linear=True, constant=("winners",)),
    Row("gather_winners", winners(gather=True), linear=True, constant=("winners",)),
    Row("avg_pool2d", average_pools(), lambda x, **s: functional().avg_pool2d(x, **s), tg.avg_pool2d, linear=True),
    Row(
        "avg_pool2d_input_grad",
        average_pools(back=True),
        lambda y, shape, **s: transposed(lambda x: functional().avg_pool2d(x, **s), y, shape),
        linear=True,
    ),
]
