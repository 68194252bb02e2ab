"""Plant faults in replays and count those that the check finds: `python -m tests.replay.planted_faults`.

A fault is what a mistake in planning, fusion or a kernel would do: memory used again too early, a gradient dropped, a stale
constant, inputs exchanged, an update left out, a wrong winner, scratch memory shared by two threads. Each is planted into the
plans of several networks, in a step chosen at random among those where it changes something.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import nn
import tensorgrad as tg
from tensorgrad.replay import fallback
from tensorgrad.replay.memory import Plan
from tensorgrad.replay.program import Program
from tensorgrad.replay.runner import Runner

from . import faults_in_runners  # noqa: F401  (registers its faults)
from .faults_in_plans import MEMORY, PROGRAM, RUNNER
from .random_networks import Skip, small_thresholds

# -- networks ----------------------------------------------------------------------------------------------------------


def cnn() -> tuple[nn.Module, Any, tuple[int, ...]]:
    model = nn.Sequential(nn.Conv2D(1, 6, 3, rng=0), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten(), nn.Linear(216, 10, rng=1))
    return model, nn.optim.SGD(model.parameters(), 0.05), (9, 1, 14, 14)


def vgg() -> tuple[nn.Module, Any, tuple[int, ...]]:
    """Large enough for Winograd's method."""
    layers = [nn.Conv2D(3, 16, 3, padding=1, rng=0), nn.ReLU(), nn.Conv2D(16, 16, 3, padding=1, rng=1), nn.ReLU()]
    layers += [nn.MaxPool2D(2), nn.Conv2D(16, 16, 3, padding=1, rng=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3, rng=3)]
    model = nn.Sequential(*layers, nn.Linear(16 * 64, 10, rng=4))
    return model, nn.optim.SGD(model.parameters(), 0.01, momentum=0.9), (16, 3, 16, 16)


def residual() -> tuple[nn.Module, Any, tuple[int, ...]]:
    def block(channels: int, seed: int) -> nn.Module:
        body = nn.Sequential(nn.Conv2D(channels, 8, 3, padding=1, bias=False, rng=seed), nn.BatchNorm2D(8), nn.ReLU())
        beside = nn.Sequential(nn.Conv2D(channels, 8, 1, bias=False, rng=seed + 1), nn.BatchNorm2D(8))
        return Skip(body, beside)

    layers = [block(3, 0), nn.ReLU(), block(8, 2), nn.AvgPool2D(2), nn.Flatten(), nn.Linear(8 * 16, 10, rng=5)]
    model = nn.Sequential(*layers)
    return model, nn.optim.Adam(model.parameters(), 0.01), (8, 3, 8, 8)


def perceptron() -> tuple[nn.Module, Any, tuple[int, ...]]:
    layers = [nn.Linear(30, 24, rng=0), nn.Tanh(), nn.Dropout(0.2, rng=1), nn.Linear(24, 24, rng=2), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(24, 10, rng=3))
    return model, nn.optim.Adam(model.parameters(), 0.01), (12, 30)


def pooled() -> tuple[nn.Module, Any, tuple[int, ...]]:
    """Pooling before relu, overlapping windows, a convolution with a stride."""
    layers = [nn.Conv2D(2, 6, 5, padding=2, rng=0), nn.MaxPool2D(2), nn.ReLU(), nn.Conv2D(6, 8, 3, stride=2, rng=1), nn.Tanh()]
    layers += [nn.MaxPool2D(2, stride=1), nn.Flatten(), nn.Linear(32, 10, rng=2)]
    model = nn.Sequential(*layers)
    return model, nn.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True), (7, 2, 14, 14)


NETWORKS = {make.__name__: make for make in (cnn, vgg, residual, perceptron, pooled)}

# -- planting ----------------------------------------------------------------------------------------------------------

FAULTS = {**PROGRAM, **MEMORY, **RUNNER}


@contextlib.contextmanager
def planted(name: str, seed: int) -> Iterator[list[bool]]:
    """While this is entered, plans are made with a fault in them. Yields a list, whose items say whether there was a place
    for it."""
    rng, done = np.random.default_rng(seed), []
    before = fallback.fuse, fallback.place, fallback.Runner

    def fuse(program: Program) -> None:
        before[0](program)
        if name in PROGRAM:
            done.append(PROGRAM[name](program, rng))

    def place(program: Program) -> Plan:
        plan = before[1](program)
        if name in MEMORY and not done:
            done.append(MEMORY[name](program, plan, rng))
        return plan

    def runner(program: Program, plan: Plan) -> Runner:
        made = before[2](program, plan)
        if name in RUNNER and not done:
            done.append(RUNNER[name](made, rng))
        return made

    fallback.fuse, fallback.place, fallback.Runner = fuse, place, runner
    try:
        yield done
    finally:
        fallback.fuse, fallback.place, fallback.Runner = before


def outcome(network: str, name: str, seed: int) -> str | None:
    """What is said of a fault: None where it is missed, "" where there was no place for it."""
    model, optimizer, shape = NETWORKS[network]()
    rng = np.random.default_rng(seed)

    @tg.compile
    def step(x: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    with warnings.catch_warnings(), planted(name, seed) as done:
        warnings.simplefilter("error")
        try:
            for _ in range(3):
                step(rng.standard_normal(shape, dtype=np.float32), rng.integers(0, 10, shape[0]))
        except (tg.ReplayError, RuntimeWarning) as error:
            return str(error)
    return None if done == [True] else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--seeds", type=int, default=3, help="places for each fault in each network")
    parser.add_argument("--verbose", action="store_true", help="print what is said of each")
    arguments = parser.parse_args()
    tg.show_config()
    small_thresholds()
    count, missed = 0, 0
    for network in NETWORKS:
        for name in FAULTS:
            for seed in range(arguments.seeds):
                said = outcome(network, name, seed)
                if said != "":
                    count += 1
                    missed += said is None
                if said is None:
                    print(f"MISSED: {name} in {network}, seed {seed}")
                elif said and arguments.verbose:
                    print(f"{name} in {network}, seed {seed}: {said[:160]}")
    print(f"{count} faults planted, {missed} missed: {100 * (count - missed) / count:.1f} % found")
    raise SystemExit(missed > 0.01 * count)


if __name__ == "__main__":
    main()
