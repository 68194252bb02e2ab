"""Time steps, eager and replayed, while other programs keep every core busy.

    python tests/benchmarks/busy.py                                  # the transformer, with 0, 1 and 2 busy loops
    python tests/benchmarks/busy.py --works transformer mlp --loops 0 2

A replay must never be slower than the eager step: exits with 1 where its median is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

from works import WORKS  # noqa: E402

HOW = ("eager", "replay")


def timed(work: str, how: str, seconds: float) -> None:
    """Print the seconds of each step that fits into a while."""
    if work == "transformer":
        from transformer import transformer_step

        import tensorgrad as tg

        step, arguments = transformer_step()
        step = tg.compile(step) if how == "replay" else step
        run = lambda: step(*arguments)  # noqa: E731
    else:
        from frameworks import FRAMEWORKS

        run = FRAMEWORKS[f"tensorgrad {how}"](WORKS[work])
    for _ in range(5):
        run()
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 5:
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    print(*taken)


def measured(work: str, loops: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    """The seconds of steps in processes that take turns, beside so many busy loops."""
    environment = {name: x for name, x in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(ROOT)])
    found: dict[str, list[float]] = {how: [] for how in HOW}
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        for _ in range(rounds):
            for how in HOW:
                command = [sys.executable, __file__, "--time", work, how, "--seconds", str(seconds)]
                output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
                found[how] += map(float, output.split())
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Time steps while other programs keep every core busy.")
    parser.add_argument("--works", nargs="+", choices=["transformer", *WORKS], default=["transformer"])
    parser.add_argument("--loops", type=int, nargs="+", default=[0, 1, 2], help="how many busy loops")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each process is timed")
    parser.add_argument("--time", nargs=2, metavar=("WORK", "HOW"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.time:
        timed(*options.time, options.seconds)
        return
    slower = False
    for work in options.works:
        for loops in options.loops:
            found = measured(work, loops, options.rounds, options.seconds)
            medians = {how: statistics.median(taken) for how, taken in found.items()}
            slower |= medians["replay"] > medians["eager"]
            figures = ", ".join(f"{how} min {min(t) * 1e3:.1f} median {medians[how] * 1e3:.1f} ms" for how, t in found.items())
            print(f"{work}, {loops} busy loops: {figures}", flush=True)
    raise SystemExit(slower)


if __name__ == "__main__":
    main()
