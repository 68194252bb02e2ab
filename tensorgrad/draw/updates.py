"""Which nodes of the update phase belong to which parameter, and what their card says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import text
from .picture import Update

if TYPE_CHECKING:
    from ..graph import Graph, GraphNode, Value

OPTIMIZERS = {"sgd": "SGD", "momentum": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "adagrad": "Adagrad"}


def owned(graph: Graph) -> tuple[dict[int, list[GraphNode]], list[GraphNode]]:
    """The update nodes for each parameter, by its value before the update, and those for no single one.

    A node belongs to the parameter it takes, else to that whose gradient it takes, else to that of the nodes which
    made its inputs.
    """
    owner: dict[int, int] = {}  # of values that update nodes made: the parameter's value
    groups: dict[int, list[GraphNode]] = {}
    loose: list[GraphNode] = []
    for node in graph.nodes:
        if node.phase != "update":
            continue
        given = node.inputs[:1] if node.primitive == "assign" else node.inputs  # what is assigned says for whom
        inputs = [graph.values[v] for v in given if v is not None]
        takes = {v.id for v in inputs if v.kind == "parameter"}
        takes = takes if len(takes) == 1 else {v.of for v in inputs if v.kind == "gradient" and v.of is not None}
        takes = takes or {owner[v.id] for v in inputs if v.id in owner}
        if len(takes) != 1:
            loose.append(node)
            continue
        parameter = takes.pop()
        groups.setdefault(parameter, []).append(node)
        owner.update(dict.fromkeys(node.outputs, parameter))
    return groups, loose


def described(graph: Graph, nodes: list[GraphNode]) -> Update:
    """The card of update nodes that run for one parameter, or for none in particular."""
    values = graph.values
    main = next((n for n in nodes if n.primitive.endswith("_update")), None)
    ops = [n.primitive for n in nodes]
    state, assigned = [], set()
    for node in nodes:
        if node.primitive == "assign" and node.outputs and values[node.inputs[1]].kind == "state":
            before, after = values[node.inputs[1]], values[node.outputs[0]]
            assigned.add(before.id)
            state.append(change(before, after))
    words = []
    for node in [main] if main else nodes:
        for v in (values[v] for v in node.inputs if v is not None):
            if v.number is not None and v.kind in ("state", "input", "constant") and v.id not in assigned:
                words.append(f"{text.clean(v.name or node.primitive)} {text.number(v.number)}")
        attributes = {name: x for name, x in node.attributes.items() if x or isinstance(x, bool)}
        words.append(text.settings(node.primitive, attributes))
    title = ", ".join(dict.fromkeys(op for op in ops if op != "assign")) or "assign"
    if main is not None:
        title = OPTIMIZERS.get(main.primitive.removesuffix("_update"), main.primitive.removesuffix("_update"))
    times = [n.seconds for n in nodes if n.seconds is not None]
    return Update(
        optimizer=text.clean(title),
        settings=text.clean(" ".join(dict.fromkeys(word for word in words if word))),
        state=state,
        nodes=[n.id for n in nodes],
        ops=[text.clean(op) for op in ops],
        ms=1e3 * sum(times) if times else None,
        flops=sum(n.flops for n in nodes),
    )


def change(before: Value, after: Value) -> str:
    """What an assignment did to state: "velocity v0 → v1", or of a number "count 1 → 2"."""
    was, now = f"v{before.version}", f"v{after.version}"
    if before.number is not None and after.number is not None:
        was, now = text.number(before.number), text.number(after.number)
    return f"{text.clean(before.name or 'state')} {was} → {now}"


def append(cards: list[Update], update: Update) -> None:
    """Add a card, or add it to one that says the same of another parameter."""
    for card in cards:
        if (card.optimizer, card.settings) == (update.optimizer, update.settings):
            card.state = list(dict.fromkeys([*card.state, *update.state]))
            card.nodes += update.nodes
            card.ops += update.ops
            card.flops += update.flops
            card.ms = update.ms if card.ms is None else card.ms + (update.ms or 0.0)
            return
    cards.append(update)
