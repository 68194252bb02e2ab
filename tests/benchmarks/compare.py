"""Time tensorgrad against whichever other frameworks are installed, and print the table.

    python tests/benchmarks/compare.py                        # everything: some minutes
    python tests/benchmarks/compare.py --works mnist_cnn mlp --rounds 10

Every framework runs in a process of its own, since two numerical libraries in one process disturb each other; the processes
take turns, so that whatever else the machine does falls on all alike. The losses of the first two steps must agree to 1e-5
before anything is timed. OPENBLAS_* is cleared, and printed. Results go to runs/benchmarks/: JSON, and a bar chart.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

from default_run import default_run, show_default_run  # noqa: E402
from frameworks import FRAMEWORKS, MODULES  # noqa: E402
from works import WORKS  # noqa: E402

BASE = "PyTorch"
CHAIN_LIMIT = (1.0, 1.15)
ALL = [*WORKS, "chain", "default_run"]


class Process:
    """A worker that waits for its turns."""

    def __init__(self, framework: str, work: str, environment: dict[str, str]) -> None:
        command = [sys.executable, str(HERE / "worker.py"), framework, work]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.first = self._answer()
        self.seconds: list[float] = []
        self.peak_mb = 0.0

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1])
        return json.loads(line)

    def turn(self, count: int) -> None:
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.seconds += answer["seconds"]
        self.peak_mb = answer["peak_mb"]

    def end(self) -> None:
        self.process.communicate()


def installed() -> list[str]:
    return [name for name in FRAMEWORKS if name not in MODULES or importlib.util.find_spec(MODULES[name]) is not None]


def compare(work: str, names: list[str], rounds: int, budget: float, environment: dict[str, str]) -> dict[str, Any]:
    """The figures of one work, by framework."""
    processes: dict[str, Process] = {}
    for name in names:
        if work == "chain" and name not in ("tensorgrad eager", BASE):
            continue
        try:
            processes[name] = Process(name, work, environment)
        except RuntimeError as error:
            print(f"  {name}: left out, {error}")
    reference = (processes.get(BASE) or next(iter(processes.values()))).first["losses"]
    for name, process in processes.items():
        apart = [abs(a - b) / max(1.0, abs(b)) for a, b in zip(process.first["losses"], reference, strict=True)]
        if max(apart, default=0.0) > 1e-5:
            raise SystemExit(f"{work}: the losses of {name}, {process.first['losses']}, are not those of {BASE}, {reference}")
    for process in processes.values():
        process.turn(3)  # recording, compiling, warming up
    for process in processes.values():
        process.seconds.clear()
    for _ in range(rounds):
        for process in processes.values():
            process.turn(1 if work == "chain" else max(3, min(30, int(budget / (_least(process) or 0.05)))))
    for process in processes.values():
        process.end()
    base = _least(processes[BASE]) if BASE in processes else None
    return {
        name: {
            "minimum": _least(process),
            "median": statistics.median(process.seconds),
            "ratio": _least(process) / base if base else None,
            "median_ratio": statistics.median(process.seconds) / statistics.median(processes[BASE].seconds) if base else None,
            "steps": len(process.seconds),
            "extra_mb": process.peak_mb - process.first["idle_mb"],
        }
        for name, process in processes.items()
    }


def _least(process: Process) -> float:
    return min(process.seconds, default=0.0)


def limits(work: str, name: str) -> tuple[float, float] | None:
    """The aim and the limit for a framework's ratio."""
    if work == "chain":
        return CHAIN_LIMIT if name == "tensorgrad eager" else None
    return {"tensorgrad eager": WORKS[work].eager, "tensorgrad replay": WORKS[work].replayed}.get(name)


def show(work: str, figures: dict[str, Any]) -> None:
    print(f"\n{work}")
    unit, factor = ("us/node", 1e6) if work == "chain" else ("ms/step", 1e3)
    for name, row in figures.items():
        wanted = limits(work, name)
        verdict = ""
        if wanted and row["ratio"] is not None:
            aim, limit = wanted
            met = "aim met" if row["ratio"] <= aim else "met" if row["ratio"] <= limit else "MISSED"
            verdict = f"   limit {limit}, aim {aim}: {met}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:6.2f} x  (medians {row['median_ratio']:.2f} x)"
        print(
            f"  {name:18s} min {row['minimum'] * factor:8.2f}  median {row['median'] * factor:8.2f} {unit}  {ratio}"
            f"  +{row['extra_mb']:.0f} MB{verdict}"
        )


def chart(results: dict[str, Any], path: Path) -> None:
    """Bars of the ratios, one group for each work."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for figures in results.values() for name in figures))
    figure, axes = plt.subplots(figsize=(1.6 * len(results) + 3, 4.2), layout="constrained")
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        places = [j for j, figures in enumerate(results.values()) if figures.get(name, {}).get("ratio")]
        heights = [list(results.values())[j][name]["ratio"] for j in places]
        bars = axes.bar([j + (k - (len(names) - 1) / 2) * width for j in places], heights, width, label=name)
        axes.bar_label(bars, fmt="%.2f", fontsize=7)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(range(len(results)), list(results))
    axes.set_ylabel(f"time, {BASE} = 1")
    axes.set_title("Time of one step against PyTorch eager (minima; lower is faster)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time tensorgrad against other frameworks.")
    parser.add_argument("--works", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--frameworks", nargs="+", choices=list(FRAMEWORKS), default=None)
    parser.add_argument("--rounds", type=int, default=12, help="turns of each process")
    parser.add_argument("--seconds", type=float, default=0.3, help="about how long a turn lasts")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()

    cleared = {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "OMP_"))}
    environment = {name: value for name, value in os.environ.items() if name not in cleared}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(ROOT)])
    print("cleared:", ", ".join(f"{name}={value}" for name, value in cleared.items()) or "no OPENBLAS_* or OMP_* was set")
    subprocess.run([sys.executable, "-c", "import tensorgrad as tg; tg.show_config()"], env=environment, check=True)
    names = options.frameworks or installed()
    print("frameworks:", ", ".join(names))
    results = {}
    for work in [work for work in options.works if work != "default_run"]:
        results[work] = compare(work, names, options.rounds, options.seconds, environment)
        show(work, results[work])
    options.output.mkdir(parents=True, exist_ok=True)
    if "default_run" in options.works and BASE in names:
        if "mnist_cnn" not in results:
            results["mnist_cnn"] = compare("mnist_cnn", [BASE], options.rounds, options.seconds, environment)
        figures = default_run(results["mnist_cnn"][BASE]["minimum"], 2, environment)
        show_default_run(figures)
    else:
        figures = None
    facts = {"time": time.strftime("%Y-%m-%d %H:%M"), "command": sys.argv, "results": results, "default_run": figures}
    (options.output / "results.json").write_text(json.dumps(facts, indent=1))
    chart(results, options.output / "results.png")
    print(f"\nwritten: {options.output / 'results.json'}, {options.output / 'results.png'}")


if __name__ == "__main__":
    main()
