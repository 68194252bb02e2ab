"""What a forward pass does beside its result: keep state up to date, such as the running averages of a batch norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import text
from .picture import Update
from .updates import change

if TYPE_CHECKING:
    from ..graph import Graph, GraphNode


def owned(graph: Graph) -> dict[int, list[GraphNode]]:
    """For each node of a forward pass, the nodes that only assign to state because of it, in order.

    Such a node works on what the other put out, in the same scope; or, as one that counts calls, on nothing but the state
    of the module whose node came last.
    """
    only_assigning = _only_assigning(graph)
    owner: dict[int, int] = {}
    found: dict[int, list[GraphNode]] = {}
    producer, last = graph.producer(), {}
    for node in graph.nodes:
        if node.id in only_assigning:
            makers = [graph.nodes[producer[v]] for v in node.inputs if v in producer]
            near = [owner.get(m.id, m.id) for m in makers if m.scope == node.scope and m.primitive != "assign"]
            for_whom = near[0] if near else last.get(node.scope) if node.scope else None
            if for_whom is not None:
                owner[node.id] = for_whom
                found.setdefault(for_whom, []).append(node)
                continue
        if node.phase == "forward":
            last[node.scope] = node.id
    return found


def _only_assigning(graph: Graph) -> set[int]:
    """The nodes of the forward pass that state is assigned by, and those that work for nothing else."""
    found: set[int] = set()
    consumers = graph.consumers()
    for node in reversed(graph.nodes):
        if node.phase != "forward" or any(node.tracked) or node.error is not None:
            continue
        users = [user for v in node.outputs for user in consumers.get(v, ())]
        to_state = node.primitive == "assign" and graph.values[node.inputs[1]].kind == "state"
        if (users or to_state) and found.issuperset(users):
            found.add(node.id)
    return found


def described(graph: Graph, nodes: list[GraphNode]) -> Update:
    """The card of these nodes. Their times and operations count with the rung that they belong to."""
    assigning = [node for node in nodes if node.primitive == "assign"]
    changes = [change(graph.values[node.inputs[1]], graph.values[node.outputs[0]]) for node in assigning]
    return Update("state", state=changes, nodes=[n.id for n in nodes], ops=[text.clean(n.primitive) for n in nodes])
