"""A table of a model's layers: what they put out, their parameters, the memory they take and what they compute."""

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
    bytes: int  # of the arrays it made
    flops: int  # floating-point operations, a multiply-add counting 2


class Summary(NamedTuple):
    """What `nn.summary` found out; as text it is a table."""

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    total_parameters: int
    trainable_parameters: int
    total_bytes: int  # of all parameters and buffers
    activation_bytes: int  # of all arrays made in a forward pass
    saved_bytes: int  # of those arrays, and the input, that are kept for the backward pass
    flops: int  # of a forward pass

    def __str__(self) -> str:
        head = ("layer", "kind", "output shape", "parameters", "memory", "FLOPs")
        body = [(row.name, row.kind, str(row.output_shape), *_unless_zero(row)) for row in self.rows]
        foot = ("total", "", "", f"{self.total_parameters:,}", _memory(self.activation_bytes), _short(self.flops))
        widths = [max(map(len, column)) for column in zip(head, *body, foot, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

        def line(cells: Sequence[str]) -> str:
            texts = [cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=False)]
            numbers = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
            return "  ".join([*texts, *numbers]).rstrip()

        title = f"{self.model}, input {self.input_shape}"
        frozen = self.total_parameters - self.trainable_parameters
        notes = [
            f"parameters: {_memory(self.total_bytes)}" + (f"; {frozen:,} parameters are frozen" if frozen else ""),
            f"activations: {_memory(self.activation_bytes)} made, {_memory(self.saved_bytes)} kept for the backward pass",
            f"forward pass: {_short(self.flops)} floating-point operations, a multiply-add counting 2",
        ]
        return "\n".join([title, rule, line(head), rule, *map(line, body), rule, line(foot), *notes])


def _unless_zero(row: Row) -> tuple[str, str, str]:
    """The numbers of a row, where there is something to count."""
    return (
        f"{row.parameters:,}" if row.parameters else "",
        _memory(row.bytes) if row.bytes else "",
        _short(row.flops) if row.flops else "",
    )


def _short(count: int, unit: str = "") -> str:
    """Three digits and a unit, such as 30.9 G or 12.8 MB."""
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 0.9995 * size:
            return f"{count / size:#.3g}".rstrip(".") + f" {prefix}{unit}"
    return f"{count} {unit}".rstrip()


def _memory(count: int) -> str:
    return _short(count, "B")


def summary(model: Module, input_shape: Sequence[int], *, dtype: DTypeLike = np.float32) -> Summary:
    """Run a model once on zeros, as in use, and list the layers in the order they ran.

    Layers are the modules without modules inside, and those that have parameters or computations of their own. One that runs
    twice stands twice, its parameters at the first. Operations and memory are those of the primitives that the layer ran.

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
    ------------------------------------------------------
    layer  kind    output shape  parameters  memory  FLOPs
    ------------------------------------------------------
    0      Linear  (1, 8)                40    32 B     64
    1      ReLU    (1, 8)                      32 B      8
    2      Linear  (1, 2)                18     8 B     32
    ------------------------------------------------------
    total                                58    72 B    104
    parameters: 232 B
    activations: 72 B made, 48 B kept for the backward pass
    forward pass: 104 floating-point operations, a multiply-add counting 2
    """
    shape = tuple(int(size) for size in input_shape)
    try:
        calls, graph = _calls(model, shape, dtype)
    except (ValueError, TypeError, IndexError) as refusal:
        try:
            shape = (1, *shape)
            calls, graph = _calls(model, shape, dtype)
        except (ValueError, TypeError, IndexError):
            raise refusal from None

    names = {id(module): name for name, module in model.named_modules()}
    rows: list[Row] = []
    counted: set[int] = set()
    for call in calls:
        own = [part for _, part in call.module.named_parts() if isinstance(part, Parameter)]
        flops = sum(graph.nodes[n].flops for n in call.nodes)
        if own or flops or not call.module.named_children():
            new = {id(parameter): parameter.size for parameter in own if id(parameter) not in counted}
            counted.update(new)
            name, kind = names.get(id(call.module), ""), type(call.module).__name__
            rows.append(Row(name, kind, call.output_shape, sum(new.values()), _bytes_made(graph, call.nodes), flops))
    parameters = model.parameters()
    return Summary(
        type(model).__name__,
        shape,
        rows,
        total_parameters=sum(p.size for p in parameters),
        trainable_parameters=sum(p.size for p in parameters if p.requires_grad),
        total_bytes=sum(tensor.data.nbytes for tensor in [*parameters, *model.buffers()]),
        activation_bytes=_bytes_made(graph, range(len(graph.nodes))),
        saved_bytes=graph.saved_bytes(),
        flops=graph.flops(),
    )


class _Call(NamedTuple):
    """A finished call of a module: what it returned, and which nodes of the trace are its own, not of modules inside."""

    module: Module
    output_shape: Any
    nodes: list[int]


def _calls(model: Module, shape: tuple[int, ...], dtype: DTypeLike) -> tuple[list[_Call], tg.Graph]:
    """The calls of modules in the order in which they finish, and the trace of all."""
    calls: list[_Call] = []
    running: list[list[int]] = []  # for each module that runs, outermost first, its own nodes so far
    seen = 0

    def attribute() -> None:
        nonlocal seen
        if running:
            running[-1] += range(seen, len(graph.nodes))
        seen = len(graph.nodes)

    def begin(module: Module) -> None:
        attribute()
        running.append([])

    def end(module: Module, output: Any) -> None:
        attribute()
        calls.append(_Call(module, _shape(output), running.pop()))

    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with tg.trace() as graph, observing(end, announce=begin):
            model(tg.Tensor(np.zeros(shape, dtype)))
    finally:
        for module, training in modes:
            module.training = training
    return calls, graph


def _bytes_made(graph: tg.Graph, nodes: Sequence[int]) -> int:
    """Bytes of the arrays that these nodes made; a view of an input is none."""
    count = 0
    for node in (graph.nodes[n] for n in nodes):
        given = {graph.values[v].buffer for v in node.inputs if v is not None}
        count += sum(graph.values[v].nbytes for v in node.outputs if graph.values[v].buffer not in given)
    return count


def _shape(output: Any) -> Any:
    if isinstance(output, list | tuple):
        return tuple(_shape(item) for item in output)
    return getattr(output, "shape", None)
