"""Why does the plain MNIST network stop near 88 % on the test digits? Change one condition at a time, and see.

    python examples/conditions.py
    python examples/conditions.py --factors digits,steps --seeds 5

The starting point is `examples/train_mnist.py`: 3,000 digits with pixels from 0 to 255, weights from N(0, 0.01^2), 256 hidden
units, 150 steps of plain gradient descent at learning rate 0.001 on batches of 200. Each run of the sweep changes one of
these, with several seeds, in parallel processes of one thread. Results go into runs/conditions/runs.csv as they come,
so an interrupted sweep goes on where it stopped. At the end there are a table, a plot for each condition, and a conclusion.

With the full MNIST in a folder that TENSORGRAD_MNIST names, the sweep over the number of digits goes on to 60,000, and the
test digits are always the 500 that come along, so that all figures can be compared.
"""

import argparse
import csv
import functools
import math
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import nn
from nn import flags
from nn.training import evaluate
from tensorgrad.files import replacing

BASE = {
    "digits": 3000,
    "steps": 150,
    "hidden": 256,
    "lr": 0.001,
    "batch": 200,
    "pixels": "0-255",
    "init": "0.01",
    "optimizer": "sgd",
}
LONGER = 10
"""How many times as many steps "digits-longer" takes: digits can only be wanting where there is time to learn them."""
FACTORS = {
    "digits": [500, 1000, 3000, 10_000, 60_000],
    "digits-longer": [500, 1000, 3000, 10_000, 60_000],
    "steps": [50, 150, 500, 1500],
    "hidden": [32, 64, 128, 256, 512],
    "lr": [0.0001, 0.0003, 0.001, 0.002, 0.004],
    "batch": [25, 50, 100, 200, 400],
    "pixels": ["0-255", "0-1", "0-1, lr 0.1"],
    "init": ["0.01", "kaiming"],
    "optimizer": ["sgd", "momentum", "adam"],
}
NAMES = {
    "digits": "training digits",
    "digits-longer": f"training digits, {LONGER} times the steps",
    "steps": "steps of training",
    "hidden": "hidden units",
    "lr": "learning rate",
    "batch": "batch size",
    "pixels": "pixel values",
    "init": "first weights",
    "optimizer": "optimizer",
}
COLUMNS = [*BASE, "seed", "loss", "train_accuracy", "test_accuracy"]


def main() -> int:
    settings = read_settings()
    BASE["steps"] = settings.steps
    settings.output.mkdir(parents=True, exist_ok=True)
    table = settings.output / "runs.csv"
    done = read_runs(table)
    wanted = planned(settings)
    missing = [run for run in wanted if key(run) not in done]
    print(f"{len(wanted)} runs, {len(wanted) - len(missing)} of them done before")
    try:
        sweep(missing, table, done, settings.processes)
    except KeyboardInterrupt:
        print("Stopped. Start again with the same flags to go on.")
        return 130
    results = [done[key(run)] for run in wanted]
    report = write_table(results, settings.factors) + "\n\n" + conclusion(results, settings.factors)
    print("\n" + report)
    with replacing(settings.output / "report.md") as new:
        Path(new).write_text(report + "\n", encoding="utf-8")
    save_plots(results, settings.factors, settings.output / "conditions.png")
    print(f"\nThe table and the plots are in {settings.output}")
    return 0


def planned(settings: argparse.Namespace) -> list[dict]:
    """The runs of the sweep, each once: the starting point, and one condition changed at a time."""
    most = 60_000 if os.environ.get("TENSORGRAD_MNIST") else 3000
    runs = {key(run): run for run in (BASE | {"seed": seed} for seed in range(settings.seeds))}
    for factor in settings.factors:
        for value in FACTORS[factor]:
            if factor.startswith("digits") and value > most:
                continue
            for seed in range(settings.seeds):
                run = conditions_of(factor, value) | {"seed": seed}
                runs[key(run)] = run
    return list(runs.values())


def conditions_of(factor: str, value: object) -> dict:
    """The starting point with one factor changed."""
    if factor == "digits-longer":
        return BASE | {"digits": value, "steps": LONGER * BASE["steps"]}
    return BASE | {factor: value}


def is_start(factor: str, value: str) -> bool:
    return factor in BASE and value == str(BASE[factor])


