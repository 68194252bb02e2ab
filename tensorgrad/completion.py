"""What a trace works out of its nodes when it is over, so that a step is not kept waiting for it."""

from __future__ import annotations

import linecache
import os
from types import CodeType
from typing import NamedTuple

from .graph import Graph, GraphNode, Saved
from .primitive import Primitive, Pullback
from .state import Scope


class Told(NamedTuple):
    """What is known of an application when it has run, and its node is completed from."""

    primitive: Primitive
    pullback: Pullback | None
    scope: Scope | None
    stopping: list[bool | None] | None  # of inputs that may stop a gradient: whether each requires one; None for other data
    code: CodeType | None  # of the user's call
    instruction: int  # in that code


def complete(graph: Graph, applications: list[Told]) -> None:
    """Fill in what the primitives, pullbacks and instructions say of a graph's nodes."""
    lines, values = SourceLines(graph), graph.values
    carrying = set()  # values that a gradient flows back through
    for node, told in zip(graph.nodes, applications, strict=True):
        primitive, pullback = told.primitive, told.pullback
        names = node.argument_names = primitive.argument_names(len(node.inputs))
        if told.code is not None:
            node.source = lines.add(told.code, told.instruction)
        if node.error is not None:
            continue
        if not primitive.sums:
            node.flops = primitive.flops(values[node.outputs[0]].shape)
        if pullback is None:
            node.tracked = [False] * len(names)
        else:
            indices = pullback.indices
            node.tracked = [k in indices for k in range(len(names))]
            carrying.add(node.outputs[0])
            if pullback.keeps:
                node.saved = [saved for saved in _saved(pullback, node) if values[saved.value].dtype != "number"]
        if told.stopping is not None:
            node.stops = _stops(node, told, carrying)


def _saved(pullback: Pullback, node: GraphNode) -> list[Saved]:
    """The arrays that an application keeps for its rules."""
    found = []
    for kind, which in pullback.keeps:
        if kind == "input":
            name, values = pullback.primitive.inputs[which], node.inputs[which : which + 1]
        elif kind == "out":
            name, values = "out", node.outputs[:1]
        elif kind == "extra":
            name, values = pullback.primitive.extras[which], node.outputs[which + 1 : which + 2]
        elif kind == "variadic":
            name, values = pullback.primitive.variadic, node.inputs[which:]
        else:
            continue  # a shape or an attribute
        asking = tuple(node.argument_names[call.index] for call in pullback.calls if name in call.names)
        found += [Saved(name, value, asking) for value in values if value is not None]
    return found


def _stops(node: GraphNode, told: Told, carrying: set[int]) -> dict[str, str]:
    """Why no gradient flows back through inputs that have a rule, where others have one or it stops just here."""
    found = {}
    for name, requires, value, tracked in zip(node.argument_names, told.stopping, node.inputs, node.tracked, strict=True):
        if tracked or requires is None or name.partition("[")[0] not in told.primitive.rules:
            continue
        if requires:
            found[name] = "no_grad"
        elif value in carrying:
            found[name] = "detached"
        elif any(node.tracked):
            found[name] = "needs no gradient"
    return found


class SourceLines:
    """Reads the lines that instructions came from, and writes them into a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[tuple[int, int], tuple[str, int]] = {}
        self._files: dict[str, str] = {}

    def add(self, code: CodeType, instruction: int) -> tuple[str, int]:
        """The file and line of an instruction."""
        key = id(code), instruction
        if key not in self._known:
            line = next((line for start, end, line in code.co_lines() if start <= instruction < end), None)
            line = code.co_firstlineno if line is None else line
            file = code.co_filename
            if file not in self._files:
                self._files[file] = shown_path(file)
            self._known[key] = shown, line = self._files[file], line
            self._graph.source.setdefault(shown, {})[line] = linecache.getline(file, line).strip()
        return self._known[key]


def shown_path(file: str) -> str:
    """A file as pictures name it: below the current folder, or by its name alone, so that no machine's folders are shown."""
    if file.startswith("<"):
        return file
    try:
        relative = os.path.relpath(file)
    except (ValueError, OSError):  # on another drive; or the current folder is gone
        return os.path.basename(file)
    return os.path.basename(file) if relative.startswith("..") else relative.replace(os.sep, "/")
