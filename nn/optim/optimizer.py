"""What all optimizers have in common: groups of parameters, their state, steps, saving and loading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import tensorgrad as tg

from .. import state
from ..arguments import number

Params = Iterable[tg.Tensor] | Iterable[Mapping[str, Any]]


class Group(tg.Watched):
    """Parameters that are updated with the same settings.

    Attributes:
        params: the parameters.
        settings: what `Optimizer` calls the method's settings: fixed numbers, such as the momentum.
        rate: the learning rate as a tensor of one float64, which steps read; `lr` is its value.
    """

    def __init__(self, params: list[tg.Tensor], lr: float, settings: dict[str, Any]) -> None:
        self.params = params
        self.settings = settings
        self.rate = tg.Tensor(np.array(lr, np.float64))
        self.rate.name = "lr"

    @property
    def lr(self) -> float:
        """The learning rate. Set it at any time: to a number, or to a tensor of one value."""
        return self.rate.item()

    @lr.setter
    def lr(self, value: float | tg.Tensor) -> None:
        if not isinstance(value, tg.Tensor):
            value = tg.Tensor(number("lr", "the learning rate", value), dtype=np.float64)
        tg.assign(self.rate, value)


class Optimizer(tg.Watched):
    """Gives parameters new values with each `step()`, from the gradients that stand in their `.grad`.

    A method subclasses it and defines `update`; and `new_state`, where it keeps something for each parameter, and `checked`,
    where it has settings to check. Everything that changes from step to step is a
    tensor: the learning rate, and the state of each parameter such as its velocity.

    Args:
        params: any iterable of parameters; or of dicts {"params": ..., "lr": ..., ...}, groups with settings of their own.
        lr: the learning rate of the groups that name none.
        settings: the method's other settings, for the groups that do not name them.

    Attributes:
        groups: the `Group`s.
    """

    _unwatched = ("_states",)

    def __init__(self, params: Params, lr: float, **settings: Any) -> None:
        self.groups: list[Group] = []
        self._states: dict[tg.Tensor, dict[str, tg.Tensor]] = {}
        name = type(self).__name__
        if hasattr(params, "parameters"):
            raise TypeError(f"{name}: takes parameters, not a {type(params).__name__}; pass what its parameters() returns")
        if isinstance(params, tg.Tensor | Mapping):
            raise TypeError(
                f"{name}: takes an iterable of parameters or of groups, not one {type(params).__name__}; put it in a list"
            )
        items: list[Any] = list(params)
        grouped = bool(items) and all(isinstance(item, Mapping) for item in items)
        for group in items if grouped else [{"params": items}]:
            self._add(dict(group), lr, settings)

    def _add(self, group: dict[str, Any], lr: float, settings: dict[str, Any]) -> None:
        name = type(self).__name__
        params = group.pop("params", ())
        params = [params] if isinstance(params, tg.Tensor) else list(params)
        rate = number(name, "lr", group.pop("lr", lr))
        unknown = [key for key in group if key not in settings]
        if unknown:
            raise ValueError(f"{name}: a group has the unknown settings {unknown}; there are params, lr, {', '.join(settings)}")
        if not params:
            raise ValueError(f"{name}: there are no parameters; note that a generator gives its parameters only once")
        self.groups.append(Group(params, rate, self.checked(**(settings | group))))
        for parameter in params:
            if not isinstance(parameter, tg.Tensor) or not parameter.is_leaf or parameter.dtype.kind != "f":
                what = (
                    f"a tensor made by a primitive, of shape {parameter.shape}"
                    if isinstance(parameter, tg.Tensor)
                    else repr(parameter)
                )
                raise TypeError(f"{name}: parameters must be leaf tensors of floats, such as nn.Parameter, not {what}")
            if parameter in self._states:
                raise ValueError(
                    f"{name}: a parameter of shape {parameter.shape} is given twice; each can be updated only once a step"
                )
            self._states[parameter] = cells = self.new_state(parameter, **self.groups[-1].settings)
            for cell_name, cell in cells.items():
                cell.name = cell_name

    # -- what a method defines -----------------------------------------------------------------------------------

    def checked(self, **settings: Any) -> dict[str, Any]:
        """The settings of a group as `update` takes them, or an error that names the bad one; as they are by default."""
        return settings

    def new_state(self, parameter: tg.Tensor, **settings: Any) -> dict[str, tg.Tensor]:
        """The tensors that the method keeps for a parameter, by name, before the first step; none by default."""
        return {}

    def update(
        self, parameter: tg.Tensor, gradient: tg.Tensor, rate: tg.Tensor, cells: dict[str, tg.Tensor], **settings: Any
    ) -> None:
        """Assign a parameter and its state their next values."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no update; give the class one, such as def update(self, parameter, gradient, rate, "
            "cells): tg.assign(parameter, parameter - rate * gradient)"
        )

    # -- use -----------------------------------------------------------------------------------------------------

    @tg.no_grad()
    @tg.phase("update")
    def step(self) -> None:
        """Update every parameter that has a gradient; the others stay as they are."""
        with np.errstate(under="ignore"):  # small numbers may vanish
            for group in self.groups:
                for parameter in group.params:
                    if parameter.grad is not None:
                        self.update(parameter, parameter.grad, group.rate, self._states[parameter], **group.settings)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self._states:
            parameter.grad = None

    @property
    def lr(self) -> float:
        """The learning rate of all groups; setting it sets it in all. A step under replay reads it too."""
        rates = {group.lr for group in self.groups}
        if len(rates) > 1:
            raise ValueError(
                f"the groups have different learning rates, {[g.lr for g in self.groups]}; use optimizer.groups[0].lr"
            )
        return self.groups[0].lr

    @lr.setter
    def lr(self, value: float | tg.Tensor) -> None:
        for group in self.groups:
            group.lr = value

    def _named_state(self) -> list[tuple[str, tg.Tensor]]:
        named = [(f"groups.{k}.lr", group.rate) for k, group in enumerate(self.groups)]
        for k, cells in enumerate(self._states.values()):
            named += [(f"parameters.{k}.{name}", cell) for name, cell in cells.items()]
        return named

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the learning rates and of every parameter's state, numbered in the order they were given."""
        return state.copies(self._named_state(), type(self).__name__)

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> state.Difference:
        """Go on where the optimizer stood whose `state_dict` this is, to the same bits. Checks everything first.

        Raises:
            ValueError: names or shapes differ; the message lists all of them. Nothing was changed.
        """
        return state.load(self._named_state(), values, f"{type(self).__name__}.load_state_dict", strict=strict)

    def __repr__(self) -> str:
        groups = []
        for group in self.groups:
            settings = {"lr": group.lr} | group.settings
            groups.append(
                ", ".join(f"{name}={value}" for name, value in settings.items()) + f", {len(group.params)} parameters"
            )
        return f"{type(self).__name__}({'; '.join(groups)})"
