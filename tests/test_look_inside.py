"""examples/look_inside.py, run as a user runs it, and what its figures are made of."""

import argparse
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nn
import tensorgrad as tg

PROGRAM = Path(__file__).parent.parent / "examples" / "look_inside.py"
FIGURES = ["confusion.png", "filters.png", "mistakes.png", "saliency.png"]


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("look_inside_example", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answers(program):
    """Five digits: three right, a 4 taken for a 9 with some doubt, a 7 taken for a 1 with none."""
    labels = np.array([0, 4, 7, 7, 2])
    probabilities = np.full((5, 10), 0.01)
    for k, (said, sure) in enumerate([(0, 0.9), (9, 0.5), (1, 0.99), (7, 0.8), (2, 0.6)]):
        probabilities[k, said] = sure
    probabilities[1, 4] = 0.4
    return program.Answers(labels, probabilities)


def look(tmp_path, environment, *flags, code=0):
    command = [sys.executable, str(PROGRAM), *map(str, flags)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_without_weights_it_trains_and_looks(tmp_path, environment):
    done = look(tmp_path, environment, "--epochs", 1, "--hidden", 16)
    assert "training mnist-cnn" in done.stdout and "accuracy 0." in done.stdout
    folder = tmp_path / "runs" / "look-inside"
    assert sorted(path.name for path in folder.iterdir()) == FIGURES
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n") for path in folder.iterdir())


@pytest.mark.parametrize(("model", "network"), [("lenet5", nn.models.LeNet5(modern=True, rng=0)), ("small-vgg", None)])
def test_it_looks_at_weights_in_a_file(tmp_path, environment, model, network):
    nn.save_weights(network or nn.models.SmallVGG(rng=0), tmp_path / "w.safetensors")
    done = look(tmp_path, environment, "--model", model, "--weights", "w.safetensors", "--output", "out")
    assert f"{model} with the weights in w.safetensors" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FIGURES


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--weights", "none.safetensors"], 2, "there is no file none.safetensors"),
        (["--model", "lenet5"], 1, "train with `train_mnist.py --model lenet5` first"),
        (["--weights", PROGRAM], 1, "no safetensors file"),
        (["--epochs", "0"], 2, "must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path, environment, flags, code, message):
    done = look(tmp_path, environment, *flags, code=code)
    assert message in done.stderr and "Traceback" not in done.stderr


def test_the_full_set_is_never_replaced_by_the_shipped_digits(tmp_path, environment):
    environment.pop("TENSORGRAD_MNIST", None)
    nn.save_weights(nn.models.MnistCNN(hidden=8, rng=0), tmp_path / "w.safetensors")
    done = look(tmp_path, environment, "--data", "full", "--hidden", 8, "--weights", "w.safetensors", code=1)
    assert "runs/data/mnist" in done.stderr and "Traceback" not in done.stderr


def test_ctrl_c_ends_the_training_and_draws_nothing(tmp_path, environment):
    command = [sys.executable, "-u", str(PROGRAM), "--epochs", "100000", "--hidden", "8"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as running:
        while not running.stdout.readline().startswith("epoch   1"):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 130 and said.endswith("Stopped by Ctrl-C.\n")
    assert not list((tmp_path / "runs" / "look-inside").iterdir())


def test_the_confusion_matrix_counts_every_digit(answers):
    counts = answers.confusion()
    assert counts.sum() == 5 and np.trace(counts) == 3 and answers.accuracy == 0.6
    assert counts[4, 9] == counts[7, 1] == counts[7, 7] == 1


def test_mistakes_are_the_wrong_ones_the_worst_first(answers):
    assert answers.mistakes().tolist() == [2, 1]
    assert answers.losses[1] == pytest.approx(-np.log(0.4))


def test_the_report_names_pairs_and_digits(program, answers):
    text = program.report(answers)
    assert "2 of 5 digits taken for others" in text
    assert "7 taken for 1: 1 times" in text and "4 taken for 9: 1 times" in text
    assert text.endswith("number 2, 1")


def test_saliency_is_the_slope_of_the_winning_logit(program):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 12, rng=0), nn.Tanh(), nn.Linear(12, 10, rng=1))
    images = np.random.default_rng(0).random((2, 1, 6, 6))

    def winning(x):
        with tg.no_grad():
            return model(x).data.max(axis=1)

    found = program.saliency(model, images)
    for pixel in [(0, 0, 2, 3), (1, 0, 5, 0)]:
        nudge = np.zeros_like(images)
        nudge[pixel] = 1e-3
        slope = (winning(images + nudge) - winning(images - nudge))[pixel[0]] / 2e-3
        assert found[pixel] == pytest.approx(slope, rel=2e-2, abs=1e-4)


def test_each_filter_stands_above_its_map(program):
    model = nn.models.LeNet5(modern=True, rng=0)
    image = np.random.default_rng(1).random((1, 1, 32, 32), np.float32)
    drawn = [axes.images[0].get_array() for axes in program.draw_filters(model, image).axes if axes.images]
    assert [array.shape for array in drawn] == [(5, 5)] * 6 + [(28, 28)] * 6
    assert np.array_equal(drawn[2], model.c1.weight.data[2, 0])
    assert all(array.min() >= 0 for array in drawn[6:])


def test_maps_are_drawn_behind_the_normalization(program):
    model = nn.models.SmallVGG(rng=0).eval()
    model.features[1].bias.data[:] = -100.0  # so that relu leaves nothing
    image = np.random.default_rng(1).random((1, 1, 28, 28), np.float32)
    maps = [axes.images[0].get_array() for axes in program.draw_filters(model, image).axes if axes.images]
    assert not any(array.any() for array in maps if array.shape == (28, 28))


def test_saliency_has_a_row_for_each_kind(program):
    settings = argparse.Namespace(seed=0)
    images = np.random.default_rng(1).random((3, 1, 28, 28), np.float32)
    figure = program.draw_saliency(nn.models.MnistCNN(rng=0), images, settings)
    assert len(figure.axes) == 12
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels == ["digit", "gradient", "gradient × pixel", "SmoothGrad"]
