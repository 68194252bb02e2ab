"""Where the time of a step goes, node by node, beside the least that its arithmetic and its memory traffic could take.

    python tests/benchmarks/profile_step.py mnist_cnn
    python tests/benchmarks/profile_step.py vgg --replay

The limit of a node is the larger of two times: its floating-point operations at the rate of a large matrix product on both
cores, and the bytes that it reads and writes at the rate of a large copy on both cores. Figures are minima.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for name in [n for n in os.environ if n.startswith(("OPENBLAS_", "OMP_"))]:
    del os.environ[name]
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import frameworks  # noqa: E402
import numpy as np  # noqa: E402
from works import WORKS  # noqa: E402

import tensorgrad as tg  # noqa: E402
from tensorgrad.graph import Graph, GraphNode  # noqa: E402
from tensorgrad.kernels.threads import at_once, blas_on_one_thread, in_turn  # noqa: E402
from tensorgrad.replay.runner import as_work  # noqa: E402


def least(function: Callable[[], Any], times: int) -> float:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def rates() -> tuple[float, float]:
    """Floating-point operations and bytes in a second that both cores manage together."""
    a, b = np.ones((1024, 1024), np.float32), np.ones((1024, 1024), np.float32)
    source, target = (np.ones((2, 1 << 20), np.float32) for _ in range(2))
    copies = [lambda k=k: np.copyto(target[k], source[k]) for k in range(2)]
    return 2 * 1024**3 / least(lambda: a @ b, 20), 2 * source.nbytes / least(lambda: at_once(copies), 50)


def nbytes(graph: Graph, node: GraphNode) -> int:
    return sum(graph.values[v].nbytes for v in [*node.inputs, *node.outputs] if v is not None)


def eager_rows(
    step: Callable[..., Any], arguments: tuple[Any, ...], times: int
) -> tuple[float, list[tuple[str, str, float, int, int]]]:
    """(name, phase, seconds, flops, bytes) of every node, and the seconds of the whole step without a trace."""
    seconds: list[list[float]] = []
    for _ in range(times):
        with tg.trace(times=True) as graph:
            step(*arguments)
        seconds.append([node.seconds or 0.0 for node in graph.nodes])
    fastest = np.min(seconds, axis=0)
    rows = [(n.primitive, n.phase, float(s), n.flops, nbytes(graph, n)) for n, s in zip(graph.nodes, fastest, strict=True)]
    return least(lambda: step(*arguments), times), rows


def replay_rows(
    step: Callable[..., Any], arguments: tuple[Any, ...], times: int
) -> tuple[float, list[tuple[str, str, float, int, int]]]:
    """The same of every step of the plan."""
    compiled = tg.compile(step)
    for _ in range(4):
        compiled(*arguments)
    runner, graph = compiled._latest.runner, compiled.plan().graph
    rows = []
    for node, stages in zip(graph.nodes, runner.stages, strict=True):
        works = [as_work(stage) for stage in stages]
        work = partial(blas_on_one_thread, in_turn(works))
        taken = least(work, times) if works else 0.0
        rows.append((node.primitive, node.phase, taken, node.flops, nbytes(graph, node) if works else 0))
    return least(lambda: compiled(*arguments), times), rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Profile one step by node.")
    parser.add_argument("work", choices=list(WORKS), nargs="?", default="mnist_cnn")
    parser.add_argument(
        "--replay", action="store_true", help="the steps of the replayed plan instead of the nodes of the graph"
    )
    parser.add_argument("--times", type=int, default=30)
    options = parser.parse_args()

    frameworks.tensorgrad_eager(WORKS[options.work])
    step, arguments = frameworks.tensorgrad_eager.step
    for _ in range(3):
        step(*arguments)
    whole, rows = (replay_rows if options.replay else eager_rows)(step, arguments, options.times)
    arithmetic, traffic = rates()
    print(f"limits: {arithmetic / 1e9:.0f} GFLOP/s in matrix products, {traffic / 1e9:.0f} GB/s copied (read and written)")
    print(f"{'phase':9s} {'node':42s} {'ms':>8s} {'limit':>8s} {'share':>6s}")
    total = bound = 0.0
    for name, phase, seconds, flops, size in rows:
        limit = max(flops / arithmetic, size / 2 / traffic)
        total, bound = total + seconds, bound + limit
        if seconds > whole / 1000:
            print(f"{phase:9s} {name[:42]:42s} {seconds * 1e3:8.3f} {limit * 1e3:8.3f} {seconds / whole:6.1%}")
    products = sum(flops for _, _, _, flops, _ in rows) / arithmetic
    print(f"{'':9s} {'sum of nodes':42s} {total * 1e3:8.3f} {bound * 1e3:8.3f}")
    print(f"{'':9s} {'whole step':42s} {whole * 1e3:8.3f}   all floating-point operations alone: {products * 1e3:.3f}")


if __name__ == "__main__":
    main()
