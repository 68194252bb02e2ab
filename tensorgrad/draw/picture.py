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
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .parts import PHASES, Array, Back, Edge, Mark, Param, Saved, Sums, Update

if TYPE_CHECKING:
    from ..graph import Graph

__all__ = [
    "PHASES", "Array", "Back", "Band", "Collapse", "Edge", "Input", "Loss", "Mark", "Op", "Param", "Picture", "Row", "Saved",
    "Sums", "Update", "build",
]  # fmt: skip

SCHEMA = "training-picture/2"

Collapse = Iterable[str] | Callable[[str], bool] | None


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
    if x is None or isinstance(x, str | int):
        return x
    if isinstance(x, float):
        return float(f"{x:.6g}") if math.isfinite(x) else str(x)
    if isinstance(x, list | tuple):
        return [_plain(item) for item in x]
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    given = ((name, getattr(x, name), default) for name, default in _defaults(type(x)))
    return {name: _plain(value) for name, value, default in given if value != default}


@functools.cache
def _defaults(kind: type) -> list[tuple[str, Any]]:
    """The fields of a dataclass with what they hold by default."""
    fields = dataclasses.fields(kind)
    return [(f.name, f.default if f.default_factory is dataclasses.MISSING else f.default_factory()) for f in fields]


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
