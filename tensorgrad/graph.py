"""Graph: what ran, as plain data. Everything that draws, counts, compares or replays takes one of these."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import graphviz

    from .draw.diff import Diff
    from .draw.summary import Summary

SCHEMA = "tensorgrad-graph/1"
HELD = ("parameter", "frozen", "state")  # kinds of values that are there from step to step


@dataclass(slots=True)
class Value:
    """An array that primitives made or were given, without its contents.

    Attributes:
        id: its place in `Graph.values`; values are numbered as they first appear.
        shape, dtype, nbytes: of the array. The dtype of a Python number is "number", and it has no bytes.
        kind: "input" (data given to the step), "parameter" (a leaf that requires a gradient), "frozen" (a parameter of a
            module that requires none), "state" (a buffer of a module, or any other leaf that the update reads or rebinds,
            such as a learning rate or a momentum), "constant" (a number, or the gradient of 1
            that a backward pass begins with), "intermediate" (made by a primitive), "extra" (a further output
            of one, such as max-pool's winners) or "gradient" (what ended up in a leaf's `.grad`).
        name: what the user calls it, such as `conv.weight`, or None.
        version: of a parameter or state, counted from 0 at the beginning of the trace.
        previous: the value that this one replaced by assignment.
        of: for a gradient, the value it is the gradient of.
        number: the value itself, where it is a single number and known.
        buffer: values with the same number here share memory; -1 where there is none.
        strides: of the array, in bytes.
        norm: the Euclidean norm of a gradient.
        finite: False if it holds an infinity or a NaN; None where nobody looked.
    """

    id: int
    shape: tuple[int, ...]
    dtype: str
    kind: str
    nbytes: int = 0
    name: str | None = None
    version: int = 0
    previous: int | None = None
    of: int | None = None
    number: float | int | bool | None = None
    buffer: int = -1
    strides: tuple[int, ...] = ()
    norm: float | None = None
    finite: bool | None = None


@dataclass(slots=True)
class Saved:
    """A value that a node keeps for its backward pass: the name its rules know it by, and the inputs these rules are for."""

    name: str
    value: int
    rules: tuple[str, ...]


@dataclass(slots=True)
class GraphNode:
    """One recorded application of a primitive.

    Attributes:
        id: its place in `Graph.nodes`, which is the order of execution.
        primitive: the name of the primitive.
        inputs: ids of values; None for an optional input left out.
        outputs: ids of values: the output, then the extras.
        attributes: the primitive's settings, made of plain data.
        argument_names: what the primitive calls its inputs.
        phase: "forward", "backward" or "update".
        scope: the module path it ran under; a backward node's is that of the node it belongs to.
        source: file and line of the user's call, see `Graph.source`.
        forward: for a backward node, the node whose rule ran.
        tracked: for each input, whether a gradient flows back through it.
        saved: what the node keeps for its backward pass.
        cotangents: for each input, the value that its rule returned, or None.
        backward_pass: for a node of a backward pass, which pass it belongs to, counted from 0; its place in `Graph.outputs`.
        reached_by: for a node of a forward pass, the backward passes that went through it.
        stops: why no gradient flows back through an input that has a rule: "needs no gradient", "detached" or "no_grad",
            by the input's name.
        flops: floating-point operations, a multiply-add counting 2.
        seconds: where the trace was asked for times, how long the node took: from the end of the node before it (or the
            beginning of the block) to the end of its kernel, without what recording took. So the nodes' times add up to
            nearly all of `Graph.seconds`, and Python code that led to a node, such as the engine's, counts as its time.
        error: what the kernel raised, on the node where a step failed.
        rule_error: what one of its rules raised by itself, on the forward node whose backward pass failed.
    """

    id: int
    primitive: str
    inputs: list[int | None]
    outputs: list[int]
    attributes: dict[str, Any]
    argument_names: list[str]
    phase: str
    scope: str
    source: tuple[str, int] | None = None
    forward: int | None = None
    tracked: list[bool] = field(default_factory=list)
    saved: list[Saved] = field(default_factory=list)
    cotangents: list[int | None] = field(default_factory=list)
    backward_pass: int | None = None
    reached_by: list[int] = field(default_factory=list)
    stops: dict[str, str] = field(default_factory=dict)
    flops: int = 0
    seconds: float | None = None
    error: str | None = None
    rule_error: str | None = None


class Graph:
    """The nodes that ran, in their order, and the values between them.

    Attributes:
        nodes: the recorded applications of primitives.
        values: what they took and made.
        scopes: what each module path is: `{"features.conv1": "Conv2D"}`.
        source: the text of the lines that nodes name: `{file: {line: text}}`.
        outputs: the values that the graph is drawn for, such as a loss, where that is known.
        seconds: how long the traced block took without its recording, where the trace was asked for times.
        bindings: live arrays and tensors behind values, where the trace was asked to keep them; not part of the data.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> g = tg.graph((x * 3).sum())
    >>> [node.primitive for node in g.nodes]
    ['multiply', 'sum']
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.nodes: list[GraphNode] = []
        self.values: list[Value] = []
        self.scopes: dict[str, str] = {}
        self.source: dict[str, dict[int, str]] = {}
        self.outputs: list[int] = []
        self.seconds: float | None = None
        self.bindings: dict[int, Any] = {}

    def __repr__(self) -> str:
        phases = {phase: sum(node.phase == phase for node in self.nodes) for phase in ("forward", "backward", "update")}
        counts = ", ".join(f"{count} {phase}" for phase, count in phases.items() if count)
        return f"<Graph of {len(self.nodes)} nodes{': ' + counts if counts else ''}>"

    # -- questions -------------------------------------------------------------------------------------------------

    def producer(self) -> dict[int, int]:
        """For each value that a node made, that node."""
        return {value: node.id for node in self.nodes for value in node.outputs}

    def consumers(self) -> dict[int, list[int]]:
        """For each value that nodes take, these nodes in order."""
        found: dict[int, list[int]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(v for v in node.inputs if v is not None):
                found.setdefault(value, []).append(node.id)
        return found

    def parameters(self) -> list[Value]:
        """The parameters at the version that the graph found them in."""
        return [v for v in self.values if v.kind == "parameter" and v.previous is None]

    def gradients(self) -> dict[int, Value]:
        """The gradient that ended up at each leaf, by the leaf's value."""
        return {v.of: v for v in self.values if v.kind == "gradient" and v.of is not None}

    def saved_bytes(self, nodes: list[GraphNode] | None = None) -> int:
        """Bytes that the nodes keep for their backward pass beside the parameters; shared memory counts once."""
        sizes: dict[int, int] = {}
        for node in self.nodes if nodes is None else nodes:
            for saved in node.saved:
                value = self.values[saved.value]
                if value.kind not in HELD and value.buffer >= 0:
                    sizes[value.buffer] = max(sizes.get(value.buffer, 0), value.nbytes)
        return sum(sizes.values())

    def flops(self, phase: str | None = None) -> int:
        """Floating-point operations of all nodes, or of one phase."""
        return sum(node.flops for node in self.nodes if phase in (None, node.phase))

    def first_nonfinite(self) -> Value | None:
        """The value in which the first infinity or NaN appeared, or None."""
        made = [self.values[v] for node in self.nodes for v in node.outputs]
        later = {value.id for value in made}  # new values of leaves among them, which updates have made
        given = [v for v in self.values if v.finite is False and v.kind in ("input", *HELD) and v.id not in later]
        return next((v for v in [*given, *made] if v.finite is False), None)

    # -- as plain data ---------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The whole graph as dictionaries, lists, strings and numbers; see `from_dict`."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "seconds": self.seconds,
            "scopes": self.scopes,
            "source": {file: {str(line): text for line, text in lines.items()} for file, lines in self.source.items()},
            "outputs": self.outputs,
            "values": [_record(value) for value in self.values],
            "nodes": [_record(node) for node in self.nodes],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Graph:
        """The graph that `to_dict` described."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"this is no graph of the schema {SCHEMA}, but {data.get('schema')!r}; save it anew as .json")
        graph = cls(data["title"])
        graph.seconds = data["seconds"]
        graph.scopes = dict(data["scopes"])
        graph.source = {file: {int(line): text for line, text in lines.items()} for file, lines in data["source"].items()}
        graph.outputs = list(data["outputs"])
        for entry in data["values"]:
            entry = {name: _number(x) if name in ("number", "norm") else x for name, x in entry.items()}
            graph.values.append(Value(**entry | {"shape": tuple(entry["shape"]), "strides": tuple(entry["strides"])}))
        for entry in data["nodes"]:
            saved = [Saved(s["name"], s["value"], tuple(s["rules"])) for s in entry["saved"]]
            source = tuple(entry["source"]) if entry["source"] else None
            graph.nodes.append(GraphNode(**entry | {"saved": saved, "source": source}))
        return graph

    def to_json(self) -> str:
        """The graph as JSON text. The same graph gives the same text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=None, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph that `to_json` described."""
        return cls.from_dict(json.loads(text))

    # -- pictures: the functions of tensorgrad.draw, with this graph first -------------------------------------------

    def save(self, path: str | Path, **options: Any) -> Path:
        """Draw the graph into a file: .svg, .png, .pdf, .dot, .html or .json. See `tensorgrad.draw.save`."""
        from . import draw

        return draw.save(self, path, **options)

    def to_graphviz(self, **options: Any) -> graphviz.Digraph:
        """The picture as a `graphviz.Digraph`, to be changed further. See `tensorgrad.draw.to_graphviz`."""
        from . import draw

        return draw.to_graphviz(self, **options)

    def summary(self, depth: int | None = None) -> Summary:
        """A table of modules and ops: what they put out, hold, keep and cost. See `tensorgrad.draw.summary`."""
        from .draw.summary import summary

        return summary(self, depth)

    def diff(self, other: Graph) -> Diff:
        """What was added, removed and changed from this graph to another. See `tensorgrad.draw.diff`."""
        from .draw.diff import diff

        return diff(self, other)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """How a notebook shows a graph."""
        from . import draw

        return draw.mimebundle(self)


def _record(of: Value | GraphNode | Saved) -> dict[str, Any]:
    """The fields of a record, made of JSON's own kinds."""
    return {name: _plain(getattr(of, name)) for name in of.__slots__}


def _plain(x: Any) -> Any:
    """Made of JSON's own kinds: tuples become lists, NumPy's numbers Python's, infinities and NaN strings."""
    if x is None or type(x) in (int, str, bool):
        return x
    if isinstance(x, Saved):
        return _record(x)
    if isinstance(x, dict):
        return {str(key): _plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(item) for item in x]
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    return x if isinstance(x, bool | int | float | str) else str(x)


def _number(x: Any) -> Any:
    return float(x) if isinstance(x, str) else x
