"""A table of a model's layers: what they put out, and how many parameters they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .module import Module, observing
from .parameter import Parameter


class Row(NamedTuple):
    """One call of a layer."""

    name: str
    kind: str  # the name of its class
    output_shape: Any  # a shape, or a tuple of shapes where the layer returns several tensors
    parameters: int  # numbers in the layer's own parameters that no row before has counted


class Summary(NamedTuple):
    """What `nn.summary` found out; as text it is a table."""

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    total_parameters: int
    trainable_parameters: int
    total_bytes: int  # of all parameters and buffers

    def __str__(self) -> str:
        head = ("layer", "kind", "output shape", "parameters")
        body = [
            (row.name, row.kind, str(row.output_shape), f"{row.parameters:,}" if row.parameters else "") for row in self.rows
        ]
        foot = ("total", "", "", f"{self.total_parameters:,}")
        widths = [max(map(len, column)) for column in zip(head, *body, foot, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

        def line(cells: Sequence[str]) -> str:
            texts = [cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
            return "  ".join([*texts, cells[-1].rjust(widths[-1])]).rstrip()

        title = f"{self.model}, input {self.input_shape}"
        frozen = self.total_parameters - self.trainable_parameters
        size = f"{self.total_bytes / 1e6:.2f} MB" + (f", {frozen:,} parameters are frozen" if frozen else "")
        return "\n".join([title, rule, line(head), rule, *map(line, body), rule, line(foot), size])


def summary(model: Module, input_shape: Sequence[int], *, dtype: DTypeLike = np.float32) -> Summary:
    """Run a model once on zeros, as in use, and list the layers in the order they ran.

    Layers are the modules without modules inside, and those that have parameters of their own. One that runs
    twice stands twice, its parameters at the first.

    Args:
        model: the model; it is left as it was.
        input_shape: shape of one batch, such as (1, 1, 28, 28). Where the model refuses it, it is tried again with a
            batch axis of 1 in front, so that (1, 28, 28) does as well.
        dtype: of the input.

    Returns:
        an object with the numbers as attributes; print it for the table.

    >>> import nn
    >>> print(nn.summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (1, 4)))
    Sequential, input (1, 4)
    ---------------------------------------
    layer  kind    output shape  parameters
    ---------------------------------------
    0      Linear  (1, 8)                40
    1      ReLU    (1, 8)
    2      Linear  (1, 2)                18
    ---------------------------------------
    total                                58
    0.00 MB
    """
    shape = tuple(int(size) for size in input_shape)
    try:
        calls = _calls(model, shape, dtype)
    except (ValueError, TypeError, IndexError) as refusal:
        try:
            shape = (1, *shape)
            calls = _calls(model, shape, dtype)
        except (ValueError, TypeError, IndexError):
            raise refusal from None

    names = {id(module): name for name, module in model.named_modules()}
    rows: list[Row] = []
    counted: set[int] = set()
    for module, output_shape in calls:
        own = [part for _, part in module.named_parts() if isinstance(part, Parameter)]
        if own or not module.named_children():
            new = {id(parameter): parameter.size for parameter in own if id(parameter) not in counted}
            counted.update(new)
            rows.append(Row(names.get(id(module), ""), type(module).__name__, output_shape, sum(new.values())))
    parameters = model.parameters()
    return Summary(
        type(model).__name__,
        shape,
        rows,
        total_parameters=sum(p.size for p in parameters),
        trainable_parameters=sum(p.size for p in parameters if p.requires_grad),
        total_bytes=sum(tensor.data.nbytes for tensor in [*parameters, *model.buffers()]),
    )


def _calls(model: Module, shape: tuple[int, ...], dtype: DTypeLike) -> list[tuple[Module, Any]]:
    """The modules in the order in which they finish, with the shapes of what they return."""
    calls: list[tuple[Module, Any]] = []
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with tg.no_grad(), observing(lambda module, output: calls.append((module, _shape(output)))):
            model(tg.Tensor(np.zeros(shape, dtype)))
    finally:
        for module, training in modes:
            module.training = training
    return calls


def _shape(output: Any) -> Any:
    if isinstance(output, list | tuple):
        return tuple(_shape(item) for item in output)
    return getattr(output, "shape", None)