def key(run: dict) -> tuple[str, ...]:
    return tuple(str(run[name]) for name in (*BASE, "seed"))


def sweep(runs: list[dict], table: Path, done: dict, processes: int) -> None:
    """Do the runs in parallel, the long ones first, and write each result into the table when it is there."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for the children: processes are what runs in parallel
    runs = sorted(runs, key=lambda run: -run["steps"] * run["batch"])
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(train, run) for run in runs]
        try:
            for future in tqdm(as_completed(futures), total=len(futures), unit="run", disable=None):
                result = {name: str(value) for name, value in future.result().items()}
                done[key(result)] = result
                write_runs(table, done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def train(run: dict) -> dict:
    """One training under the conditions of a run; returns them with its last loss and its accuracies."""
    rng = np.random.default_rng(run["seed"])
    scale = 1.0 if run["pixels"] == "0-255" else 1 / 255
    images, labels = digits("train", run["digits"], scale)
    init = nn.init.normal(float(run["init"])) if run["init"] != "kaiming" else nn.init.kaiming_normal()
    model = nn.Sequential(
        nn.Conv2D(1, 30, 3, init=init, rng=rng),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Linear(5070, run["hidden"], init=init, rng=rng),
        nn.ReLU(),
        nn.Linear(run["hidden"], 10, init=init, rng=rng),
    )
    lr = 0.1 if run["pixels"].endswith("lr 0.1") else run["lr"]
    optimizer = {
        "sgd": functools.partial(nn.optim.SGD, lr=lr),
        "momentum": functools.partial(nn.optim.SGD, lr=lr, momentum=0.9),
        "adam": functools.partial(nn.optim.Adam, lr=lr),
    }[run["optimizer"]](model.parameters())
    draws = nn.data.batches(images, labels, run["batch"], shuffle=True, replace=True, rng=rng)

    def stop_in_time(training: nn.Training) -> None:
        if training.iteration == run["steps"]:
            training.stop("done")

    epochs = math.ceil(run["steps"] / len(draws))
    training = nn.fit(model, draws, optimizer, epochs=epochs, callbacks=[stop_in_time], compiled=True, progress=False)
    seen = nn.data.batches(images[:3000], labels[:3000], 250, shuffle=False)
    unseen = nn.data.batches(*digits("test", 500, scale), 250, shuffle=False)
    return run | {
        "loss": training.row["loss"],
        "train_accuracy": evaluate(model, seen),
        "test_accuracy": evaluate(model, unseen),
    }


def digits(split: str, count: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The first digits of a split with pixels from 0 to 255 x scale. The shipped ones are the first of the full set."""
    shipped = split == "test" or count <= 3000
    images, labels = nn.data.load_mnist(split, root=nn.data.SHIPPED_DIGITS if shipped else None)
    return images[:count].astype(np.float32) * np.float32(scale), labels[:count]


# -- results -----------------------------------------------------------------------------------------------------------


def accuracies(results: list[dict], factor: str, of: str = "test_accuracy") -> dict[str, np.ndarray]:
    """The accuracies over the seeds, by value of a factor."""
    found = {str(value): over_seeds(results, conditions_of(factor, value), of) for value in FACTORS[factor]}
    return {value: array for value, array in found.items() if len(array)}


def over_seeds(results: list[dict], conditions: dict, of: str = "test_accuracy") -> np.ndarray:
    """The accuracies of the runs under just these conditions."""
    return np.array([float(r[of]) for r in results if all(str(r[name]) == str(v) for name, v in conditions.items())])


def write_table(results: list[dict], factors: list[str]) -> str:
    """A Markdown table: a row for each condition, with mean and spread over the seeds."""
    lines = [
        "| condition | value | training accuracy, mean | test accuracy, mean | lowest to highest |",
        "|---|---|---|---|---|",
    ]
    for factor in factors:
        trained = accuracies(results, factor, "train_accuracy")
        for value, found in accuracies(results, factor).items():
            mark = " (start)" if is_start(factor, value) else ""
            spread = f"{found.min():.3f} to {found.max():.3f}"
            lines.append(f"| {NAMES[factor]} | {value}{mark} | {trained[value].mean():.3f} | {found.mean():.3f} | {spread} |")
    return "\n".join(lines)


