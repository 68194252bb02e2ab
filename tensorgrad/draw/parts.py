"""The parts that rows of a picture are made of: sums, arrays, edges, and what stands in each lane."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

PHASES = ("forward", "backward", "update")


@dataclass(slots=True)
class Sums:
    """What rows add up to.

    Attributes:
        ops, nodes: rungs, and nodes of the graph in all phases.
        parameters: how many numbers the parameters hold; tensors: how many of these there are.
        saved_bytes: kept for the backward pass beside the parameters; out_bytes: of the forward outputs.
        gradient: the Euclidean norm of the gradients of the parameters, None where there are none.
        ms: milliseconds by phase, None where no times were taken; flops: floating-point operations by phase.
    """

    ops: int = 0
    nodes: int = 0
    parameters: int = 0
    tensors: int = 0
    saved_bytes: int = 0
    out_bytes: int = 0
    gradient: float | None = None
    ms: dict[str, float] | None = None
    flops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))

    def add(self, other: Sums) -> None:
        """Add what another row adds up to."""
        for name in ("ops", "nodes", "parameters", "tensors", "saved_bytes", "out_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.gradient is not None:
            self.gradient = math.hypot(self.gradient or 0.0, other.gradient)
        if other.ms is not None:
            before = self.ms or dict.fromkeys(PHASES, 0.0)
            self.ms = {phase: before[phase] + other.ms[phase] for phase in PHASES}
        self.flops = {phase: self.flops[phase] + other.flops[phase] for phase in PHASES}

    @property
    def all_ms(self) -> float:
        """Milliseconds of all phases together; 0 where no times were taken."""
        return sum(self.ms.values()) if self.ms else 0.0


@dataclass(slots=True)
class Array:
    """A shape with its dtype, such as (64, 10) "f32"; `number` is the value, where it is a single one that is known.

    `nonfinite` says that it was found to hold an infinity or a NaN.
    """

    shape: list[int]
    dtype: str
    number: float | int | bool | None = None
    nonfinite: bool = False


@dataclass(slots=True)
class Edge:
    """An input of a rung.

    Attributes:
        name: what the primitive calls it; `row`: the id of the row that it comes from.
        grad: whether a gradient flows back through it.
        stop: why none does, such as "needs no gradient", "detached" or "no_grad", where one could.
    """

    name: str
    row: str
    array: Array
    grad: bool = False
    stop: str = ""


@dataclass(slots=True)
class Param:
    """A parameter, or state such as a running mean, that a rung uses.

    Attributes:
        name: without the module path; `path`: with it.
        version: the one used here; `next`: the one that the step leaves behind, None where it is not updated.
        argument: what the primitive calls it.
        grad: the norm of its gradient, None where it has none; `grad_number`: the gradient itself, where it is one number.
        role: "parameter", "frozen" or "state".
        shared: the row where it stands first and is counted; empty here.
        stop: why it has no gradient, where it might be expected to have one.
        grad_nonfinite: whether its gradient holds an infinity or a NaN.
    """

    name: str
    path: str
    array: Array
    size: int
    bytes: int
    version: int = 0
    next: int | None = None
    grad: float | None = None
    grad_number: float | None = None
    argument: str = ""
    role: str = "parameter"
    shared: str = ""
    stop: str = ""
    grad_nonfinite: bool = False


@dataclass(slots=True)
class Saved:
    """A value that a rung keeps for its backward pass.

    Attributes:
        name: what the rules call it: an input's name, "out", or an extra such as "winners".
        bytes: of the array; `counted`: how many of them are new here, 0 for memory that is kept already.
        made_by: the row that made it, which may be another; empty for a value of this row or from outside.
        shares: the row that keeps the same memory and counts it; empty where it is counted here.
        role: "value", or "parameter" for a parameter that rules need, which is not counted.
        inputs: the gradients that need it.
    """

    name: str
    array: Array
    bytes: int
    counted: int
    made_by: str = ""
    shares: str = ""
    role: str = "value"
    inputs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Back:
    """What one backward pass did for a rung.

    Attributes:
        backward_pass: which pass, an index into `Picture.passes`.
        nodes: ids of the graph's nodes; `ops`: their primitives.
        grads: for the inputs that a gradient flows to: name, shape and the row it goes to ("" for a parameter).
        rows: the rungs that show these nodes one by one, where the pass was differentiated in turn; else empty.
    """

    backward_pass: int
    nodes: list[int] = field(default_factory=list)
    ops: list[str] = field(default_factory=list)
    grads: list[Edge] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    ms: float | None = None
    flops: int = 0


@dataclass(slots=True)
class Update:
    """What gave parameters or state their next version.

    Attributes:
        optimizer: such as "SGD"; for nodes that no optimizer names, their primitives.
        settings: such as "lr 0.1 momentum 0.9".
        state: what the optimizer keeps, with versions, such as "velocity v0 → v1".
        nodes: ids of the graph's nodes; `ops`: their primitives.
    """

    optimizer: str
    settings: str = ""
    state: list[str] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    ops: list[str] = field(default_factory=list)
    ms: float | None = None
    flops: int = 0


@dataclass(slots=True)
class Mark:
    """Something to see at once in a lane of a rung: kind "error", "nonfinite" or "stop", in words.

    `first` says that infinities and NaN begin here; other rungs only carry them on.
    """

    lane: str
    kind: str
    text: str
    first: bool = False
