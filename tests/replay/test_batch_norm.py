"""Batch norm under replay: cut by channels, and all its gradients in one step."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

from .helpers import agree


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 5, 3, 6), (3, 1, 4, 4), (6, 7)])
def test_the_gradients_of_a_batch_norm_are_made_in_one_step(everything_is_large, shape, dtype):
    def make():
        rng = np.random.default_rng(0)
        x, weight, bias = (
            tg.Tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in (shape, shape[1:2], shape[1:2])
        )

        def step(factor):
            x.grad = weight.grad = bias.grad = None
            y, mean, var = tg.batch_norm(x * factor, weight, bias, with_statistics=True)
            loss = (tg.relu(y) ** 2).sum()
            loss.backward()
            return loss, mean, var

        return step, [x, weight, bias]

    factors = [(np.full(shape, k, dtype),) for k in (1.0, 0.5, 2.0, 3.0, 1.5)]
    names = [step.name for step in agree(make, factors, 1e-4 if dtype is np.float32 else None).plan()._program.steps]
    assert "backward of batch_norm" in names
    assert not {"batch_norm_input_grad", "batch_norm_weight_grad"}.intersection(names)


def test_a_batch_norm_without_weight_has_one_gradient_and_stays_as_it_is(everything_is_large):
    def make():
        x = tg.Tensor(np.random.default_rng(0).standard_normal((4, 5, 3, 6)), requires_grad=True)

        def step(g):
            x.grad = None
            loss = (tg.batch_norm(x) * g).sum()
            loss.backward()
            return loss

        return step, [x]

    cotangents = [(np.random.default_rng(k).standard_normal((4, 5, 3, 6)),) for k in range(5)]
    assert "batch_norm_input_grad" in [step.name for step in agree(make, cotangents).plan()._program.steps]