def conclusion(results: list[dict], factors: list[str]) -> str:
    """What the numbers say: how much the best value of each condition gains over the start, beside the spreads of seeds."""
    start, trained = over_seeds(results, BASE), over_seeds(results, BASE, "train_accuracy")
    gains = []
    for factor in factors:
        found = {value: of for value, of in accuracies(results, factor).items() if not is_start(factor, value)}
        if found:
            best = max(found, key=lambda value: found[value].mean())
            spread = max(np.ptp(start), np.ptp(found[best]))
            gain = found[best].mean() - start.mean()
            gains.append((100 * gain, NAMES[factor], best, bool(gain > max(spread, 0.01))))
    gains.sort(reverse=True)
    clear, unclear = ([g for g in gains if g[3] is kind] for kind in (True, False))
    text = (
        f"The start reaches {100 * start.mean():.1f} % on the test digits, its seeds {100 * np.ptp(start):.1f} points apart, "
    )
    text += f"and {100 * trained.mean():.1f} % on the digits it was trained on. "
    if clear:
        text += "These changes gain more than seeds differ: "
        text += "; ".join(f"{name} {best}: {gain:+.1f} points" for gain, name, best, _ in clear) + ". "
    else:
        text += "No single change gains more than seeds differ. "
    if unclear:
        text += "The best other values of these do not: "
        text += "; ".join(f"{name} {best}: {gain:+.1f}" for gain, name, best, _ in unclear) + "."
    return text


def save_plots(results: list[dict], factors: list[str], path: Path) -> None:
    """A panel for each condition: every seed a point, their means a line, the starting point in another colour."""
    columns = math.ceil(math.sqrt(len(factors)))
    rows = -(-len(factors) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.6 * rows), layout="constrained")
    figure.suptitle("Test accuracy when one condition changes: each point a seed, the line their mean, diamonds the start")
    lowest = min(0.7, *(of.min() - 0.02 for factor in factors for of in accuracies(results, factor).values()))
    for axes, factor in zip(figure.subplots(rows, columns, squeeze=False, sharey=True).flat, factors, strict=False):
        found = accuracies(results, factor)
        axes.plot([a.mean() for a in found.values()], color="#0067A5", linewidth=1.8)
        for k, (value, points) in enumerate(found.items()):
            look = {"color": "#B83A0B", "marker": "D"} if is_start(factor, value) else {"color": "#0067A5", "marker": "o"}
            axes.scatter([k] * len(points), points, s=24, **look)
        axes.set_xticks(range(len(found)), [f"{int(v):,}" if v.isdigit() else v for v in found])
        axes.set_title(NAMES[factor])
        axes.set_ylim(lowest, 1)
        axes.grid(alpha=0.35)
    for axes in figure.axes[::columns]:
        axes.set_ylabel("test accuracy")
    for axes in figure.axes[len(factors) :]:
        axes.set_axis_off()
    with replacing(path) as new:
        figure.savefig(new, format="png", dpi=120)


def read_runs(table: Path) -> dict[tuple[str, ...], dict]:
    """The results of earlier sweeps."""
    if not table.exists():
        return {}
    with open(table, newline="", encoding="utf-8") as file:
        return {key(row): row for row in csv.DictReader(file)}


def write_runs(table: Path, done: dict[tuple[str, ...], dict]) -> None:
    """Replace the table by a whole one."""
    with replacing(table) as new, open(new, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(done.values())


def read_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Which condition holds the plain MNIST network back?")
    parser.add_argument("--factors", default=",".join(FACTORS), help="which conditions to vary (%(default)s)")
    parser.add_argument("--seeds", type=flags.whole(1), default=3, help="runs of each (%(default)s)")
    parser.add_argument("--steps", type=flags.whole(1), default=BASE["steps"], help="of the starting point (%(default)s)")
    parser.add_argument("--processes", type=flags.whole(1), default=os.cpu_count(), help="at a time (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/conditions"), metavar="FOLDER", help="(%(default)s)")
    settings = parser.parse_args()
    settings.factors = [name.strip() for name in settings.factors.split(",")]
    unknown = [name for name in settings.factors if name not in FACTORS]
    if unknown:
        parser.error(f"argument --factors: there is no {unknown[0]!r}; there are {', '.join(FACTORS)}")
    return settings


if __name__ == "__main__":
    sys.exit(main())
