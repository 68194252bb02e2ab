"""What training loops share: a step, evaluation, a history of how training went, plots of it, and a calm end at Ctrl-C."""

from __future__ import annotations

import csv
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import tensorgrad as tg
from tensorgrad.files import replacing

from .losses import accuracy, cross_entropy
from .module import Module
from .optim import Optimizer, clip_grad_norm

COLORS = ("#0067A5", "#B83A0B", "#00704F", "#8E3A7A", "#8A5A00")
STYLES = ("-", "--", "-.", ":")


Loss = Callable[[Any, Any], tg.Tensor]
"""From what a model returns, and the targets, to a tensor of one value."""


def training_step(
    model: Module, optimizer: Optimizer, loss: Loss = cross_entropy, *, max_norm: float | None = None
) -> Callable[[Any, Any], tg.Tensor]:
    """A function of a batch (x, t) that takes one step of training, forward, backward and update, and returns the loss.

    It reads no value of a tensor, so that `tg.compile` can replay it.

    Args:
        model: maps x to what the loss takes.
        optimizer: of the model's parameters.
        loss: a function of the model's output and of t, such as `nn.cross_entropy`.
        max_norm: the most that the gradients' norm may be; larger ones are scaled down to it, see `nn.clip_grad_norm`.

    >>> import nn
    >>> model = nn.Linear(1, 1, init=nn.init.zeros(), rng=0)
    >>> step = training_step(model, nn.optim.SGD(model.parameters(), lr=0.1), nn.mse_loss)
    >>> step([[1.0]], [[3.0]]), step([[1.0]], [[3.0]])
    (Tensor(9., dtype=float32), Tensor(3.2399998, dtype=float32))
    """

    def step(x: Any, t: Any) -> tg.Tensor:
        value = loss(model(x), t)
        optimizer.zero_grad()
        value.backward()
        if max_norm is not None:
            clip_grad_norm(model.parameters(), max_norm)
        optimizer.step()
        return value.detach()

    return step


@contextmanager
def mode(model: Module, *, training: bool) -> Iterator[None]:
    """Inside, every module of a model acts as in training, or as in use; afterwards each is in the mode that it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training


def evaluate(model: Callable[[Any], tg.Tensor], batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """The accuracy of a classifier over all batches: without a graph, and with every layer of a Module acting as in use.

    Args:
        model: from images (N, ...) to logits (N, K): a Module, or any function.
        batches: pairs of images and labels, such as `nn.data.batches` gives with shuffle=False. Some 200 images each are
            fast: few enough that memory for their activations is used again and again.
    """
    right = seen = 0
    module = getattr(model, "__wrapped__", model)  # of a compiled model
    in_use = mode(module, training=False) if isinstance(module, Module) else nullcontext()
    with in_use, tg.no_grad():
        for images, labels in batches:
            right += round(accuracy(model(images), labels) * len(labels))
            seen += len(labels)
    if not seen:
        raise ValueError("evaluate: there are no batches to evaluate on")
    return right / seen


class History:
    """A table of how training went, with a row for each iteration.

    >>> history = History("iteration", "loss", "test_accuracy")
    >>> history.add(iteration=1, loss=2.5)
    >>> history.add(iteration=2, loss=2.25, test_accuracy=0.75)
    >>> history["loss"]
    array([2.5 , 2.25])
    >>> history["test_accuracy"]
    array([ nan, 0.75])
    """

    def __init__(self, *columns: str) -> None:
        self.columns = columns
        self.rows: list[dict[str, float]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, **values: float) -> None:
        """Append a row; a column that is not named stays empty in it."""
        unknown = [name for name in values if name not in self.columns]
        if unknown:
            raise ValueError(f"History: there is no column {unknown[0]!r}; the columns are {', '.join(self.columns)}")
        self.rows.append(values)

    def __getitem__(self, column: str) -> np.ndarray:
        """A column as an array of floats, with nan where it is empty."""
        if column not in self.columns:
            raise KeyError(f"History: there is no column {column!r}; the columns are {', '.join(self.columns)}")
        return np.array([row.get(column, np.nan) for row in self.rows], float)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV, with a header and as many digits as a float32 has."""
        with replacing(path) as new, open(new, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(self.columns)
            for row in self.rows:
                table.writerow(f"{row[name]:.9g}" if name in row else "" for name in self.columns)


def save_plot(
    path: str | os.PathLike[str],
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str = "iteration",
    ylabel: str,
    title: str = "",
    ylim: tuple[float, float | None] = (0.0, None),
) -> None:
    """Draw curves over a common axis into a PNG file, with a grid and a legend.

    Args:
        path: the file, replaced only by a whole one.
        x: (N,), where the values lie.
        curves: values (N,) by the name that the legend gives them; nan where there is none.
        xlabel, ylabel, title: the words on it.
        ylim: where the vertical axis begins and ends; None lets the values decide.
    """
    from matplotlib.figure import Figure  # here, as it takes a while, and without pyplot, which wants a screen

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for k, (name, values) in enumerate(curves.items()):
        known = np.isfinite(np.asarray(values, float))
        style = {"color": COLORS[k % len(COLORS)], "linestyle": STYLES[k % len(STYLES)]}
        marker = "o" if known.sum() == 1 else None  # a line needs two points
        axes.plot(np.asarray(x)[known], np.asarray(values)[known], label=name, linewidth=1.8, marker=marker, **style)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, ylim=ylim)
    axes.grid(alpha=0.35)
    axes.legend()
    with replacing(path) as new:
        figure.savefig(new, format="png", dpi=120)


@contextmanager
def ctrl_c_stops() -> Iterator[threading.Event]:
    """Inside this `with`, Ctrl-C sets an event for the loop to look at between two iterations, so that none is left half done.

    A second Ctrl-C interrupts at once, as always. Outside the main thread, which alone hears of Ctrl-C, nothing changes.

    >>> with ctrl_c_stops() as stop:
    ...     for iteration in range(3):
    ...         if iteration == 1:
    ...             signal.raise_signal(signal.SIGINT)  # what Ctrl-C does
    ...         if stop.is_set():
    ...             print("stopped in iteration", iteration)
    ...             break
    stopped in iteration 1
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def ask_to_stop(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask_to_stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
