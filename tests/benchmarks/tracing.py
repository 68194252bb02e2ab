"""What tracing and drawing cost: python tests/benchmarks/tracing.py

Prints the overhead of a trace on training steps, how much of a step its nodes' times cover, and the seconds and
bytes of drawings at several sizes, with each layout engine that is installed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

import nn
import tensorgrad as tg
from tensorgrad.draw import build, drawn, engines


def best(run: Callable[[], object], repeats: int) -> float:
    """The shortest of several runs, in seconds."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return min(found)


def training_step(model: nn.Module, x: np.ndarray) -> Callable[[], None]:
    optimizer = nn.optim.SGD(model.parameters(), 1e-3)
    x, t = tg.Tensor(x), np.arange(len(x)) % 10

    def step() -> None:
        optimizer.zero_grad()
        nn.cross_entropy(model(x), t).backward()
        optimizer.step()

    return step


def overhead(name: str, step: Callable[[], None], repeats: int) -> None:
    """Time a step plain, traced, and traced with times, in turns."""

    def traced(times: bool) -> tg.Graph:
        with tg.trace(times=times) as graph:
            step()
        return graph

    plain, on, timed, covered = [], [], [], []
    for _ in range(repeats):
        plain.append(best(step, 1))
        on.append(best(lambda: traced(False), 1))
        began = time.perf_counter()
        graph = traced(True)
        timed.append(time.perf_counter() - began)
        covered.append(sum(node.seconds for node in graph.nodes) / graph.seconds)
    low = min(plain)
    print(
        f"{name:12} {len(graph.nodes):4} nodes  step {1e3 * low:7.2f} ms  traced {100 * (min(on) / low - 1):+5.1f} %  "
        f"with times {100 * (min(timed) / low - 1):+5.1f} %  nodes cover {100 * statistics.median(covered):.0f} % of the step"
    )


def chain(count: int) -> tg.Graph:
    """A step whose graph has about so many nodes."""
    x = tg.Tensor(np.ones((8, 8), np.float32), requires_grad=True)
    with tg.trace(f"{count:,} nodes") as graph:
        y = x
        for k in range(count // 4):  # each leaves three nodes in the backward pass
            with tg.scope(f"block{k // 10}", "Block"):
                y = tg.tanh(y)
        y.sum().backward()
    return graph


def drawing(count: int) -> None:
    graph = chain(count)
    began = time.perf_counter()
    picture = build(graph)
    source = drawn(picture, "ladder").source
    line = f"{len(graph.nodes):6,} nodes, {picture.total.ops:5,} rungs: DOT {time.perf_counter() - began:5.2f} s"
    for engine in engines.available():
        try:
            began = time.perf_counter()
            svg = engine.draw(source, "svg", [], 120.0)
            line += f"  {engine.name} {time.perf_counter() - began:5.2f} s, {len(svg) / 1e6:5.2f} MB"
        except engines.EngineError as error:
            line += f"  {engine.name}: {error}"
    print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15, help="how often each step is timed (default: %(default)s)")
    settings = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.random((200, 1, 28, 28)).astype(np.float32)
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(784, 256, rng=0), nn.ReLU(), nn.Linear(256, 10, rng=1))
    for name, model, x in (("MNIST CNN", nn.models.MnistCNN(rng=0), images), ("MLP", mlp, images)):
        step = training_step(model, x)
        step()
        overhead(name, step, settings.repeats)
    for count in (50, 500, 2_000, 5_000):
        drawing(count)


if __name__ == "__main__":
    main()
