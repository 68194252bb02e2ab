"""One rung of a picture: what belongs to one node of a graph in all lanes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..graph import HELD, _plain
from . import text, updates, upkeep
from .picture import PHASES, Array, Back, Edge, Input, Mark, Op, Param, Saved

if TYPE_CHECKING:
    from ..graph import Graph, GraphNode, Value


class Rungs:
    """Makes rungs in the order of execution, and remembers what was counted already.

    Attributes:
        home: for each node, the id of the row that it stands in.
        differentiated: the backward passes that were differentiated in turn, so that their nodes are rungs themselves.
        loose: nodes of the update phase that belong to no single parameter.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        nodes = graph.nodes
        backward_of = [nodes[n.forward] for n in nodes if n.forward is not None]
        self.differentiated = {n.backward_pass or 0 for n in backward_of if n.phase == "backward"}
        self._goes_back = any(n.phase == "backward" for n in nodes)
        self.home: dict[int, str] = {}
        self._backs: dict[int, dict[int, list[GraphNode]]] = {}  # by node and pass: the nodes of its backward
        self._updates, self.loose = updates.owned(graph)
        self._next = {v.previous: v.version for v in graph.values if v.previous is not None}
        self._gradients = graph.gradients()
        self._producer = graph.producer()
        self._root: dict[int, int] = {}  # of each version of a leaf: its first
        for value in graph.values:
            self._root[value.id] = value.id if value.previous is None else self._root.get(value.previous, value.id)
        self._taken: dict[str, set[int]] = {}  # the parameters that each op has on its card
        self._param_row: dict[int, str] = {}  # of each leaf, by its first version: the row that counts it
        self._version_row: dict[int, str] = {}  # of each version of a leaf: the row that shows its update
        self._kept: dict[int, tuple[int, str]] = {}  # of each buffer: how many bytes are counted, and where
        self._inputs: dict[int, str] = {}  # of each value from outside: its row
        self._arriving = _arriving(graph)
        first = graph.first_nonfinite()
        self._first_nonfinite = None if first is None else first.id
        self._upkeep = upkeep.owned(graph)
        self._upkeeping = {node.id: f"n{rung}" for rung, nodes in self._upkeep.items() for node in nodes}
        self._claim()

    def _claim(self) -> None:
        """Decide which row each node stands in."""
        self.home = dict(self._upkeeping)
        for node in self.graph.nodes:
            if self.is_rung(node):
                self.home[node.id] = f"n{node.id}"
        for node in self.graph.nodes:
            if node.phase == "backward" and node.forward is not None:
                by_pass = self._backs.setdefault(node.forward, {})
                by_pass.setdefault(node.backward_pass or 0, []).append(node)
                if not self.is_rung(node):
                    self.home[node.id] = self.home[node.forward]

    def is_rung(self, node: GraphNode) -> bool:
        """Whether a node has a rung of its own; others stand in the BACKWARD or UPDATE lane of another's."""
        if node.phase == "update" or node.id in self._upkeeping:
            return False
        return node.phase != "backward" or node.forward is None or (node.backward_pass or 0) in self.differentiated

    # -- the parts of a rung -----------------------------------------------------------------------------------------

    def rung(self, node: GraphNode) -> tuple[Op, list[Input]]:
        """The rung of a node, and the inputs that are used here first."""
        graph = self.graph
        op = Op(
            id=self.home[node.id],
            node=node.id,
            nodes=[node.id],
            op=text.clean(node.primitive),
            lane="backward" if node.phase == "backward" and (node.backward_pass or 0) not in self.differentiated else "forward",
            phase=node.phase,
            scope=node.scope,
            attributes=text.clean(text.settings(node.primitive, _plain(node.attributes))),
            source=None if node.source is None else [text.clean(node.source[0]), node.source[1]],
        )
        if node.outputs:
            out = graph.values[node.outputs[0]]
            op.out = self.array(out)
            op.gradient = self._arriving.get(out.id)
            op.name = "" if out.kind in HELD else text.clean(out.name or "")
            names = {saved.value: saved.name for saved in node.saved}
            for k, v in enumerate(node.outputs[1:], 1):
                op.extras[text.clean(names.get(v, f"output {k}"))] = self.array(graph.values[v])
        fresh = self._take_inputs(op, node)
        self._keep_up(op, node)
        op.saved = self._saved(op, node)
        op.backs = [self._back(op, node, p) for p in self._passes(node)]
        op.scope = text.clean(op.scope)
        self._explain_stops(op, node)
        self._mark(op, node)
        self._sum(op, node)
        return op, fresh

    def array(self, value: Value) -> Array:
        return Array(list(value.shape), text.dtype(value.dtype), value.number, value.finite is False)

    def _take_inputs(self, op: Op, node: GraphNode) -> list[Input]:
        fresh: list[Input] = []
        for k, v in enumerate(node.inputs):
            if v is None:
                continue
            value, name = self.graph.values[v], text.clean(node.argument_names[k])
            if value.kind in HELD:
                self._take_param(op, value, name)
            elif value.kind == "constant" and value.number is not None and v not in self._producer:
                op.numbers.append(f"{name} = {text.number(value.number)}")
            else:
                row = self._row_of(value, name, op, fresh)
                tracked = k < len(node.tracked) and node.tracked[k]
                op.inputs.append(Edge(name, row, self.array(value), tracked, node.stops.get(node.argument_names[k], "")))
        return fresh

    def _row_of(self, value: Value, name: str, op: Op, fresh: list[Input]) -> str:
        """The row that a value comes from; a new one for a value from outside."""
        maker = self._producer.get(value.id)
        if maker is not None and maker in self.home:
            return self.home[maker]
        if value.id not in self._inputs:
            row = Input(
                id=f"v{value.id}", name=text.clean(value.name or name), role=value.kind, array=self.array(value), beside=op.id
            )
            self._inputs[value.id] = row.id
            fresh.append(row)
        return self._inputs[value.id]

    def _take_param(self, op: Op, value: Value, name: str) -> None:
        path = value.name or name
        if value.id in self._taken.setdefault(op.id, set()):
            return  # given to the op twice
        self._taken[op.id].add(value.id)
        if any(p.path == text.clean(path) and p.version == value.version for p in op.params):
            return
        root = self._root[value.id]
        counted_in = self._param_row.setdefault(root, op.id)
        shown_in = self._version_row.setdefault(value.id, op.id)
        gradient = self._gradients.get(value.id) if shown_in == op.id else None
        param = Param(
            name=text.clean(path.removeprefix(f"{op.scope}.") if op.scope else path),
            path=text.clean(path),
            array=self.array(value),
            size=math.prod(value.shape),
            bytes=value.nbytes,
            version=value.version,
            argument=name,
            grad=None if gradient is None else gradient.norm,
            grad_number=None if gradient is None else gradient.number,
            grad_nonfinite=gradient is not None and (gradient.finite is False or not math.isfinite(gradient.norm or 0.0)),
            role=value.kind,
            shared="" if counted_in == op.id else counted_in,
        )
        if shown_in == op.id:
            param.next = self._next.get(value.id)
            nodes = self._updates.pop(value.id, [])
            if nodes:
                updates.append(op.updates, updates.described(self.graph, nodes))
                self.home.update((n.id, op.id) for n in nodes)
            if param.grad is None and param.role == "parameter" and self._goes_back:
                param.stop = "no gradient came here"
        op.params.append(param)

    def _keep_up(self, op: Op, node: GraphNode) -> None:
        """Add the state that is kept up to date because of a node."""
        nodes = self._upkeep.get(node.id, [])
        for upkeeper in nodes:
            for v in upkeeper.inputs:
                if v is not None and self.graph.values[v].kind == "state":
                    self._take_param(op, self.graph.values[v], "")
        if nodes:
            op.updates.append(upkeep.described(self.graph, nodes))

    def _saved(self, op: Op, node: GraphNode) -> list[Saved]:
        found: dict[int, Saved] = {}
        for saved in node.saved:
            value = self.graph.values[saved.value]
            if value.id in found:
                entry = found[value.id]
                entry.name, entry.inputs = f"{entry.name}, {saved.name}", list(dict.fromkeys([*entry.inputs, *saved.rules]))
                continue
            entry = Saved(
                text.clean(saved.name), self.array(value), value.nbytes, 0, inputs=[text.clean(r) for r in saved.rules]
            )
            maker = self._producer.get(value.id)
            if maker is not None and maker != node.id:
                entry.made_by = self.home.get(maker, "")
            elif maker is None:
                entry.made_by = self._inputs.get(value.id, "")
            if value.kind in HELD:
                entry.role = "parameter"
            elif value.buffer >= 0:
                before, where = self._kept.get(value.buffer, (0, op.id))
                entry.counted = max(0, value.nbytes - before)
                entry.shares = where if before else ""
                self._kept[value.buffer] = max(before, value.nbytes), where
            found[value.id] = entry
        return list(found.values())

    # -- the backward pass -------------------------------------------------------------------------------------------

    def _passes(self, node: GraphNode) -> list[int]:
        return sorted({*node.reached_by, *self._backs.get(node.id, ())})

    def _back(self, op: Op, node: GraphNode, which: int) -> Back:
        nodes = self._backs.get(node.id, {}).get(which, [])
        back = Back(which, [n.id for n in nodes], [text.clean(n.primitive) for n in nodes])
        for k, v in enumerate(node.inputs):
            if v is None or not (k < len(node.tracked) and node.tracked[k]):
                continue
            value, name = self.graph.values[v], text.clean(node.argument_names[k])
            row = next((edge.row for edge in op.inputs if edge.name == name), "")
            back.grads.append(Edge(name, row, Array(list(value.shape), text.dtype(value.dtype)), True))
        if which in self.differentiated:
            back.rows = [self.home[n.id] for n in nodes]
            back.nodes = []
        else:
            times = [n.seconds for n in nodes if n.seconds is not None]
            back.ms = 1e3 * sum(times) if times else None
            back.flops = sum(n.flops for n in nodes)
        return back

    def _explain_stops(self, op: Op, node: GraphNode) -> None:
        if not self._goes_back:
            return
        reasons: dict[str, list[str]] = {}
        for name, reason in node.stops.items():
            reasons.setdefault(reason, []).append(text.clean(name))
        for reason, names in reasons.items():
            said = {"detached": "is detached", "no_grad": "ran under no_grad"}.get(reason, reason)
            if reason == "needs no gradient" and len(names) > 1:
                said = "need no gradient"
            op.stops.append(said if reason == "no_grad" else f"{', '.join(names)} {said}")
        failed = node.error or node.rule_error
        if any(node.tracked) and not op.backs and not failed and node.phase == "forward":
            op.stops.append("no gradient came here")

    # -- marks and sums ----------------------------------------------------------------------------------------------

    def _mark(self, op: Op, node: GraphNode) -> None:
        backs = [self.graph.nodes[n] for back in op.backs for n in back.nodes]
        changes = [self.graph.nodes[n] for update in op.updates for n in update.nodes]
        for lane, nodes in ((op.lane, [node]), ("backward", backs), ("update", changes)):
            bad = [v for n in nodes for v in n.outputs if self.graph.values[v].finite is False]
            error = next((n.error for n in nodes if n.error), None)
            if error:
                op.marks.append(Mark(lane, "error", text.clean(error)))
            if lane == op.lane and node.rule_error:
                op.marks.append(Mark("backward" if op.backs else lane, "error", text.clean(node.rule_error)))
            if self._first_nonfinite in bad:
                kind = _what_nonfinite(self.graph.values[self._first_nonfinite])
                op.marks.append(Mark(lane, "nonfinite", f"the first {kind} appears here", first=True))
            elif bad:
                op.marks.append(Mark(lane, "nonfinite", "holds infinities or NaN"))

    def _sum(self, op: Op, node: GraphNode) -> None:
        total = op.sum
        own = [p for p in op.params if p.role != "state"]
        counted = [p for p in own if not p.shared]
        stands = [node.id, *(n for back in op.backs for n in back.nodes), *(n for update in op.updates for n in update.nodes)]
        total.ops, total.nodes = 1, len(stands)
        total.parameters, total.tensors = sum(p.size for p in counted), len(counted)
        total.saved_bytes = sum(s.counted for s in op.saved)
        total.out_bytes = self.graph.values[node.outputs[0]].nbytes if node.outputs and node.phase == "forward" else 0
        norms = [p.grad for p in own if p.grad is not None]
        total.gradient = math.hypot(*norms) if norms else None
        self.add_nodes(op, stands)

    def add_nodes(self, op: Op, ids: list[int]) -> None:
        """Add the times and the operations of these nodes to a row's sums."""
        nodes = [self.graph.nodes[n] for n in ids]
        for node in nodes:
            phase = node.phase if node.phase in PHASES else "forward"
            op.sum.flops[phase] += node.flops
            if node.seconds is not None:
                op.sum.ms = op.sum.ms or dict.fromkeys(PHASES, 0.0)
                op.sum.ms[phase] += 1e3 * node.seconds

    def rest(self) -> list[Op]:
        """Rungs for what is left when all others are made: updates of parameters that no rung uses, or of several at once."""
        found = []
        groups = [[n] for n in self.loose] + list(self._updates.values())
        for nodes in sorted(groups, key=lambda group: group[0].id):
            op = Op(id=f"n{nodes[0].id}", node=nodes[0].id, op=text.clean(nodes[0].primitive), lane="update", phase="update")
            op.updates = [updates.described(self.graph, nodes)]
            op.source = None if nodes[0].source is None else [text.clean(nodes[0].source[0]), nodes[0].source[1]]
            op.sum.ops, op.sum.nodes = 1, len(nodes)
            self.home.update((n.id, op.id) for n in nodes)
            self._mark(op, nodes[0])
            self.add_nodes(op, [n.id for n in nodes])
            found.append(op)
        return found

    def unused(self) -> Op | None:
        """A rung for the parameters of the modules called that no op took."""
        used = {v for node in self.graph.nodes for v in node.inputs}
        idle = [v for v in self.graph.values if v.kind == "parameter" and v.previous is None and v.id not in used and v.name]
        if not idle or not self._goes_back:
            return None
        op = Op(id="unused", node=-1, op="unused", lane="parameters", phase="forward")
        for value in idle:
            self._take_param(op, value, "")
        for param in op.params:
            param.stop = "unused: no op takes it"
        op.sum.parameters, op.sum.tensors = sum(p.size for p in op.params), len(op.params)
        return op


def _what_nonfinite(value: Value) -> str:
    if value.number is not None and value.number != value.number:
        return "NaN"
    return "infinity" if value.number is not None else "infinity or NaN"


def _arriving(graph: Graph) -> dict[int, float]:
    """The gradients of values that are single numbers: what the rules of all their uses returned, added up.

    Left out where there were several backward passes, of which a graph keeps the last one's.
    """
    if sum(1 for n in {n.backward_pass for n in graph.nodes} if n is not None) != 1:
        return {}
    found: dict[int, float] = {v: 1.0 for v in graph.outputs if graph.values[v].number is not None}
    for node in graph.nodes:
        for v, g in zip(node.inputs, node.cotangents, strict=False):
            if v is not None and g is not None and graph.values[g].number is not None:
                found[v] = found.get(v, 0.0) + graph.values[g].number
    return found
