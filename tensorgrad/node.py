"""Node: one application of a primitive in the graph that a backward pass walks."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .tensor import Number, Tensor, as_operand

if TYPE_CHECKING:
    from .primitive import Pullback
    from .state import Scope


class Untracked(NamedTuple):
    """An input through which no gradient flows, as the graph remembers it: without keeping it alive."""

    shape: tuple[int, ...]
    dtype: np.dtype | None  # None for a Python number, which adapts to the others
    tensor: weakref.ref[Tensor] | None
    number: Number | None


def _untracked(x: Any) -> Untracked | None:
    if x is None:
        return None
    if isinstance(x, Tensor):
        return Untracked(x.shape, x.dtype, weakref.ref(x), None)
    operand = as_operand(x)
    if isinstance(operand, np.ndarray):
        return Untracked(operand.shape, operand.dtype, None, None)
    return Untracked((), None, None, operand)


class KeptLeaf(NamedTuple):
    """A residual that is a leaf, and the version it had."""

    leaf: Tensor
    version: int


OUT = object()
"""Stands among residuals for the output, which the node keeps as an array: a tensor there would be a cycle."""


class Node:
    """One application of a primitive: where its cotangents go, and the residuals that its rules will need.

    It refers to nodes and leaves, never to its own output tensor, so that a graph holds no reference
    cycle and memory comes back without the garbage collector.

    Attributes:
        pullback: the rules that will run.
        edges: for each of these rules the node that made its input, or the leaf itself; None once the graph is freed.
        others: the inputs through which no gradient flows, None where one does.
        residuals: what the rules need, in the order of `pullback.keeps`.
        out: the output's array, where a rule needs it.
        shape, dtype: of the output, hence of its cotangent.
        scope: the part of the model it ran under.
        record: the entry that a running trace made for it.
        retains: the output tensor, where it wants its gradient although it is no leaf.
    """

    __slots__ = (
        "attributes",
        "dtype",
        "edges",
        "others",
        "out",
        "pullback",
        "record",
        "residuals",
        "retains",
        "scope",
        "shape",
    )

    def __init__(
        self,
        pullback: Pullback,
        inputs: tuple[Any, ...],
        attributes: dict[str, Any],
        out: np.ndarray,
        extras: Sequence[np.ndarray],
        scope: Scope | None,
    ) -> None:
        self.pullback = pullback
        self.attributes = attributes
        self.shape = out.shape
        self.dtype = out.dtype
        self.scope = scope
        self.out = self.record = self.retains = None
        self.edges: list[Node | Tensor] | None = []
        for index in pullback.indices:
            x = inputs[index]
            self.edges.append(x._node or x)
        self.others: Sequence[Untracked | None] = ()
        if len(self.edges) != len(inputs):
            self.others = [None if k in pullback.indices else _untracked(x) for k, x in enumerate(inputs)]
        self.residuals: list[Any] = []
        for kind, which in pullback.keeps:
            if kind == "input":
                x = inputs[which]
                self.residuals.append(x if type(x) is Tensor and x._node is not None else self._kept(x))
            elif kind == "out":
                self.out = out
                self.residuals.append(OUT)
            else:
                self.residuals.append(self._residual(kind, which, inputs, extras))

    def _kept(self, x: Any) -> Any:
        """An input as a residual. A leaf goes with its version, to notice later whether it still holds the value."""
        if isinstance(x, Tensor):
            return x if x._node is not None else KeptLeaf(x, x.version)
        operand = as_operand(x)
        if operand is None or isinstance(operand, np.ndarray):
            return operand if operand is None else Tensor.wrap(operand)
        return Tensor.wrap(np.asarray(operand, self.dtype))  # a number takes the dtype it had in the kernel: the output's

    def _residual(self, kind: str, which: Any, inputs: tuple[Any, ...], extras: Sequence[np.ndarray]) -> Any:
        if kind == "shape":
            return None if inputs[which] is None else np.shape(inputs[which])
        if kind == "attribute":
            return self.attributes[which]
        if kind == "extra":
            return Tensor.wrap(np.asarray(extras[which]))
        if kind == "variadic":
            return [self._kept(x) for x in inputs[which:]]
        return tuple(np.shape(x) for x in inputs[which:])  # the shapes of a variadic input

    @property
    def name(self) -> str:
        return self.pullback.primitive.name

    def restore(self) -> list[Any]:
        """The residuals as rules are given them. Refuses if an input has changed since it was kept."""
        values = []
        for kept in self.residuals:
            if type(kept) is KeptLeaf:
                values.append(self._unchanged(kept))
            elif kept is OUT:
                values.append(self._made_anew())
            elif type(kept) is list:
                values.append(tuple(self._unchanged(x) if type(x) is KeptLeaf else x for x in kept))
            else:
                values.append(kept)
        return values

    def _unchanged(self, kept: KeptLeaf) -> Tensor:
        leaf, version = kept
        if leaf.version != version:
            calls = self.pullback.calls
            names = [c.names[k] for c in calls for k, r in enumerate(c.residuals) if self.residuals[r] is kept]
            name = names[0] if names else self.pullback.primitive.variadic
            raise RuntimeError(
                f"{self.name}: its input {name}, of shape {leaf.shape}, "
                "was given a new value after the forward pass, and the backward pass needs the old one; "
                "call backward() before you update it"
            )
        return leaf

    def _made_anew(self) -> Tensor:
        """The output as a tensor of this node."""
        out = Tensor.wrap(self.out)
        out._node = self
        out._requires_grad = True
        return out

    def free(self) -> None:
        """Let go of everything that the backward pass needed."""
        self.edges = self.out = None
        self.residuals = []
