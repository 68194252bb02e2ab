"""examples/conditions.py, run as a user runs it, and its conclusions from made-up results."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent / "examples" / "conditions.py"


@pytest.fixture
def conditions():
    spec = importlib.util.spec_from_file_location("conditions_example", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runs(conditions, factor, accuracies):
    """Results of a sweep over one factor: for each value, the accuracies over its seeds."""
    return [
        {name: str(v) for name, v in conditions.conditions_of(factor, value).items()}
        | {"seed": str(seed), "test_accuracy": str(a), "train_accuracy": str(a)}
        for value, found in accuracies.items()
        for seed, a in enumerate(found)
    ]


def test_the_conclusion_tells_gains_from_chance(conditions):
    results = runs(conditions, "steps", {150: [0.86, 0.88], 500: [0.92, 0.94]})
    results += runs(conditions, "hidden", {512: [0.875, 0.885]})
    text = conditions.conclusion(results, ["steps", "hidden"])
    assert "87.0 % on the test digits" in text and "2.0 points apart" in text
    clear, _, unclear = text.partition("do not")
    assert "steps of training 500: +6.0 points" in clear
    assert "hidden units 512: +1.0" in unclear


def test_more_digits_are_tried_with_more_steps_too(conditions):
    results = runs(conditions, "steps", {150: [0.87, 0.88], 1500: [0.94, 0.946]})
    results += runs(conditions, "digits-longer", {60_000: [0.968, 0.97]})
    text = conditions.conclusion(results, ["steps", "digits", "digits-longer"])
    assert "training digits, 10 times the steps 60000: +9.4 points; steps of training 1500: +6.8 points" in text


def test_the_table_has_mean_and_spread(conditions):
    table = conditions.write_table(runs(conditions, "init", {"0.01": [0.8, 0.9], "kaiming": [0.5]}), ["init"])
    assert "| first weights | 0.01 (start) | 0.850 | 0.850 | 0.800 to 0.900 |" in table
    assert "| first weights | kaiming | 0.500 | 0.500 | 0.500 to 0.500 |" in table


def test_a_sweep_goes_on_where_it_stopped(tmp_path, environment):
    environment.pop("TENSORGRAD_MNIST", None)
    command = [sys.executable, str(PROGRAM), "--factors", "init", "--seeds", "1", "--steps", "5", "--output", str(tmp_path)]
    first = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert "2 runs, 0 of them done before" in first.stdout
    table = (tmp_path / "runs.csv").read_text()
    (tmp_path / "runs.csv").write_text("\n".join(table.splitlines()[:2]) + "\n")
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "2 runs, 1 of them done before" in second.stdout
    assert sorted((tmp_path / "runs.csv").read_text().splitlines()) == sorted(table.splitlines())
    assert {"conditions.png", "report.md"} <= {path.name for path in tmp_path.iterdir()}
    with open(tmp_path / "runs.csv", newline="") as file:
        assert all(row["steps"] == "5" and 0 <= float(row["test_accuracy"]) <= 1 for row in csv.DictReader(file))


def test_an_unknown_condition_is_refused(environment):
    done = subprocess.run([sys.executable, str(PROGRAM), "--factors", "luck"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "luck" in done.stderr and "hidden" in done.stderr
