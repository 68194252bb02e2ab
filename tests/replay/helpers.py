"""Training steps, and running one step twice: as it is, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import nn
import tensorgrad as tg


def close(a: np.ndarray, b: np.ndarray, tolerance: float | None = None) -> None:
    """Equal but for rounding, measured by the norm of the difference."""
    assert a.shape == b.shape and a.dtype == b.dtype
    if a.dtype.kind != "f":
        assert np.array_equal(a, b)
        return
    tolerance = tolerance if tolerance is not None else {2: 1e-2, 4: 1e-5, 8: 1e-12}[a.itemsize]
    assert np.linalg.norm((a - b).ravel()) <= tolerance * np.linalg.norm(b.ravel()) + 1e-30


def agree(
    make: Callable[[], tuple[Callable[..., Any], list[tg.Tensor]]], calls: Iterable[tuple], tolerance: float | None = None
) -> Any:
    """Make a step and its state twice, run one as it is and the other compiled, and compare results, state and gradients.

    `make` returns the step and the tensors that it changes. Returns the compiled step, which has replayed.
    """
    (plain, state), (step, replayed_state) = make(), make()
    compiled = tg.compile(step)
    for arguments in calls:
        expected, found = plain(*arguments), compiled(*arguments)
        for a, b in zip(tensors(found), tensors(expected), strict=True):
            close(a.data, b.data, tolerance)
        for a, b in zip(replayed_state, state, strict=True):
            close(a.data, b.data, tolerance)
            assert a.version == b.version
            assert (a.grad is None) == (b.grad is None)
            if a.grad is not None:
                close(a.grad.data, b.grad.data, tolerance)
    assert compiled.replays, "every call was recorded"
    return compiled


def tensors(result: Any) -> list[tg.Tensor]:
    if isinstance(result, tg.Tensor):
        return [result]
    return [t for part in result for t in tensors(part)] if isinstance(result, tuple | list) else []


def training(model, optimizer, loss=nn.cross_entropy):
    def step(x, t):
        optimizer.zero_grad()
        value = loss(model(x), t)
        value.backward()
        optimizer.step()
        return value

    return step, model.parameters()


def batches(rng, count, shape, classes=10):
    return [(rng.random(shape, dtype=np.float32), rng.integers(0, classes, shape[0])) for _ in range(count)]


def mlp(rng=0):
    return nn.Sequential(nn.Linear(12, 16, rng=rng), nn.Tanh(), nn.Linear(16, 10, rng=rng))
