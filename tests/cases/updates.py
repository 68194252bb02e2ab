"""Rows of the optimizers' updates, which `nn` registers. They have no rules; their values are tested with the optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import nn.optim

from .table import Call, Row, arrays, normal, positive, shapes

assert nn.optim


@st.composite
def steps(draw: Any, *cells: Any, count: bool = False, **settings: Any) -> Call:
    """A parameter, its gradient, the cells of its state, and the learning rate."""
    shape = draw(shapes(min_dims=1))
    inputs = [draw(arrays(shape, domain)) for domain in (normal, normal, *cells)]
    if count:
        inputs.append(np.array(3))
    return Call((*inputs, np.array(0.1)), settings)


@st.composite
def gradients(draw: Any) -> Call:
    return Call(tuple(draw(arrays(shapes(min_dims=1))) for _ in range(draw(st.integers(1, 3)))), {})


@st.composite
def scalings(draw: Any) -> Call:
    return Call((draw(arrays(shapes(min_dims=1))), np.array(2.0)), {"max_norm": draw(st.sampled_from([1.0, 3.0]))})


ADAM = {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}

ROWS = [
    Row("sgd_update", steps(weight_decay=0.1), differentiable=False),
    Row("momentum_update", steps(normal, momentum=0.9, nesterov=True, weight_decay=0.1), differentiable=False),
    Row("adam_update", steps(normal, positive, count=True, **ADAM), differentiable=False),
    Row("adamw_update", steps(normal, positive, count=True, **ADAM), differentiable=False),
    Row("global_norm", gradients(), differentiable=False, dtype=np.float64),
    Row("scale_to_norm", scalings(), differentiable=False),
]
