"""Programs put together at random do the same when replayed, whatever is fused, cut or laid over other memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tensorgrad as tg

from .helpers import agree

UNARY = [tg.exp, tg.tanh, tg.sigmoid, tg.relu, tg.sin, tg.negative, tg.abs, lambda x: x * 2.0, lambda x: 1.0 - x, lambda x: x.T]
UNARY += [lambda x: x.T.T + 1.0, lambda x: tg.where(x > 0, x, 0.5 * x), lambda x: x.sum(0), lambda x: x.mean(-1, keepdims=True)]
UNARY += [lambda x: x.reshape(-1), lambda x: x[..., :1], lambda x: tg.softmax(x, -1), lambda x: tg.clip(x, -1.0, 1.0)]
BINARY = [tg.add, tg.multiply, tg.subtract, tg.maximum, tg.minimum, lambda x, y: x / (1.5 + y * y)]


@st.composite
def programs(draw):
    """A list of operations; each takes values made so far, by their numbers."""
    length = draw(st.integers(1, 12))
    return [
        (draw(st.sampled_from(UNARY)),) if draw(st.booleans()) else (draw(st.sampled_from(BINARY)), draw(st.integers(0, 50)))
        for _ in range(length)
    ], [draw(st.integers(0, 50)) for _ in range(length)]


def run(program, values):
    """The values made, those with their shapes as they come; what does not fit together is left out."""
    for (operation, *other), source in zip(*program, strict=True):
        x = values[source % len(values)]
        if x.ndim == 0 or x.size == 0:
            x = values[0]
        arguments = [x]
        if other:
            y = values[other[0] % len(values)]
            try:
                np.broadcast_shapes(x.shape, y.shape)
            except ValueError:
                y = x
            arguments.append(y)
        made = operation(*arguments)
        if made.size <= 4096:
            values.append(made)
    return values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(program=programs(), shape=st.sampled_from([(4, 6), (3, 4), (1, 5), (6, 1), (2, 3, 4), (7,)]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_random_programs(everything_is_large, dtype, program, shape):
    def make():
        rng = np.random.default_rng(0)
        weights = [tg.Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for _ in range(2)]

        def step(x):
            for w in weights:
                w.grad = None
            values = run(program, [x if isinstance(x, tg.Tensor) else tg.Tensor(x), *weights])
            loss = sum(((v + 1.0) * v).sum() for v in values[3:]) + (weights[0] * x).sum()
            loss.backward()
            for w in weights:
                if w.grad is not None:
                    tg.assign(w, w.detach() - w.grad * 1e-3)
            return loss, values[-1].detach()

        return step, weights

    rng = np.random.default_rng(1)
    agree(make, [(rng.standard_normal(shape).astype(dtype),) for _ in range(5)], 1e-4 if dtype == np.float32 else 1e-11)


CHAINS = {
    "conv": lambda z, pool: z,
    "conv-relu": lambda z, pool: tg.relu(z),
    "conv-relu-pool": lambda z, pool: tg.max_pool2d(tg.relu(z), **pool),
    "conv-pool-relu": lambda z, pool: tg.relu(tg.max_pool2d(z, **pool)),
    "conv-pool": lambda z, pool: tg.max_pool2d(z, **pool),
    "conv-relu-avg": lambda z, pool: tg.avg_pool2d(tg.relu(z), 2),
    "looked into": lambda z, pool: tg.max_pool2d(tg.relu(z), **pool) + z.mean(),
    "conv-tanh-pool": lambda z, pool: tg.max_pool2d(tg.tanh(z), **pool),
}
POOLS = [
    {"kernel_size": 2},
    {"kernel_size": 3},
    {"kernel_size": (1, 2)},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 2, "padding": 1},
]
CONVOLUTIONS = [
    {},
    {"padding": 1},
    {"padding": (0, 2)},
    {"stride": 2},
    {"stride": (1, 2), "padding": 1},
    {"dilation": 2, "padding": 2},
    {"groups": 2, "padding": 1},
    {"padding": 3},
]


@pytest.mark.parametrize("chain", CHAINS)
@given(
    settings_=st.sampled_from(CONVOLUTIONS),
    pool=st.sampled_from(POOLS),
    bias=st.booleans(),
    deep=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    batch=st.sampled_from([1, 3]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_convolutions_with_all_that_follows(everything_is_large, chain, settings_, pool, bias, deep, dtype, batch):
    def make():
        rng = np.random.default_rng(0)
        groups = settings_.get("groups", 1)
        w = tg.Tensor(rng.standard_normal((4, 2 // groups, 3, 3)).astype(dtype), requires_grad=True)
        b = tg.Tensor(rng.standard_normal(4).astype(dtype), requires_grad=True) if bias else None
        first = tg.Tensor(rng.standard_normal((2, 2, 1, 1)).astype(dtype), requires_grad=True)
        state = [w, first] + [b] * bias

        def step(x):
            for p in state:
                p.grad = None
            if deep:  # then the images need a gradient too
                x = tg.conv2d(x, first)
            y = CHAINS[chain](tg.conv2d(x, w, b, **settings_), pool)
            ((y + 1.0) * y).sum().backward()  # a cotangent that is not 0 where relu lets nothing pass
            for p in state:
                if p.grad is not None:
                    tg.assign(p, p.detach() - p.grad * 1e-6)
            return y

        return step, state

    rng = np.random.default_rng(1)
    calls = [(rng.standard_normal((batch, 2, 9, 8)).astype(dtype),) for _ in range(5)]
    compiled = agree(make, calls, 1e-4 if dtype == np.float32 else 1e-11)
    assert compiled.plan() is not None
