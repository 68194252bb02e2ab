"""Rows of what is computed element by element: arithmetic, functions, comparisons, choices, masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tensorgrad as tg

from .table import (
    Call,
    Row,
    arrays,
    booleans,
    elementwise,
    halves,
    nonzero,
    normal,
    optional_torch,
    positive,
    shapes,
    unary,
    wholes,
)

torch = optional_torch()


@st.composite
def powers_by_a_number(draw: Any) -> Call:
    """Whole exponents of bases of either sign, others of positive bases."""
    exponent = draw(st.sampled_from([2, 3, 1, 0, -1, -2, 0.5, 2.5, -0.5]))
    domain = nonzero if isinstance(exponent, int) else positive
    return Call((draw(arrays(shapes(), domain)),), {"exponent": exponent})


bounds = st.sampled_from([(-2, 1), (None, 1), (-2, None), (0.0, 3.0)])


@st.composite
def clips(draw: Any) -> Call:
    low, high = draw(bounds)
    return Call((draw(arrays(shapes(), halves)),), {"low": low, "high": high})


@st.composite
def random_masks(draw: Any) -> Call:
    settings = {"rate": draw(st.sampled_from([0.3, 0.0, 0.9, 1.0])), "seed": draw(st.integers(0, 9))}
    return Call((draw(arrays(shapes())),), settings)


def dropout(x: Any, rate: float, seed: int) -> tg.Tensor:
    return tg.dropout(x, rate, rng=np.random.default_rng(seed))


def shared(x: Any, mine: Any, other: Any) -> Any:
    """What `share` computes: x where mine is greater, half of it at ties."""
    return x * (mine > other) + x * 0.5 * (mine == other)


rates = st.sampled_from([0.3, 0.0, 0.9])

ROWS = [
    Row("add", elementwise(normal, normal), lambda x, y: x + y, linear=True),
    Row("subtract", elementwise(normal, normal), lambda x, y: x - y, linear=True),
    Row("multiply", elementwise(normal, normal), lambda x, y: x * y, linear=True),
    Row("divide", elementwise(normal, nonzero), lambda x, y: x / y),
    Row("negative", unary(), lambda x: -x, linear=True),
    Row("positive", unary(), lambda x: +x, linear=True),
    Row("power", elementwise(positive, normal), lambda x, y: x**y),
    Row("nth_power", powers_by_a_number(), lambda x, exponent: x**exponent),
    # functions
    Row("exp", unary(), lambda x: x.exp()),
    Row("log", unary(positive), lambda x: x.log()),
    Row("sqrt", unary(positive), lambda x: x.sqrt()),
    Row("abs", unary(nonzero), lambda x: x.abs()),
    Row("sign", unary(wholes), lambda x: x.sign(), differentiable=False),
    Row("sin", unary(), lambda x: x.sin()),
    Row("cos", unary(), lambda x: x.cos()),
    Row("tanh", unary(), lambda x: x.tanh()),
    Row("sigmoid", unary(), lambda x: x.sigmoid()),
    Row("relu", unary(nonzero), lambda x: x.relu()),
    Row("softplus", unary(), lambda x: torch.nn.functional.softplus(x, threshold=1e9)),
    Row("silu", unary(), lambda x: torch.nn.functional.silu(x)),
    Row("erf", unary(), lambda x: x.erf()),
    Row("gelu", unary(), lambda x: torch.nn.functional.gelu(x)),
    # comparisons and choices
    Row("greater", elementwise(wholes, wholes), lambda x, y: x > y, differentiable=False),
    Row("greater_equal", elementwise(wholes, wholes), lambda x, y: x >= y, differentiable=False),
    Row("less", elementwise(wholes, wholes), lambda x, y: x < y, differentiable=False),
    Row("less_equal", elementwise(wholes, wholes), lambda x, y: x <= y, differentiable=False),
    Row("equal", elementwise(wholes, wholes), lambda x, y: x == y, differentiable=False),
    Row("not_equal", elementwise(wholes, wholes), lambda x, y: x != y, differentiable=False),
    Row("maximum", elementwise(wholes, halves), lambda x, y: torch.maximum(x, y)),
    Row("minimum", elementwise(wholes, halves), lambda x, y: torch.minimum(x, y)),
    Row(
        "where",
        elementwise(booleans, normal, normal, numbers=False),
        lambda condition, x, y: torch.where(condition, x, y),
        linear=True,
        constant=("condition",),
    ),
    Row("clip", clips(), lambda x, low, high: x.clip(low, high), tg.clip),
    Row("gate", elementwise(normal, wholes, numbers=False), lambda x, by: x * (by > 0), linear=True, constant=("by",)),
    Row("share", elementwise(normal, wholes, wholes, numbers=False), shared, linear=True, constant=("mine", "other")),
    # random masks
    Row("dropout", random_masks(), function=dropout, linear=True),
    Row(
        "thin",
        elementwise(normal, booleans, numbers=False, rate=rates),
        lambda x, mask, rate: x * mask / (1 - rate),
        linear=True,
        constant=("mask",),
    ),
]
