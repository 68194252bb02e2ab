"""Helpers of training loops: evaluation, history, plots, Ctrl-C; and files that are written whole or not at all."""

import os
import signal
import threading

import matplotlib.image
import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn.training import History, ctrl_c_stops, evaluate, save_plot
from tensorgrad.files import replacing


class SignOfFirst(nn.Module):
    """Class 1 where the first number is above 0; remembers how it was run."""

    def __init__(self):
        self.weight = nn.Parameter([[-1.0], [1.0]])
        self.seen = []

    def forward(self, x):
        logits = tg.Tensor(x) @ tg.transpose(self.weight)  # (N, 1) -> (N, 2)
        self.seen.append((self.training, logits.requires_grad))
        return logits


# -- evaluation ---------------------------------------------------------------------------------------------------


def test_evaluate_counts_over_batches_of_all_sizes():
    x, t = np.array([[1.0], [1.0], [-1.0], [1.0], [-1.0]], np.float32), np.array([1, 1, 1, 1, 0])
    assert evaluate(SignOfFirst(), nn.data.batches(x, t, 2, shuffle=False)) == 4 / 5


def test_evaluate_leaves_the_mode_as_it_was_if_the_model_raises():
    model, batches = SignOfFirst(), [(np.ones((1, 1), np.float32), np.array([1]))] * 4 + [(np.ones((1, 2)), np.array([1]))]
    with pytest.raises(ValueError, match="matmul"):
        evaluate(model, batches)
    assert model.training


def test_evaluate_builds_no_graph_and_leaves_the_mode_as_it_was():
    model = SignOfFirst()
    batches = [(np.ones((1, 1), np.float32), np.array([1]))]
    for training in (True, False):
        model.train(training)
        evaluate(model, batches)
        assert model.training is training
    assert model.seen == [(False, False)] * 2


def test_evaluate_needs_a_batch():
    with pytest.raises(ValueError, match="no batches"):
        evaluate(SignOfFirst(), [])


# -- history ------------------------------------------------------------------------------------------------------


def test_history_as_csv(tmp_path):
    history = History("iteration", "loss", "accuracy")
    history.add(iteration=1, loss=np.float32(0.1))
    history.add(iteration=2, loss=1 / 3, accuracy=0.5)
    history.save(tmp_path / "new" / "history.csv")
    assert (tmp_path / "new" / "history.csv").read_bytes() == b"iteration,loss,accuracy\n1,0.100000001,\n2,0.333333333,0.5\n"
    assert len(history) == 2
    np.testing.assert_array_equal(history["accuracy"], [np.nan, 0.5])


def test_history_knows_its_columns():
    history = History("loss")
    with pytest.raises(ValueError, match="no column 'los'; the columns are loss"):
        history.add(los=1)
    with pytest.raises(KeyError, match="no column 'accuracy'"):
        history["accuracy"]


# -- plots --------------------------------------------------------------------------------------------------------


def inks(path):
    """Which of the two colours of curves are in a picture."""
    pixels = matplotlib.image.imread(path)[..., :3]
    return [bool((np.abs(pixels - np.array(color) / 255).max(-1) < 0.02).any()) for color in ((0, 103, 165), (184, 58, 11))]


def test_plots_show_each_curve_also_with_gaps(tmp_path):
    x, gaps = np.arange(1, 5), [np.nan, 0.5, np.nan, 0.75]
    save_plot(tmp_path / "one.png", x, {"train": gaps}, ylabel="accuracy", ylim=(0, 1))
    assert inks(tmp_path / "one.png") == [True, False]
    save_plot(tmp_path / "two.png", x, {"train": gaps, "test": x / 4}, ylabel="accuracy", ylim=(0, 1))
    assert inks(tmp_path / "two.png") == [True, True]


def test_a_plot_of_a_single_point_shows_it(tmp_path):
    for name, curves in (("with", {"loss": [2.0]}), ("without", {"loss": [np.nan]})):
        save_plot(tmp_path / f"{name}.png", [1], curves, ylabel="loss")
    areas = [
        int(
            (
                np.abs(matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3] - (0, 103 / 255, 165 / 255)).max(-1) < 0.02
            ).sum()
        )
        for name in ("with", "without")
    ]
    assert areas[0] > areas[1] + 20  # beside the line in the legend there is a dot


# -- Ctrl-C -------------------------------------------------------------------------------------------------------


def test_the_second_ctrl_c_interrupts_and_the_handler_comes_back():
    found = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may ignore Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt), ctrl_c_stops() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.is_set()
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)


def test_another_thread_gets_an_event_that_stays_unset():
    found = []

    def work():
        with ctrl_c_stops() as stop:
            found.append(stop.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


# -- files --------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as new:
        new.write_text("half of")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file.txt"]
    with replacing(path) as new:
        new.write_text("new")
        assert path.read_text() == "old" and new.suffix == ".txt"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.skipif(os.name == "nt", reason="links and permissions are those of Unix")
def test_a_replaced_file_follows_links_and_is_readable_as_any_other(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    for path in (tmp_path / "link", tmp_path / "other"):
        with replacing(path) as new:
            new.write_text("text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_text() == "text"
    plain = tmp_path / "plain"
    plain.write_text("text")
    assert (tmp_path / "other").stat().st_mode == plain.stat().st_mode
