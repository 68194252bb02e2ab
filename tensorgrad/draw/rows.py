"""From a graph to the rows of its picture: rungs in the bands of their modules, inputs before them, losses behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import text
from .picture import Band, Input, Loss, Op, Picture, Sums
from .rungs import Rungs
from .tree import Branch, Tree

if TYPE_CHECKING:
    from ..graph import Graph

OUTPUTS_SHOWN = 8


def tree_of(graph: Graph) -> Tree:
    """The rows of a graph as a tree, unfolded."""
    tree = Tree()
    Planter(graph, tree).plant()
    return tree


def picture_of(graph: Graph, tree: Tree) -> Picture:
    """The picture whose rows are this tree's."""
    rows = tree.rows()
    total = Sums()
    for row in rows:
        if row.band < 0:
            total.add(row.sum)
    given = next((r.array for r in rows if isinstance(r, Input) and r.role == "input" and r.array.shape), None)
    names = [text.clean(graph.values[v].name or "loss") for v in graph.outputs]
    return Picture(
        title=text.clean(graph.title),
        total=total,
        rows=rows,
        source={
            text.clean(file): {str(n): text.clean(line) for n, line in sorted(lines.items())}
            for file, lines in sorted(graph.source.items())
        },
        passes=names if _passes(graph) else [],
        batch=given.shape[0] if given is not None else None,
        wall_ms=None if graph.seconds is None else 1e3 * graph.seconds,
    )


def _passes(graph: Graph) -> int:
    return 1 + max((n.backward_pass for n in graph.nodes if n.backward_pass is not None), default=-1)


class Planter:
    """Puts the rungs of a graph into a tree, opening and closing bands as the scope changes."""

    def __init__(self, graph: Graph, tree: Tree) -> None:
        self.graph = graph
        self.tree = tree
        self.rungs = Rungs(graph)
        self._open: list[tuple[tuple[str, str], Branch]] = []  # the bands around, each with its role and path
        self._levels: dict[str, list[tuple[str, str]]] = {}
        self._calls: dict[str, list[Band]] = {}
        self._bands = 0
        self._ends = self._losses()
        self._waiting: list[Loss] = []

    def plant(self) -> None:
        for node in self.graph.nodes:
            if self.rungs.is_rung(node):
                op, fresh = self.rungs.rung(node)
                self._place(op, fresh, self._path(node))
        self._enter([])
        for losses in self._ends.values():
            self._waiting.extend(losses)
        self._enter([])
        for op in self.rungs.rest():
            self._add(Branch(op))
        unused = self.rungs.unused()
        if unused is not None:
            self._add(Branch(unused))
        for bands in self._calls.values():
            for call, band in enumerate(bands, 1):
                band.call, band.calls = call, len(bands)

    # -- bands ---------------------------------------------------------------------------------------------------------

    def _path(self, node: object) -> list[tuple[str, str]]:
        """The bands that a node stands in: first the backward pass, where that was differentiated, then the modules."""
        around = []
        if node.phase == "backward":
            around = [("pass", f"∂{(node.backward_pass or 0) + 1}")]
        return around + self._levels_of(node.scope)

    def _levels_of(self, scope: str) -> list[tuple[str, str]]:
        """The path of each module around a scope. Names may hold dots themselves, so the graph's list of scopes decides."""
        if scope not in self._levels:
            ends = [k for k, c in enumerate(scope) if c == "."]
            paths = [scope[:end] for end in ends if scope[:end] in self.graph.scopes]
            self._levels[scope] = [("module", path) for path in [*paths, *([scope] if scope else [])]]
        return self._levels[scope]

    def _enter(self, path: list[tuple[str, str]]) -> None:
        """Close and open bands until exactly these are open."""
        common = 0
        while common < min(len(path), len(self._open)) and self._open[common][0] == path[common]:
            common += 1
        del self._open[common:]
        if not self._open and self._waiting:
            waiting, self._waiting = self._waiting, []
            for loss in waiting:
                self._add(Branch(loss))
        for role, where in path[common:]:
            above = self._open[-1][0][1] if self._open and self._open[-1][0][0] == "module" else ""
            name = where.removeprefix(f"{above}.") if above else where
            band = Band(
                id=f"b{self._bands}",
                name=text.clean(name),
                path=text.clean(where),
                module=text.clean(self.graph.scopes.get(where, "")),
                role=role,
            )
            if role == "pass":
                root = self.graph.values[self.graph.outputs[int(where[1:]) - 1]] if self.graph.outputs else None
                band.name = f"∂ {text.clean((root.name if root else None) or 'output')}"
                band.module = "a backward pass"
            self._bands += 1
            self._calls.setdefault(where, []).append(band)
            branch = Branch(band, [])
            self._add(branch)
            self._open.append(((role, where), branch))

    def _add(self, branch: Branch) -> None:
        around = self._open[-1][1] if self._open else self.tree.root
        around.inside.append(branch)

    # -- rungs, inputs and losses ----------------------------------------------------------------------------------------

    def _place(self, op: Op, fresh: list[Input], path: list[tuple[str, str]]) -> None:
        """Add a rung. What it takes from outside stands above it where nothing else leads here, else beside it."""
        leading = (
            bool(op.inputs)
            and bool(fresh)
            and op.inputs[0].row == fresh[0].id
            and all(edge.row in {f.id for f in fresh} for edge in op.inputs)
        )
        if leading and fresh[0].role == "input" and fresh[0].array.shape:
            common = 0
            while common < min(len(path), len(self._open)) and self._open[common][0] == path[common]:
                common += 1
            self._enter(path[:common])
            fresh[0].beside = ""
            self._add(Branch(fresh.pop(0)))
        self._enter(path)
        for row in fresh:
            self._add(Branch(row))
        self._add(Branch(op))
        self._waiting.extend(self._ends.pop(op.node, []))
        if not self._open:
            self._enter([])

    def _losses(self) -> dict[int, list[Loss]]:
        """The rows where backward passes begin, or the outputs, by the node behind which they come; -1 for none."""
        graph, producer = self.graph, self.graph.producer()
        passes = _passes(graph)
        found: dict[int, list[Loss]] = {}
        outputs = list(graph.outputs)
        if not passes and not outputs:
            used = {v for node in graph.nodes for v in node.inputs}
            last = [n.outputs[0] for n in graph.nodes if n.outputs and n.outputs[0] not in used and n.primitive != "assign"]
            outputs = last[-OUTPUTS_SHOWN:]
        for k, v in enumerate(outputs):
            value, maker = graph.values[v], producer.get(v, -1)
            loss = Loss(id=f"loss{k}", row=self.rungs.home.get(maker, ""), array=self.rungs.array(value))
            scalar = not value.shape and k < passes
            loss.name = text.clean(value.name or ("loss" if scalar else "output"))
            if k < passes:
                loss.backward_pass = k
                loss.seed = "1" if value.number is not None else "given"
            found.setdefault(maker, []).append(loss)
        return found
