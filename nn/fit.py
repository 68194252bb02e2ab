"""fit: a training loop with what longer trainings need, to be used, or to be read for a loop of one's own."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sized
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import tensorgrad as tg

from . import state
from .arguments import whole
from .checkpoint import load_checkpoint, save_checkpoint
from .data import Prefetch
from .generators import generators_of, require_alike, restore, states
from .losses import cross_entropy
from .module import Module
from .optim import Optimizer
from .schedules import Schedule
from .training import History, Loss, ctrl_c_stops, evaluate, training_step

if TYPE_CHECKING:
    from tqdm import tqdm

Measure = Callable[[Module], float]
"""Tells how good a model is; larger is better."""


class Training:
    """A training on its way: what callbacks see, what a checkpoint keeps, and what `fit` returns.

    Attributes:
        model, optimizer, data: what `fit` was given.
        history: a row for each step: epoch, iteration, loss, lr if there is a schedule, what was evaluated, seconds.
        epoch: which one runs, or ran last, counted from 1.
        iteration: the number of steps done.
        row: the latest step's row of the history; callbacks may change it, before it is added.
        batch: the latest step's batch (x, t).
        best_epoch: the epoch after which the model was best, or 0.
        best_value: how good it was.
        best_weights: its state then.
        stopped: why training ended: "done", "no better", "interrupted" by Ctrl-C, "not finite" as the loss was, or what a
            callback said; empty while it goes on.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        data: Any,
        columns: Iterable[str],
        generators: Mapping[str, np.random.Generator],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.data = data
        self.generators = {**generators_of(model, data), **generators}
        self.history = History(*columns)
        self.epoch = 0
        self.iteration = 0
        self.row: dict[str, float] = {}
        self.batch: tuple[Any, Any] | None = None
        self.best_epoch = 0
        self.best_value = -math.inf
        self.best_weights: dict[str, np.ndarray] = {}
        self.stopped = ""

    @property
    def ends_epoch(self) -> bool:
        """Whether the latest step was the last one of its epoch."""
        return self.iteration == self.epoch * len(self.data)

    def is_over(self, epochs: int, patience: int | None) -> bool:
        """Whether no further epoch shall begin."""
        if self.epoch >= epochs:
            self.stop("done")
        elif patience is not None and self.epoch - self.best_epoch >= patience:
            self.stop("no better")
        return bool(self.stopped)

    def stop(self, why: str) -> None:
        """End the training after this step."""
        self.stopped = self.stopped or why

    def keep_if_best(self, value: float) -> None:
        """Keep a copy of the model's state if `value` is higher than ever."""
        if value > self.best_value:
            self.best_epoch, self.best_value, self.best_weights = self.epoch, value, self.model.state_dict()

    def _named_state(self) -> list[tuple[str, tg.Tensor]]:
        model = [(f"model.{name}", tensor) for name, tensor in self.model._named_state()]
        return model + [(f"optimizer.{name}", tensor) for name, tensor in self.optimizer._named_state()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: all of this in one safetensors file, whole or not at all. It makes sense between epochs only."""
        arrays = state.copies(self._named_state(), "Training")
        arrays |= {f"best.{name}": array for name, array in self.best_weights.items()}
        arrays |= {f"history.{name}": self.history[name] for name in self.history.columns}
        about = {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "generators": states(self.generators),
        }
        save_checkpoint(path, arrays, about)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint, to the same bits. It is checked before anything changes.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or of a training with another model, optimizer, data or history.
        """
        arrays, about = load_checkpoint(path)
        parts: dict[str, dict[str, np.ndarray]] = {"best": {}, "history": {}}
        for name in [name for name in arrays if name.partition(".")[0] in parts]:
            kind, _, inner = name.partition(".")
            parts[kind][inner] = arrays.pop(name)
        history = parts["history"]
        try:
            if set(history) != set(self.history.columns):
                raise ValueError(f"its history has the columns {sorted(history)}, not {sorted(self.history.columns)}")
            if about["iteration"] != about["epoch"] * len(self.data):
                raise ValueError(f"it took {about['iteration']} steps in {about['epoch']} epochs, not {len(self.data)} in each")
            require_alike(self.generators, about["generators"])
            state.load(self._named_state(), arrays, "Training.load", strict=True)
        except ValueError as error:
            raise ValueError(f"{path} is a checkpoint of another training: {error}") from error
        restore(self.generators, about["generators"])
        self.history.rows = [
            {name: float(history[name][k]) for name in self.history.columns if not np.isnan(history[name][k])}
            for k in range(about["iteration"])
        ]
        self.epoch, self.iteration = about["epoch"], about["iteration"]
        self.best_epoch, self.best_value, self.best_weights = about["best_epoch"], about["best_value"], parts["best"]


def fit(
    model: Module,
    data: Any,
    optimizer: Optimizer,
    *,
    epochs: int,
    loss: Loss = cross_entropy,
    schedule: Schedule | None = None,
    max_norm: float | None = None,
    evaluations: Mapping[str, Iterable[Any] | Measure] | None = None,
    evaluate_every: int | None = None,
    best: str | None = None,
    patience: int | None = None,
    callbacks: Iterable[Callable[[Training], Any]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    generators: Mapping[str, np.random.Generator] | None = None,
    compiled: bool = False,
    progress: bool = True,
) -> Training:
    """Train a model on batches, epoch after epoch, with a progress bar and a line an epoch.

    Ctrl-C ends the training after the step that runs; what was reached stays in the model. So does a loss that is
    infinite or nan.

    Args:
        model: is put into training mode, and back into the mode it was in at the end.
        data: gives the batches (x, t) of an epoch each time it is iterated over, and has a length, their number: such
            as `nn.data.batches(...)`, or `nn.data.prefetch` of it.
        optimizer: of the model's parameters.
        epochs: how many altogether, those before a resumption included.
        loss: of the model's output and t. Settings go in with `functools.partial(nn.cross_entropy, label_smoothing=0.1)`.
        schedule: from the number of steps done to the learning rate of the next, see `nn.schedules`; without it the
            optimizer's stays.
        max_norm: the most that the gradients' norm may be, see `nn.clip_grad_norm`.
        evaluations: what to evaluate the model on, by name: batches, for the accuracy over them, or any function of
            the model. Each is a column of the history.
        evaluate_every: evaluate after so many steps too, not at the ends of epochs alone.
        best: the name of the evaluation that decides: in the end the model has the weights of the epoch after which
            that was highest.
        patience: end the training when `best` has not risen for so many epochs.
        callbacks: functions of the `Training`, called after each step, behind the evaluations.
        checkpoint: a file to save the training to after each epoch.
        resume: go on from the checkpoint, to the bits that an uninterrupted training would have come to.
        generators: any that the checkpoint must keep beside those in attributes of the model's modules and of the data.
        compiled: replay the steps, and the predictions of evaluations, with `tg.compile`: faster, and equal to rounding only.
        progress: whether to show the bar (on a terminal) and the lines.

    Returns:
        the training as it ended, with its history.

    Raises:
        ValueError: settings that do not fit together, data that gives no batch, a checkpoint of another training.
        FileNotFoundError: there is no checkpoint to resume from.

    >>> import nn
    >>> images, labels = nn.data.load_mnist("test", root=nn.data.SHIPPED_DIGITS)
    >>> images = (images / 255).astype(np.float32)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, rng=0))
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> training = fit(
    ...     model,
    ...     nn.data.batches(images[:400], labels[:400], 50, shuffle=True, rng=1),
    ...     optimizer,
    ...     epochs=3,
    ...     evaluations={"held_out_accuracy": nn.data.batches(images[400:], labels[400:], 50, shuffle=False)},
    ...     best="held_out_accuracy",
    ... )  # doctest: +ELLIPSIS
    epoch   1  loss ...  held_out ...
    epoch   2  loss ...  held_out ...
    epoch   3  loss ...  held_out ...
    >>> training.stopped, training.iteration, training.best_value > 0.7
    ('done', 24, True)
    """
    accuracy_over = _compiled_accuracy(model) if compiled else evaluate
    measures: dict[str, Measure] = {
        name: what if callable(what) else partial(accuracy_over, batches=what) for name, what in (evaluations or {}).items()
    }
    columns = ["epoch", "iteration", "loss", *(["lr"] if schedule else []), *measures, "seconds"]
    training = Training(model, optimizer, data, columns, generators or {})
    _refuse_bad_settings(training, epochs, evaluate_every, best, patience, checkpoint, resume)
    if resume and checkpoint is not None:
        training.load(checkpoint)
    step = training_step(model, optimizer, loss, max_norm=max_norm)
    step = tg.compile(step) if compiled else step

    was_training = model.training
    began = time.perf_counter() - (training.history["seconds"][-1] if training.iteration else 0.0)
    with ctrl_c_stops() as ctrl_c, _bar(training, epochs, progress) as bar:
        model.train()
        while not training.is_over(epochs, patience):
            training.epoch += 1
            for training.batch in data:
                if schedule is not None:
                    optimizer.lr = schedule(training.iteration)
                value = step(*training.batch).item()
                training.iteration += 1
                training.row = row = {"epoch": training.epoch, "iteration": training.iteration, "loss": value}
                if schedule is not None:
                    row["lr"] = optimizer.lr
                if training.ends_epoch or (evaluate_every and training.iteration % evaluate_every == 0):
                    row |= {name: measure(model) for name, measure in measures.items()}
                for callback in callbacks:
                    callback(training)
                training.history.add(**row, seconds=time.perf_counter() - began)
                _show(training, measures, bar, progress)

                if not math.isfinite(row["loss"]):
                    training.stop("not finite")
                elif training.ends_epoch:
                    if best is not None:
                        training.keep_if_best(row[best])
                    if checkpoint is not None:
                        training.save(checkpoint)
                if ctrl_c.is_set():
                    training.stop("interrupted")
                if training.stopped:
                    break
            if not (training.stopped or training.ends_epoch):
                raise ValueError(
                    f"fit: in epoch {training.epoch} the data gave another number of batches than its length, {len(data)}; "
                    "give data that can be iterated over once for each epoch"
                )
    if training.best_weights:
        model.load_state_dict(training.best_weights)
    model.train(was_training)
    return training


def _compiled_accuracy(model: Module) -> Callable[..., float]:
    """A function like `evaluate`, for this model, that replays its predictions."""
    predict = tg.compile(lambda x: model(x))

    def accuracy_over(model: Module, batches: Iterable[Any]) -> float:
        was_training = model.training
        model.eval()
        try:
            return evaluate(predict, batches, threads=1)  # what is compiled has threads of its own
        finally:
            model.train(was_training)

    return accuracy_over


def _refuse_bad_settings(
    training: Training,
    epochs: int,
    evaluate_every: int | None,
    best: str | None,
    patience: int | None,
    checkpoint: str | os.PathLike[str] | None,
    resume: bool,
) -> None:
    for name, value in (("epochs", epochs), ("evaluate_every", evaluate_every), ("patience", patience)):
        if value is not None:
            whole("fit", name, value)
    if not isinstance(training.data, Sized) or not len(training.data):
        raise ValueError(
            "fit: data must have a length, the number of batches in an epoch, of at least 1; "
            "nn.data.batches gives such data, and so is a list of batches"
        )
    if best is not None and best not in training.history.columns[3:-1]:
        raise ValueError(f"fit: best names the evaluation that decides, and {best!r} is none of the evaluations")
    if patience is not None and best is None:
        raise ValueError("fit: patience needs best=, the name of the evaluation that must rise")
    if resume and checkpoint is None:
        raise ValueError("fit: resume=True needs checkpoint=, the file to resume from")
    if isinstance(training.data, Prefetch):
        shared = [n for n, rng in training.generators.items() if rng is training.data.rng and n != "data.rng"]
        if shared:
            raise ValueError(
                f"fit: the thread that prefetches draws from the generator that is also {shared[0]}, so what each draws would "
                "be chance; give them generators of their own, such as rng.spawn(2) makes"
            )


def _bar(training: Training, epochs: int, progress: bool) -> tqdm[Any]:
    """A progress bar over all steps, if standard error is a terminal."""
    from tqdm import tqdm  # here, so that `import nn` need not wait for it

    total = epochs * len(training.data)
    return tqdm(total=total, initial=training.iteration, unit="step", disable=None if progress else True)


def _show(training: Training, measures: Iterable[str], bar: tqdm[Any], progress: bool) -> None:
    """Move the bar on; write a line at the end of an epoch."""
    row = training.row
    shown = [f"{name.removesuffix('_accuracy')} {row[name]:.4f}" for name in ("loss", *measures) if name in row]
    bar.set_postfix_str("  ".join(shown), refresh=False)
    bar.update()
    if training.ends_epoch and progress:
        bar.write("  ".join([f"epoch {training.epoch:3}", *shown]))
