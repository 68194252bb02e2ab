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

from .arguments import whole
from .data import Prefetch
from .losses import cross_entropy
from .module import Module
from .optim import Optimizer
from .progress import Training
from .schedules import Schedule
from .training import Loss, ctrl_c_stops, evaluate, mode, training_step

if TYPE_CHECKING:
    from tqdm import tqdm

Measure = Callable[[Module], float]
"""Tells how good a model is; larger is better."""


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
        model: is put into training mode, and back into the mode it was in at the end, whatever happens.
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
    _refuse_arrays("data", data)
    for name, what in (evaluations or {}).items():
        _refuse_arrays(f"the evaluation {name}", what)
    measures: dict[str, Measure] = {
        name: partial(_in_use, what) if callable(what) else partial(accuracy_over, batches=what)
        for name, what in (evaluations or {}).items()
    }
    columns = ["epoch", "iteration", "loss", *(["lr"] if schedule else []), *measures, "seconds"]
    training = Training(model, optimizer, data, columns, generators or {})
    _refuse_bad_settings(training, epochs, evaluate_every, best, patience, checkpoint, resume)
    _refuse_foreign(model, optimizer)
    if resume and checkpoint is not None:
        training.load(checkpoint)
    step = training_step(model, optimizer, loss, max_norm=max_norm)
    step = tg.compile(step) if compiled else step

    mean = EpochMean()
    began = time.perf_counter() - (training.history["seconds"][-1] if training.iteration else 0.0)
    with ctrl_c_stops() as ctrl_c, mode(model, training=True), _bar(training, epochs, progress) as bar:
        while not training.is_over(epochs, patience):
            training.epoch += 1
            mean.reset()
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
                mean.add(row["loss"], training.batch)
                training.history.add(**row, seconds=time.perf_counter() - began)
                _show(training, measures, mean, bar, progress)

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
    return training


class EpochMean:
    """The mean loss over the samples of an epoch so far."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sum = self._samples = 0.0

    def add(self, loss: float, batch: Any) -> None:
        """One more batch (x, t) with its mean loss. What has no length counts as one sample."""
        samples = len(batch[0]) if hasattr(batch[0], "__len__") else 1
        self._sum += loss * samples
        self._samples += samples

    @property
    def value(self) -> float:
        return self._sum / self._samples if self._samples else math.nan


def _in_use(measure: Measure, model: Module) -> float:
    """What a measure says of the model, with every layer acting as in use, and without a graph."""
    with mode(model, training=False), tg.no_grad():
        return measure(model)


def _compiled_accuracy(model: Module) -> Callable[..., float]:
    """A function like `evaluate`, for this model, that replays its predictions."""
    predict = tg.compile(lambda x: model(x))

    def accuracy_over(model: Module, batches: Iterable[Any]) -> float:
        with mode(model, training=False):
            return evaluate(predict, batches)

    return accuracy_over


def _refuse_arrays(what: str, data: Any) -> None:
    """Two arrays are a whole set of examples, and not the batches that a loop goes through."""
    if isinstance(data, tuple | list) and len(data) == 2 and all(hasattr(part, "shape") and len(part.shape) for part in data):
        raise TypeError(
            f"fit: {what} must give batches (x, t) when it is iterated over, and is a pair of arrays of shapes "
            f"{tuple(data[0].shape)} and {tuple(data[1].shape)}; cut it with nn.data.batches(images, labels, 100, shuffle=True)"
        )


def _refuse_foreign(model: Module, optimizer: Optimizer) -> None:
    """An optimizer that holds none of the model's parameters would train nothing."""
    held = {id(parameter) for group in optimizer.groups for parameter in group.params}
    if held.isdisjoint(map(id, model.parameters())):
        raise ValueError(
            f"fit: the optimizer holds none of the parameters of this {type(model).__name__}, so it would not be trained; make "
            "the optimizer of model.parameters(), after the model has got all its layers"
        )


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


def _show(training: Training, measures: Iterable[str], mean: EpochMean, bar: tqdm[Any], progress: bool) -> None:
    """Move the bar on; write a line at the end of an epoch, with the mean of its losses."""
    row = training.row
    evaluated = [f"{name.removesuffix('_accuracy')} {row[name]:.4f}" for name in measures if name in row]
    bar.set_postfix_str("  ".join([f"loss {row['loss']:.4f}", *evaluated]), refresh=False)
    bar.update()
    if training.ends_epoch and progress:
        bar.write("  ".join([f"epoch {training.epoch:3}", f"loss {mean.value:.4f}", *evaluated]))
