"""Interrupt training steps at random moments by a signal, and go on with them.

    python tests/stress/interrupts.py                      # 200 interrupts, some minutes at most
    python tests/stress/interrupts.py --rounds 1000 --seed 7

Each round trains a network, eagerly, compiled, or with `nn.fit`, until a timer's signal raises KeyboardInterrupt, as Ctrl-C
does. After it nobody may be at work any more, BLAS must have its threads back, a compiled step must have been done or not done,
and further steps must agree with eager ones from the state that was left. A round that hangs ends the program, with
all stacks.
"""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import threadpoolctl  # noqa: E402

import nn  # noqa: E402
import tensorgrad as tg  # noqa: E402
from tensorgrad.kernels import threads  # noqa: E402

KINDS = ("eager", "compiled", "fit", "compiled fit")
HANGS = 60
"""Seconds after which a round is given up."""

BATCHES = 6
CLASSES = 5


class Network:
    """A network and all state of its training. Large enough for two threads where it is wide."""

    def __init__(self, wide: bool, adam: bool) -> None:
        rng = np.random.default_rng(0)
        filters, units, self.batch, self.side = (32, 512, 64, 16) if wide else (4, 16, 8, 8)
        self.dropout = np.random.default_rng(1)
        self.model = nn.Sequential(
            *(nn.Conv2D(3, filters, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2D(2)),
            *(nn.Conv2D(filters, filters, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2D(filters), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(filters * (self.side // 2) ** 2, units, rng=rng), nn.ReLU()),
            *(nn.Dropout(0.2, rng=self.dropout), nn.Linear(units, CLASSES, rng=rng)),
        )
        parameters = self.model.parameters()
        self.optimizer = nn.optim.Adam(parameters, 1e-3) if adam else nn.optim.SGD(parameters, 1e-3, momentum=0.9)
        self.step = self._step
        self._step(*self.data(0))  # makes the optimizer's state

    def _step(self, x: Any, t: Any) -> tg.Tensor:
        self.optimizer.zero_grad()
        loss = nn.cross_entropy(self.model(x), t)
        loss.backward()
        self.optimizer.step()
        return loss

    def data(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(number)
        images = rng.standard_normal((self.batch, 3, self.side, self.side), np.float32)
        return images, rng.integers(0, CLASSES, self.batch)

    def leaves(self) -> list[tg.Tensor]:
        return [*self.model.parameters(), *self.model.buffers(), *(cell for _, cell in self.optimizer._named_state())]

    def versions(self) -> list[int]:
        return [leaf.version for leaf in self.leaves() if leaf.version]

    def take_over(self, other: Network) -> None:
        """The state of another network of this kind."""
        self.model.load_state_dict(other.model.state_dict())
        self.optimizer.load_state_dict(other.optimizer.state_dict())
        self.dropout.bit_generator.state = other.dropout.bit_generator.state

    def distance(self, other: Network) -> float:
        """How far the parameters are apart, relative to their norms."""
        pairs = [(a.data, b.data) for a, b in zip(self.model.parameters(), other.model.parameters(), strict=True)]
        return max(float(np.linalg.norm(a - b) / (np.linalg.norm(b) + 1e-6)) for a, b in pairs)


class Data:
    """Batches for `nn.fit`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self._network.data(number) for number in range(BATCHES))


class Round:
    """One network that is interrupted again and again, and an eager one to compare it with."""

    def __init__(self, kind: str, wide: bool, adam: bool) -> None:
        self.kind = kind
        self.network, self.twin = Network(wide, adam), Network(wide, adam)
        if kind == "compiled":
            self.network.step = tg.compile(self.network.step).check(every=0)
            for number in range(4):
                self.network.step(*self.network.data(number))
            assert self.network.step.replays
        began = time.perf_counter()
        self._work()()
        self.seconds = time.perf_counter() - began

    def _work(self) -> Callable[[], Any]:
        network = self.network
        if self.kind.endswith("fit"):
            settings = {"epochs": 1, "progress": False, "compiled": self.kind == "compiled fit"}
            data = Data(network)
            return lambda: nn.fit(network.model, data, network.optimizer, **settings)
        batch = network.data(0)
        return lambda: network.step(*batch)

    def run(self, delay: float) -> str:
        """Work until the signal comes, and see what is left."""
        network, twin, work = self.network, self.twin, self._work()
        before, found = network.versions(), ""
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                work()
                found = "came to its end"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            found = "interrupted"
        network.model.train()
        require_nobody_at_work()
        steps = {now - then for now, then in zip(network.versions(), before, strict=True)}
        if self.kind == "compiled" and len(steps) != 1:
            raise AssertionError(f"the step was done in part: leaves were given {sorted(steps)} new values")
        twin.take_over(network)
        for number in (1, 2):
            network.step(*network.data(number))
            Network._step(twin, *twin.data(number))
        if not (apart := network.distance(twin)) < 1e-4:
            raise AssertionError(f"steps after an interrupt are {apart:.2g} away from eager ones")
        return found


def require_nobody_at_work() -> None:
    if threads.blas_on_one_thread._under_way:
        raise AssertionError("BLAS was left on one thread")
    counts = [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    if counts != BLAS_THREADS:
        raise AssertionError(f"BLAS has {counts} threads after an interrupt, and had {BLAS_THREADS}")


BLAS_THREADS = [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def stress(rounds: int, seed: int, kinds: tuple[str, ...] = KINDS) -> Counter[tuple[str, str]]:
    """How often each kind of work was interrupted, and how often it was done before."""
    rng = np.random.default_rng(seed)
    made = [Round(kind, wide, adam) for kind in kinds for wide in (False, True) for adam in (False, True)]
    found: Counter[tuple[str, str]] = Counter()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)  # raises KeyboardInterrupt
    try:
        for number in range(rounds):
            one = made[number % len(made)]
            faulthandler.dump_traceback_later(HANGS, exit=True)
            found[one.kind, one.run(rng.uniform(1e-6, one.seconds))] += 1
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Interrupt training steps at random moments, and go on with them.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    tg.show_config()
    began = time.perf_counter()
    for (kind, outcome), count in sorted(stress(options.rounds, options.seed, tuple(options.kinds)).items()):
        print(f"{kind:14s} {outcome:16s} {count}")
    print(f"all whole after {options.rounds} rounds, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
