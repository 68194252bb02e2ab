"""One framework at one work, in a process of its own. It answers each line on its input with one line of JSON.

Started by `compare.py`; "N" makes it run N steps after two that are not counted, and tell their seconds.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import frameworks
import numpy as np
import works


def chain(framework: str) -> Callable[[], tuple[float, float]]:
    """Seconds for each node, forward and backward, of a chain of multiplications and additions on 4 x 4."""
    a, b, g = (np.full((4, 4), value, np.float32) for value in (1.0, 0.5, 1.0))
    if framework == "PyTorch":
        import torch

        torch.set_num_threads(2)
        a, b, g = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True), torch.tensor(g)
    else:
        import tensorgrad as tg

        a, b, g = tg.Tensor(a, requires_grad=True), tg.Tensor(b, requires_grad=True), tg.Tensor(g)

    def run() -> tuple[float, float]:
        began = time.perf_counter()
        h = a
        for _ in range(works.CHAIN // 2):
            h = h * b + a
        middle = time.perf_counter()
        h.backward(g)
        end = time.perf_counter()
        a.grad = b.grad = None
        return (middle - began) / works.CHAIN, (end - middle) / works.CHAIN

    return run


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    framework, name = sys.argv[1:]
    if name == "chain":
        import gc

        gc.disable()  # for PyTorch it makes no difference
        run, idle = chain(framework), peak_mb()
        say(losses=[], idle_mb=idle)
    else:
        work = works.WORKS[name]
        step, idle = frameworks.FRAMEWORKS[framework](work), peak_mb()
        losses = [float(step()) for _ in range(2)]
        say(losses=losses, idle_mb=idle)
        run = None
    for line in sys.stdin:
        count = int(line)
        if run is not None:
            say(seconds=[sum(run()) for _ in range(count + 2)][2:], peak_mb=peak_mb())
            continue
        seconds = []
        for _ in range(count + 2):
            began = time.perf_counter()
            float(step())
            seconds.append(time.perf_counter() - began)
        say(seconds=seconds[2:], peak_mb=peak_mb())


if __name__ == "__main__":
    main()
