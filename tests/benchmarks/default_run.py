"""The whole default run of examples/train_mnist.py, against a hand-written NumPy program that does the same.

That program, with im2col over everything, in float64 and without a graph, took 1.75 s for an iteration with its evaluation
where PyTorch took 20 ms for a step of training. What it would take here is told by PyTorch's step here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "train_mnist.py"
ITERATIONS = 150
REFERENCE_SECONDS = 1.75 * ITERATIONS
REFERENCE_STEP = 0.020
TIMES_FASTER = {"tensorgrad eager": 10, "tensorgrad replay": 15}
"""At least this much faster than the hand-written program."""


def default_run(pytorch_step: float, runs: int, environment: dict[str, str]) -> dict[str, Any]:
    """Seconds of whole runs, eager and replayed in turns, and how many times faster than the hand-written program they are.

    Args:
        pytorch_step: seconds of PyTorch's training step of the MNIST CNN on this machine.
    """
    hand_written = REFERENCE_SECONDS * pytorch_step / REFERENCE_STEP
    seconds: dict[str, list[float]] = {name: [] for name in TIMES_FASTER}
    for _ in range(runs):
        for name, found in seconds.items():
            found.append(_seconds(["--eager"] if name.endswith("eager") else [], environment))
    return {name: {"minimum": min(found), "faster": hand_written / min(found)} for name, found in seconds.items()}


def _seconds(flags: list[str], environment: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(PROGRAM), *flags, "--output", folder]
        said = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    found = re.search(rf"^{ITERATIONS} iterations, ([0-9.]+) s$", said.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{PROGRAM.name} said no time for {ITERATIONS} iterations:\n{said.stdout}")
    return float(found.group(1))


def show_default_run(figures: dict[str, Any]) -> None:
    print("\ndefault run")
    for name, row in figures.items():
        wanted = TIMES_FASTER[name]
        verdict = "met" if row["faster"] >= wanted else "MISSED"
        faster = f"{row['faster']:.1f} times faster than the hand-written program"
        print(f"  {name:18s} {row['minimum']:6.1f} s  {faster}   limit {wanted}: {verdict}")
