"""A training on its way: what callbacks see, what a checkpoint keeps, and what `fit` returns."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import tensorgrad as tg

from . import state
from .checkpoint import load_checkpoint, save_checkpoint
from .generators import generators_of, require_alike, restore, states
from .module import Module
from .optim import Optimizer
from .training import History


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
