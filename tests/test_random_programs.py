"""Random small programs of shared nodes and broadcast shapes: their gradients against PyTorch and central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad as tg
from tensorgrad.testing import gradcheck

# Each operation is written once, for tensorgrad and PyTorch alike: `lib` is one of them.
SMOOTH: dict[str, Callable[..., Any]] = {
    "tanh": lambda lib, x: lib.tanh(x),
    "sin": lambda lib, x: lib.sin(x),
    "exp": lambda lib, x: lib.exp(lib.tanh(x)),
    "log": lambda lib, x: lib.log(x * x + 1.0),
    "sqrt": lambda lib, x: lib.sqrt(x * x + 0.5),
    "sigmoid": lambda lib, x: lib.sigmoid(x),
    "cube": lambda lib, x: lib.tanh(x) ** 3,
    "reciprocal": lambda lib, x: 1 / (2 + lib.cos(x)),
    "negate": lambda lib, x: 0.5 - x,
    "sum of an axis": lambda lib, x: x.sum(0) if x.ndim else x * 2,
    "mean of the last": lambda lib, x: lib.mean(x, -1, keepdims=True) if x.ndim else x / 3,
    "softmax": lambda lib, x: lib.softmax(x, -1) if x.ndim else x,
    "logsumexp": lambda lib, x: lib.logsumexp(x, 0) if x.ndim else x,
    "flatten": lambda lib, x: x.reshape(-1),
    "turn": lambda lib, x: lib.permute(x, tuple(range(x.ndim))[::-1]),
    "new axis": lambda lib, x: lib.unsqueeze(x, 0) if x.ndim < 4 else x,
    "every second": lambda lib, x: x[..., ::2] if x.ndim else x,
    "repeat": lambda lib, x: x[[0, -1, 0]] if x.ndim else x,
    "product with itself": lambda lib, x: lib.matmul(x, lib.permute(x, (1, 0))) * 0.1 if x.ndim == 2 else x,
    "add": lambda lib, x, y: x + y,
    "subtract": lambda lib, x, y: x - y,
    "multiply": lambda lib, x, y: x * lib.sin(y),
    "divide": lambda lib, x, y: x / (y * y + 1),
    "power": lambda lib, x, y: (lib.sigmoid(x) + 0.5) ** y,
    "stack": lambda lib, x, y: lib.stack([x * y, x + y], -1) if max(x.ndim, y.ndim) < 4 else x * y,
    "join": lambda lib, x, y: lib.concatenate([x + y, y - x], 0) if max(x.ndim, y.ndim) else x + y,
}
KINKED: dict[str, Callable[..., Any]] = {
    "relu": lambda lib, x: lib.relu(x),
    "abs": lambda lib, x: lib.abs(x),
    "choose": lambda lib, x: lib.where(x > 0.25, x, 0.1 * x),
    "maximum": lambda lib, x, y: lib.maximum(x, y),
    "minimum": lambda lib, x, y: lib.minimum(x, y),
    "clip": lambda lib, x: lib.clip(x, -0.5, 1.0),
}
BINARY = {"add", "subtract", "multiply", "divide", "power", "stack", "join", "maximum", "minimum"}
LARGEST = 120


class Program(NamedTuple):
    """Operations, each on values made before: on the inputs first, then on what earlier operations made."""

    steps: list[tuple[str, int, int]]
    inputs: list[np.ndarray]

    def run(self, lib: Any, *inputs: Any) -> Any:
        """A single number that depends on every value."""
        values = list(inputs)
        for name, first, second in self.steps:
            x = values[first % len(values)]
            partners = [y for y in values if fits(tuple(x.shape), tuple(y.shape))]
            arguments = (x, partners[second % len(partners)]) if name in BINARY else (x,)
            made = (SMOOTH | KINKED)[name](lib, *arguments)
            if 0 < size(made) <= LARGEST:
                values.append(made)
        return sum(lib.sin(value).sum() * (1 + 0.1 * k) for k, value in enumerate(values))


def fits(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(shape, other)
    except ValueError:
        return False
    return True


def size(x: Any) -> int:
    return int(np.prod(tuple(x.shape), dtype=int))


@st.composite
def programs(draw: Any, operations: dict[str, Any]) -> Program:
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    step = st.tuples(st.sampled_from(sorted(operations)), st.integers(0, 20), st.integers(0, 20))
    return Program(draw(st.lists(step, min_size=1, max_size=10)), [rng.standard_normal(shape) for shape in shapes])


@settings(max_examples=120)
@given(programs(SMOOTH | KINKED))
def test_random_programs_have_pytorchs_derivatives(program: Program):
    torch = pytest.importorskip("torch")
    ours = [tg.Tensor(x, requires_grad=True) for x in program.inputs]
    theirs = [torch.tensor(x, requires_grad=True) for x in program.inputs]
    value, expected = program.run(tg, *ours), program.run(torch, *theirs)
    assert value.item() == pytest.approx(expected.item(), rel=1e-10, abs=1e-10)

    value.backward(create_graph=True)
    firsts, expected_firsts = [x.grad for x in ours], torch.autograd.grad(expected, theirs, create_graph=True)
    for first, expected_first in zip(firsts, expected_firsts, strict=True):
        np.testing.assert_allclose(first.data, expected_first.detach().numpy(), rtol=1e-9, atol=1e-9)

    for x in ours:
        x.grad = None
    sum((first * first).sum() for first in firsts).backward()
    expected_seconds = torch.autograd.grad(sum((first * first).sum() for first in expected_firsts), theirs)
    for x, expected_second in zip(ours, expected_seconds, strict=True):
        np.testing.assert_allclose(x.grad.data, expected_second.numpy(), rtol=1e-8, atol=1e-8)


@settings(max_examples=50)
@given(programs(SMOOTH))
def test_random_programs_agree_with_differences_to_second_order(program: Program):
    gradcheck(lambda *inputs: program.run(tg, *inputs), *program.inputs, directions=1, atol=1e-5, rtol=1e-5)
