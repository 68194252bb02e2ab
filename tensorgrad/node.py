"""Node: one application of a primitive in the graph that a backward pass walks."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .state import per_thread
from .tensor import Number, Tensor, as_operand, shape_of

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


def checksum(kept: Any) -> int | None:
    """A number that changes with the contents of a tensor; None of anything else."""
    return zlib.crc32(np.ascontiguousarray(kept._data)) if isinstance(kept, Tensor) else None


class Node:
    """One application of a primitive: where its cotangents go, and the residuals that its rules will need.

    It refers to nodes and leaves, never to its own output tensor, so that a graph holds no reference
    cycle and memory comes back without the garbage collector.

    Attributes:
        pullback: the rules that will run.
        edges: for each of these rules the node that made its input, or the leaf itself; None once the graph is freed.
        others: the inputs through which no gradient flows, None where one does.
        residuals: what the rules need, in the order of `pullback.keeps`.
        leaves: those residuals that are leaves, each with the version it had, to notice whether it still holds the value.
        checksums: of the inputs among the residuals, under `tg.detect_anomaly()`.
        out: the output's array, where a rule needs it: a tensor among the residuals would be a cycle.
        shape, dtype: of the output, hence of its cotangent.
        scope: the part of the model it ran under.
        record: the entry that a running trace made for it.
        retains: the output tensor, where it wants its gradient although it is no leaf.
    """

    __slots__ = (
        "attributes",
        "checksums",
        "dtype",
        "edges",
        "leaves",
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
        self.out = self.record = self.retains = self.checksums = None
        self.edges: list[Node | Tensor] | None = []
        for index in pullback.indices:
            x = inputs[index]
            self.edges.append(x._node or x)
        self.others: Sequence[Untracked | None] = ()
        if len(self.edges) != len(inputs):
            self.others = [None if k in pullback.indices else _untracked(x) for k, x in enumerate(inputs)]
        self.residuals: list[Any] = []
        self.leaves: list[tuple[Tensor, int]] | None = None
        for kind, which in pullback.keeps:
            if kind == "input":
                self.residuals.append(self._kept(inputs[which]))
            elif kind == "out":
                self.out = out
                self.residuals.append(None)
            else:
                self.residuals.append(self._residual(kind, which, inputs, extras))

        if per_thread.state.checks_residuals:
            self.checksums = [checksum(kept) for kept in self.residuals]

    def _kept(self, x: Any) -> Tensor | None:
        """An input as a residual."""
        if isinstance(x, Tensor):
            if x._node is None:
                self.leaves = self.leaves or []
                self.leaves.append((x, x.version))
            return x
        operand = as_operand(x)
        if operand is None or isinstance(operand, np.ndarray):
            return operand if operand is None else Tensor.wrap(operand)
        return Tensor.wrap(np.asarray(operand, self.dtype))  # a number takes the dtype it had in the kernel: the output's

    def _residual(self, kind: str, which: Any, inputs: tuple[Any, ...], extras: Sequence[np.ndarray]) -> Any:
        if kind == "shape":
            return None if inputs[which] is None else shape_of(inputs[which])
        if kind == "attribute":
            return self.attributes[which]
        if kind == "extra":
            return Tensor.wrap(np.asarray(extras[which]))
        if kind == "variadic":
            return tuple(self._kept(x) for x in inputs[which:])
        return tuple(shape_of(x) for x in inputs[which:])  # the shapes of a variadic input

    @property
    def name(self) -> str:
        return self.pullback.primitive.name

    def restore(self) -> list[Any]:
        """The residuals as rules are given them. Refuses if an input has changed since it was kept."""
        if self.leaves is not None:
            for leaf, version in self.leaves:
                if leaf.version != version:
                    raise self._changed(leaf)
        if self.checksums is not None:
            self._check()
        if self.out is None:
            return self.residuals
        out = Tensor.wrap(self.out)
        out._node = self
        out._requires_grad = True
        return [out if kind == "out" else kept for (kind, _), kept in zip(self.pullback.keeps, self.residuals, strict=True)]

    def _changed(self, leaf: Tensor, how: str = "given a new value") -> RuntimeError:
        calls = self.pullback.calls
        names = [c.names[k] for c in calls for k, r in enumerate(c.residuals) if self.residuals[r] is leaf]
        name = names[0] if names else self.pullback.primitive.variadic
        return RuntimeError(
            f"{self.name}: its input {name}, of shape {leaf.shape}, "
            f"was {how} after the forward pass, and the backward pass needs the old one; "
            "call backward() before you update it"
        )

    def _check(self) -> None:
        """Refuse if something was written into the array of an input."""
        for kept, before in zip(self.residuals, self.checksums, strict=True):
            if before is not None and checksum(kept) != before:
                raise self._changed(kept, "written into")

    def free(self) -> None:
        """Let go of everything that the backward pass needed."""
        self.edges = self.out = self.leaves = self.residuals = None
