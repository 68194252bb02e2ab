"""A replay that is broken off, by an interrupt at any point or by an error, is not done, or done once."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from interrupting import Interrupting, interrupted, points
from stress.interrupts import Network

import nn
import tensorgrad as tg

from .helpers import training


class Trained:
    """A compiled training step, and all that it changes."""

    def __init__(self, optimizer: str) -> None:
        rng = np.random.default_rng(0)
        self.dropout = np.random.default_rng(1)
        model = nn.Sequential(
            nn.Conv2D(1, 4, 3, bias=False, rng=rng),
            nn.BatchNorm2D(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5, rng=self.dropout),
            nn.Linear(4 * 4 * 4, 3, rng=rng),
        )
        parameters = model.parameters()
        adam, momentum = nn.optim.Adam(parameters, 0.01), nn.optim.SGD(parameters, 0.1, momentum=0.9)
        step, _ = training(model, adam if optimizer == "adam" else momentum)
        self.replay = tg.compile(step).check(every=0)
        for _ in range(4):
            self.step()
        assert self.replay.replays
        self.leaves = list(self.replay._latest.runner.program.assigned)
        assert len(self.leaves) > 2 * len(parameters)  # running statistics and the optimizer's state are among them

    def step(self) -> None:
        rng = np.random.default_rng(2)
        self.replay(rng.random((5, 1, 6, 6), np.float32), rng.integers(0, 3, 5))

    def state(self) -> list[Any]:
        arrays = [(leaf.data.tobytes(), leaf.version) for leaf in self.leaves]
        return [*arrays, self.dropout.bit_generator.state]


@pytest.mark.parametrize("optimizer, holds", [("adam", False), ("momentum", False), ("momentum", True)])
def test_a_step_interrupted_at_any_point_is_not_done_or_done_once(everything_is_large, optimizer, holds):
    trained, twin = Trained(optimizer), Trained(optimizer)
    assert trained.state() == twin.state()
    folders = [os.path.dirname(package.__file__) for package in (tg, nn)]
    outcomes, held = [], []

    def run(point: int) -> bool:
        before = trained.state()
        twin.step()
        interrupting = Interrupting(point, *folders)
        if holds:  # so that a replay takes other memory; nobody holds any more what an interrupted one has left
            held.extend(leaf.data for leaf in trained.leaves)
        came = interrupted(interrupting, trained.step)
        held.clear()
        if came:
            outcomes.append("done" if trained.state() != before else "not done")
            if outcomes[-1] == "not done":
                trained.step()
        assert trained.state() == twin.state(), point
        return came

    assert points(run, every=67 if holds else 4) > 300
    assert set(outcomes) == {"done", "not done"}


def test_a_step_that_fails_leaves_parameters_generators_and_gradients(everything_is_large):
    trained = Trained("momentum")
    before = trained.state()
    images = np.zeros((5, 1, 6, 6), np.float32)
    with pytest.raises(ValueError, match="a label is"):
        trained.replay(images, np.array([0, 1, 2, 3, 4]))
    assert trained.state() == before
    assert all(leaf.grad is None for leaf in trained.leaves)
    twin = Trained("momentum")
    trained.step()
    twin.step()
    assert trained.state() == twin.state()


def test_gradients_added_up_over_calls_survive_a_call_that_fails(everything_is_large):
    w = tg.Tensor(np.ones((3, 4), np.float32), requires_grad=True)

    @tg.compile
    def add(x, t):
        loss = nn.cross_entropy(x @ w, t)
        loss.backward()
        return loss

    x = np.random.default_rng(0).random((5, 3), np.float32)
    for _ in range(5):
        add(x, np.array([0, 1, 2, 3, 0]))
    before = w.grad.data.copy()
    with pytest.raises(ValueError, match="a label is"):
        add(x, np.array([0, 1, 2, 3, 4]))
    np.testing.assert_array_equal(w.grad.data, before)


def test_a_replay_error_half_way_leaves_all_as_before(registry, everything_is_large):
    @tg.primitive
    def chosen(x, y):
        return x[y > 0]  # as many as values say

    chosen.vjp(x=None, y=None)
    rng = np.random.default_rng(0)
    w = tg.Tensor(np.ones(4, np.float32), requires_grad=True)
    mean = tg.Tensor(np.zeros(4, np.float32))

    @tg.compile
    def step(x):
        w.grad = None
        tg.assign(mean, mean * 0.9 + x.mean(0) * 0.1)
        y = tg.dropout(x * w, 0.5, rng=rng)
        (y * y).sum().backward()
        tg.assign(w, w.detach() - 0.1 * w.grad)
        return chosen(x.detach(), x.detach())

    def state():
        return [w.data.tobytes(), w.version, mean.data.tobytes(), mean.version, rng.bit_generator.state]

    x = np.array([[1.0, 2.0, -1.0, 3.0]], np.float32)
    for _ in range(5):
        step(x)
    assert step.replays
    before = state()
    with pytest.raises(tg.ReplayError, match="the shape depends on values"):
        step(-x)
    assert state() == before
    step(x)
    assert w.version == 6 and mean.version == 6


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", [0, 1, 2])
def test_training_goes_on_after_an_interrupt_while_a_step_is_recorded_or_checked(call):
    folders = [os.path.dirname(package.__file__) for package in (tg, nn)]

    def run(point: int) -> bool:
        network, twin = Network(wide=False, adam=True), Network(wide=False, adam=True)
        network.step = tg.compile(network.step)
        for k in range(call):
            network.step(*network.data(k))
        came = interrupted(Interrupting(point, *folders), lambda: network.step(*network.data(call)))
        twin.take_over(network)
        for k in range(5):
            network.step(*network.data(k))
            twin.step(*twin.data(k))
        assert network.distance(twin) < 1e-4
        assert network.step.replays
        return came

    assert points(run, every=1709) > 3000
