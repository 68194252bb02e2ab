"""The Graph behind one tensor, read off the nodes that it left for its backward pass."""

from __future__ import annotations

import math

from .autodiff import topological_order
from .graph import Graph, GraphNode, Value
from .node import Node, Untracked
from .paths import ScopePaths
from .state import Scope
from .tensor import Tensor


def graph(tensor: Tensor, title: str = "") -> Graph:
    """The graph behind one tensor, without prior tracing: the primitives that made it, from the leaves on.

    It shows what the tensor needs for its backward pass. What ran before a `detach()` or under `no_grad()` has left no graph.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor(2.0, requires_grad=True)
    >>> [node.primitive for node in graph(x * x + 1).nodes]
    ['multiply', 'add']
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"graph: draws what is behind a tensor, and was given a {type(tensor).__name__}")
    found = Graph(title)
    collector = Collector(found)
    order = topological_order(tensor._node or tensor)
    for node in reversed(order):
        if isinstance(node, Node):
            collector.add(node)
    last = found.values[collector.value_of(tensor._node or tensor)]
    last.number = tensor.item() if tensor.size == 1 else None
    last.name = tensor.name or last.name
    found.outputs = [last.id]
    collector.scopes.finish()
    return found


class Collector:
    """Writes the engine's nodes into a graph, for `graph(tensor)`."""

    def __init__(self, found: Graph) -> None:
        self.graph = found
        self.scopes = ScopePaths(found)
        self.made: dict[Node, int] = {}
        self._leaves: dict[int, int] = {}

    def add(self, node: Node) -> None:
        primitive, graph = node.pullback.primitive, self.graph
        edges = dict(zip(node.pullback.indices, node.edges, strict=True))
        count = max([*edges, len(node.others) - 1]) + 1
        scope = node.scope
        ids = [self.value_of(edges[k], scope) if k in edges else self._untracked(node.others[k], scope) for k in range(count)]
        out = self._new(node.shape, str(node.dtype), "intermediate", node.dtype.itemsize)
        self.made[node] = out.id
        entry = GraphNode(
            id=len(graph.nodes),
            primitive=primitive.name,
            inputs=ids,
            outputs=[out.id],
            attributes=node.attributes,
            argument_names=primitive.argument_names(count),
            phase="forward",
            scope="",
            tracked=[k in edges for k in range(count)],
            flops=primitive.flops(node.shape, *(None if v is None else graph.values[v].shape for v in ids)),
        )
        self.scopes.set(entry, "scope", scope)
        graph.nodes.append(entry)

    def value_of(self, edge: Node | Tensor, scope: Scope | None = None) -> int:
        """The value that a node made or a leaf holds; a leaf that is used here first is named after this scope."""
        if isinstance(edge, Node):
            return self.made[edge]
        if id(edge) not in self._leaves:
            value = self._new(edge.shape, str(edge.dtype), "parameter" if edge.requires_grad else "input", edge.dtype.itemsize)
            value.number = edge.item() if edge.size == 1 else None
            if edge.name:
                self.scopes.set(value, "name", scope, edge.name)
            self._leaves[id(edge)] = value.id
        return self._leaves[id(edge)]

    def _untracked(self, other: Untracked | None, scope: Scope | None) -> int | None:
        if other is None:
            return None
        tensor = other.tensor() if other.tensor is not None else None
        if tensor is not None and (tensor._node is None or tensor._node in self.made):
            return self.value_of(tensor._node or tensor, scope)
        dtype = "number" if other.dtype is None else str(other.dtype)
        kind = "constant" if other.dtype is None else "input"
        value = self._new(other.shape, dtype, kind, 0 if other.dtype is None else other.dtype.itemsize)
        value.number = other.number
        return value.id

    def _new(self, shape: tuple[int, ...], dtype: str, kind: str, itemsize: int) -> Value:
        value = Value(len(self.graph.values), shape, dtype, kind, math.prod(shape) * itemsize)
        self.graph.values.append(value)
        return value
