"""How much memory a training step and a large convolution take beyond what the process held before. Linux only.

python tests/benchmarks/memory.py
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import frameworks  # noqa: E402
import numpy as np  # noqa: E402
import works  # noqa: E402


def status(name: str) -> float:
    """A figure of the process in MB: "VmRSS" is held now, "VmHWM" was the most since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def peak_above(idle: float, run: Callable[[], Any]) -> float:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held
    run()
    return status("VmHWM") - idle


def steps(step: Callable[[], Any], count: int) -> Callable[[], None]:
    return lambda: [step() for _ in range(count)] and None


def eager() -> None:
    work = works.WORKS["mnist_cnn"]
    step = frameworks.tensorgrad_eager(work)
    idle = status("VmRSS")
    print(
        f"MNIST CNN, batch 200, eager step: peak {peak_above(idle, steps(step, 10)):.0f} MB above the idle process (limit 100)"
    )


def replay() -> None:
    work = works.WORKS["mnist_cnn"]
    step = frameworks.tensorgrad_replay(work)
    idle = status("VmRSS")
    recording = peak_above(idle, steps(step, 4))
    print(f"the same, recorded and planned: peak {recording:.0f} MB; ", end="")
    print(f"then replayed: peak {peak_above(idle, steps(step, 10)):.0f} MB (limit 60)")
    before = status("VmRSS")
    steps(step, 100)()
    print(f"100 replays later the process holds {status('VmRSS') - before:+.1f} MB")


def convolution() -> None:
    import tensorgrad as tg

    rng = np.random.default_rng(0)
    x, w = rng.random((15, 3, 440, 440), dtype=np.float32), rng.random((64, 3, 5, 5), dtype=np.float32)
    tg.conv2d(x[:1, :, :10, :10], w)
    idle, out = status("VmRSS"), []
    peak = peak_above(idle, lambda: out.append(tg.conv2d(x, w)))
    size = out[0].data.nbytes / 2**20
    print(f"conv2d of 64 5x5 filters over 15x3x440x440: peak {peak - size:.0f} MB beyond its {size:.0f} MB output (limit 100)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"eager": eager, "replay": replay, "convolution": convolution}[sys.argv[1]]()
    else:
        for part in ("eager", "replay", "convolution"):
            subprocess.run([sys.executable, __file__, part], check=True)
