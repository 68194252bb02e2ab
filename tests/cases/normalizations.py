"""Rows of the normalizations over batches and over neighbouring channels, and of what their derivatives are made of."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import tensorgrad as tg

from .table import Call, Row, arrays, distinct, optional_torch

torch = optional_torch()


# -- over batches ------------------------------------------------------------------------------------------------------

SHAPES = st.sampled_from([(3, 2), (5, 1), (2, 3, 4), (2, 2, 3, 2), (3, 1, 1, 1), (2, 1, 1, 2, 2), (0, 2, 3)])
"""Three numbers at least in each channel: two become 1 and -1 whatever they are. None at all are allowed too."""


@st.composite
def batches(draw: Any, cotangent: bool = False, vectors: int = 0, **settings: st.SearchStrategy[Any]) -> Call:
    """A cotangent, where asked for; an array without constant channels; vectors with a number for each channel, or None."""
    shape = draw(SHAPES)
    inputs = [draw(arrays(shape))] if cotangent else []
    inputs.append(draw(arrays(shape, distinct)))
    inputs += [draw(st.none() | arrays(shape[1:2])) for _ in range(vectors)]
    return Call(tuple(inputs), {name: draw(strategy) for name, strategy in settings.items()})


@st.composite
def scalings(draw: Any) -> Call:
    x, shift = draw(batches(vectors=1)).inputs
    return Call((x, draw(arrays(x.shape[1:2])), shift), {})


EPS = st.sampled_from([1e-5, 0.1])


def with_statistics(name: str, x_place: int) -> Any:
    """A primitive that is given the mean and variance of x too, as a function of what comes before them."""

    def function(*inputs: Any, eps: float) -> tg.Tensor:
        x = inputs[x_place]
        with tg.no_grad():
            _, mean, var = tg.batch_norm(x, eps=eps, with_statistics=True)
        return tg.PRIMITIVES[name](*inputs, mean, var, eps=eps)

    return function


def normalized(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    if weight is None and bias is not None:  # PyTorch's second derivative fails for a bias alone
        weight = torch.ones_like(bias)
    return torch.nn.functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def standardized(x: Any, eps: float) -> Any:
    """The definition. PyTorch's own batch norm takes the statistics for constants from its third derivative on."""
    axes = (0, *range(2, x.ndim))
    centred = x - x.sum(axes, keepdim=True) / max(1, x.numel() // x.shape[1])
    var = (centred**2).sum(axes, keepdim=True) / max(1, x.numel() // x.shape[1])
    return centred / torch.sqrt(var + eps)


def input_grad(y: Any, x: Any, weight: Any, eps: float) -> Any:
    return torch.autograd.grad(scaled(standardized(x, eps), weight, None), x, y, create_graph=True)[0]


def weight_grad(y: Any, x: Any, eps: float) -> Any:
    return (y * standardized(x, eps)).sum((0, *range(2, x.ndim)))


def scaled(x: Any, scale: Any, shift: Any) -> Any:
    column = (-1,) + (1,) * (x.ndim - 2)
    return x * (1 if scale is None else scale.reshape(column)) + (0 if shift is None else shift.reshape(column))


# -- over neighbouring channels ------------------------------------------------------------------------------------------


@st.composite
def neighbourhoods(draw: Any, cotangent: bool = False) -> Call:
    """A cotangent, where asked for, and an array; few channels and many, windows narrow and wide."""
    shape = draw(st.sampled_from([(2, 5, 3), (1, 3, 2, 2), (3, 7, 1), (2, 1, 2, 1), (0, 2, 3), (2, 4, 0, 1)]))
    settings = {"size": draw(st.integers(1, 6)), "alpha": draw(st.sampled_from([1e-4, 2.0]))}
    settings |= {"beta": draw(st.sampled_from([0.75, 0.5])), "k": draw(st.sampled_from([1.0, 2.0]))}
    return Call(tuple(draw(arrays(shape)) for _ in range(1 + cotangent)), settings)


@st.composite
def windows(draw: Any) -> Call:
    inputs, settings = draw(neighbourhoods())
    return Call(inputs, {"size": settings["size"], "back": draw(st.booleans())})


def local_response_norm(x: Any, **settings: Any) -> Any:
    return torch.nn.functional.local_response_norm(x, **settings) if x.numel() else x * 1


def local_response_norm_input_grad(y: Any, x: Any, **settings: Any) -> Any:
    return torch.autograd.grad(local_response_norm(x, **settings), x, y, create_graph=True)[0]


ROWS = [
    Row("batch_norm", batches(vectors=2, eps=EPS), normalized, tg.batch_norm),
    Row(
        "batch_norm_input_grad",
        batches(cotangent=True, vectors=1, eps=EPS),
        input_grad,
        with_statistics("batch_norm_input_grad", 1),
        constant=("mean", "var"),
    ),
    Row(
        "batch_norm_weight_grad",
        batches(cotangent=True, eps=EPS),
        weight_grad,
        with_statistics("batch_norm_weight_grad", 1),
        constant=("mean", "var"),
    ),
    Row("scale_channels", scalings(), scaled, linear=True),
    Row("local_response_norm", neighbourhoods(), local_response_norm, tg.local_response_norm),
    Row("local_response_norm_input_grad", neighbourhoods(cotangent=True), local_response_norm_input_grad),
    Row("channel_window_sums", windows(), linear=True),
]
