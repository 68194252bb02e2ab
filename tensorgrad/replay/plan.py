"""A plan to be read and drawn: what a replay runs, what that holds, and where everything lies."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..console import for_console
from ..graph import Graph, GraphNode
from .program import Step
from .runner import Runner


class ReplayPlan:
    """The plan of a compiled function, for one signature. Print it, or `save` it as a picture.

    Attributes:
        graph: the plan as a graph, whose nodes are the steps; a fused one has its primitives in the attribute "holds".
    """

    def __init__(self, runner: Runner, title: str) -> None:
        self._runner = runner
        self._program, self._memory = runner.program, runner.plan
        self._title = title
        self.graph = self._as_graph()

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes that the plan keeps: of values between steps, of leaves and gradients, of scratch memory, of copied
        arguments."""
        homes = {id(home): home.array.nbytes for home in self._memory.homes.values()}
        return {
            "values": sum(self._memory.blocks),
            "state and gradients": sum(homes.values()),
            "scratch": sum(memory.nbytes for memory in self._runner.scratch),
            "arguments": sum(self._program.values[v].nbytes for v in self._program.arguments),
        }

    def __str__(self) -> str:
        program = self._program
        recorded = sum(len(step.nodes) for step in program.steps) + program.dropped + program.folded
        lines = [
            f"plan of {self._title}: {recorded} primitives recorded, {program.dropped} superfluous, {program.folded} known "
            f"beforehand, {len(program.steps)} steps",
            "memory: " + ", ".join(f"{name} {_size(n)}" for name, n in self.nbytes.items()),
        ]
        rows = [("phase", "step", "output", "lies in", "threads")]
        for index, step in enumerate(program.steps):
            out = program.values[step.outputs[0]]
            stages = self._runner.stages[index]
            threads = "view" if not stages else str(max(map(len, stages)))
            rows.append((step.phase, step.name, f"{out.shape} {out.dtype}", self._place(step.outputs[0]), threads))
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return for_console("\n".join(lines))

    __repr__ = __str__

    def _place(self, value: int) -> str:
        memory, root = self._memory, self._memory.root_of(value)
        if root in memory.homes:
            leaf = memory.homes[root].leaf()
            kind = "gradient of " if memory.homes[root] in memory.gradient_homes.values() else ""
            return kind + (leaf.name or "a leaf" if leaf is not None else "a leaf")
        if root in memory.block:
            return f"block {memory.block[root]} ({_size(memory.blocks[memory.block[root]])})"
        return "argument" if root in self._program.arguments else "state"

    def _as_graph(self) -> Graph:
        graph = Graph(f"replay of {self._title}")
        for value in self._program.values:
            root = self._memory.root_of(value.id)
            buffer = self._memory.block.get(root, len(self._memory.blocks) + root)
            graph.values.append(dataclasses.replace(value, buffer=buffer))
        steps = self._program.steps
        holder = {node.id: index for index, step in enumerate(steps) for node in step.nodes}
        graph.nodes = [self._as_node(index, step, holder) for index, step in enumerate(steps)]
        graph.outputs = list(self._program.results)
        return graph

    def _as_node(self, index: int, step: Step, holder: dict[int, int]) -> GraphNode:
        """A step as a node; `holder` tells which step holds each recorded node."""
        first = step.nodes[0]
        alone = len(step.nodes) == 1
        tracked = {v for node in step.nodes for v, yes in zip(node.inputs, node.tracked, strict=True) if yes}
        back = {v: g for node in step.nodes for v, g in zip(node.inputs, node.cotangents, strict=False) if g is not None}
        return GraphNode(
            id=index,
            primitive=step.name,
            inputs=list(step.inputs),
            outputs=list(step.outputs),
            attributes=first.attributes if alone else {"holds": [node.primitive for node in step.nodes]},
            argument_names=self._argument_names(step),
            phase=step.phase,
            scope=first.scope,
            source=first.source,
            forward=holder.get(first.forward) if first.forward is not None else None,
            tracked=[v in tracked for v in step.inputs],
            cotangents=[back.get(v) for v in step.inputs] if back else [],
            flops=sum(node.flops for node in step.nodes),
        )

    def _argument_names(self, step: Step) -> list[str]:
        """What the primitives inside call the step's inputs."""
        known = {v: name for node in step.nodes for v, name in zip(node.inputs, node.argument_names, strict=True)}
        return [known.get(v, f"input {k}") for k, v in enumerate(step.inputs)]

    def save(self, path: str | Path, **options: Any) -> Path:
        """Draw the plan into a file: .svg, .png, .pdf, .dot, .html or .json. See `tensorgrad.draw.save`."""
        return self.graph.save(path, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self)} | self.graph._repr_mimebundle_(include, exclude)


def _size(nbytes: int) -> str:
    for unit, size in (("MB", 1 << 20), ("kB", 1 << 10)):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} B"
