"""The picture model: what every picture of a graph shows, as plain data that knows no format.

A picture is a flat list of rows in preorder. Rows stand in the order of execution, each is one of

=========  =============================================================================================
`Band`     a module (or a repeated group of rows); the rows inside follow it, up to `end`
`Op`       a rung: one primitive with what belongs to it in all seven lanes, from parameters to next version
`Input`    data given to the step
`Loss`     where a backward pass begins, or what a forward graph ends in
=========  =============================================================================================

Edges are not stored: `Op.inputs` names the row that each input comes from, gradients go the other way.
Every node of the graph stands in exactly one row, and each `Row.sum` counts a parameter and a shared buffer
in the row where it stands first, so the sums of the rows shown are the same at every depth.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..graph import Graph

SCHEMA = "training-picture/2"
PHASES = ("forward", "backward", "update")

Collapse = Iterable[str] | Callable[[str], bool] | None


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


@dataclass(slots=True)
class Row:
    """What all rows have: an id, the index of the band around it (-1 for none), how often it stands for, and its sums."""

    id: str
    band: int = -1
    times: int = 1
    sum: Sums = field(default_factory=Sums)

    kind = "row"


@dataclass(slots=True)
class Band(Row):
    """A module, from this row to before row `end`.

    Attributes:
        name: its own; `path`: with those of the modules around it; `module`: its class.
        role: "module", "repeat" (a group of rows that is repeated), "chunk" (a part of a long list of rows) or "pass" (the
            nodes of a backward pass that was differentiated in turn).
        call: which call of the module this is, where it was called several times; `calls`: how often it was.
        out: what its last op returns.
        closed: whether it is drawn as one rung.
    """

    name: str = ""
    path: str = ""
    module: str = ""
    role: str = "module"
    call: int = 1
    calls: int = 1
    end: int = 0
    out: Array | None = None
    closed: bool = False

    kind = "band"


@dataclass(slots=True)
class Op(Row):
    """One rung.

    Attributes:
        number: which rung it is, from 1, as in "r3".
        node, nodes: the id of the graph's node, and those of all nodes in its FORWARD card (several where rungs are folded).
        op: the primitive; `name`: what the user calls the output.
        lane: where the rung's main card stands: "forward"; "backward" or "update" where it belongs to no forward rung;
            "parameters" for those that no op took.
        phase: of the node. It is "backward" in lane "forward" where the pass was differentiated in turn.
        attributes: the settings in short; `numbers`: the numbers it was given, such as "y = 3".
        gradient: that of what the backward pass began with with respect to the output, where it is one number and known.
        extras: further outputs by name.
        source: file and line of the user's call; the text is in `Picture.source`.
    """

    number: int = 0
    node: int = 0
    nodes: list[int] = field(default_factory=list)
    op: str = ""
    name: str = ""
    lane: str = "forward"
    phase: str = "forward"
    scope: str = ""
    attributes: str = ""
    numbers: list[str] = field(default_factory=list)
    inputs: list[Edge] = field(default_factory=list)
    out: Array | None = None
    gradient: float | None = None
    extras: dict[str, Array] = field(default_factory=dict)
    params: list[Param] = field(default_factory=list)
    saved: list[Saved] = field(default_factory=list)
    backs: list[Back] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    source: list[Any] | None = None

    kind = "op"


@dataclass(slots=True)
class Input(Row):
    """Data given to the step, or a constant array. `beside`: the op that it is drawn next to; empty for a row of its own."""

    name: str = ""
    role: str = "input"
    array: Array | None = None
    beside: str = ""

    kind = "input"


@dataclass(slots=True)
class Loss(Row):
    """Where a backward pass begins: `seed` is what it begins with, such as 1. Without a pass, what a forward graph ends in."""

    name: str = "loss"
    row: str = ""
    array: Array | None = None
    backward_pass: int | None = None
    seed: str = ""

    kind = "loss"


@dataclass(slots=True)
class Picture:
    """All that a drawing shows.

    Attributes:
        title, notes: the heading, and remarks such as what was collapsed for want of time.
        total: sums over all rows; `batch`: the first axis of the first input, None without one.
        wall_ms: how long the traced block took, where times were taken.
        passes: what each backward pass began at, in words, such as "loss".
        source: file → line → text.
        rows: in preorder.
    """

    title: str
    total: Sums
    rows: list[Row]
    source: dict[str, dict[str, str]] = field(default_factory=dict)
    passes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    batch: int | None = None
    wall_ms: float | None = None

    def visible(self) -> Iterator[Row]:
        """The rows that a drawing shows: a closed band stands for all rows inside."""
        index = 0
        while index < len(self.rows):
            row = self.rows[index]
            yield row
            index = row.end if isinstance(row, Band) and row.closed else index + 1

    def shown_as(self) -> dict[str, str]:
        """For the id of each row, the id of the visible row that stands for it."""
        found, index = {}, 0
        while index < len(self.rows):
            row = self.rows[index]
            last = row.end if isinstance(row, Band) and row.closed else index + 1
            for inside in self.rows[index:last]:
                found[inside.id] = row.id
            index = last
        return found

    def to_dict(self) -> dict[str, Any]:
        """The picture as dictionaries, lists, strings and numbers. Fields that hold their default are left out.

        Floats are rounded to six digits; infinities and NaN become the strings "inf", "-inf" and "nan".
        """
        rows = [{"kind": row.kind, "band": row.band} | _plain(row) for row in self.rows]
        return {"schema": SCHEMA, "title": self.title} | _plain(dataclasses.replace(self, rows=[])) | {"rows": rows}


def _plain(x: Any) -> Any:
    if dataclasses.is_dataclass(x):
        given = ((f.name, getattr(x, f.name)) for f in dataclasses.fields(x) if getattr(x, f.name) != _default(f))
        return {name: _plain(value) for name, value in given}
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(item) for item in x]
    if isinstance(x, float):
        return float(f"{x:.6g}") if math.isfinite(x) else str(x)
    return x


def _default(of: dataclasses.Field[Any]) -> Any:
    return of.default if of.default_factory is dataclasses.MISSING else of.default_factory()


def build(
    graph: Graph,
    *,
    depth: int | None = None,
    collapse: Collapse = None,
    fold: bool = False,
    limit: int | None = None,
) -> Picture:
    """The picture of a graph.

    Args:
        graph: what ran.
        depth: how many levels of modules are open: 0 draws a rung for each outermost one; None opens all.
        collapse: paths of modules to close ("features", "blocks.*"), or a function that is told a path and says whether to.
        fold: draw repeated blocks once, with ×N.
        limit: close the innermost modules, one level after another, until at most so many rows are left.
    """
    from . import closing, folding, rows

    tree = rows.tree_of(graph)
    if fold:
        folding.fold(tree)
    folding.chunk(tree)
    picture = rows.picture_of(graph, tree)
    closing.close(picture, depth, collapse, limit)
    return picture
