"""Recording a Graph: of everything that runs inside `with trace():`, or of what stands behind one tensor."""

from __future__ import annotations

import linecache
import math
import os
import sys
import time
import warnings
import weakref
from types import TracebackType
from typing import Any

import numpy as np

from .autodiff import topological_order
from .graph import Graph, GraphNode, Saved, Value
from .primitive import Primitive
from .state import Scope, current
from .tensor import Node, Tensor, Untracked, as_operand

INTERNAL = ("tensorgrad", "nn")  # packages whose own lines are not "the user's call"


class trace:
    """Record every primitive that runs inside the `with`, forward, backward and update, into a `Graph`.

    Args:
        title: what the picture is called.
        times: measure the seconds of each node.
        bind: keep the arrays that the step was given, in `Graph.bindings`, so that the graph can be run again.

    If the block raises, the graph holds what ran, and the node that failed with its error.

    >>> import tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.trace() as step:
    ...     (w * w).sum().backward()
    >>> step
    <Graph of 5 nodes: 2 forward, 3 backward>
    """

    def __init__(self, title: str = "", *, times: bool = False, bind: bool = False) -> None:
        self.graph = Graph(title)
        self._recorder = Recorder(self.graph, times, bind)

    def __enter__(self) -> Graph:
        state = current()
        if state.recorder is not None:
            raise RuntimeError("a trace is running already in this thread; end it before you begin another")
        state.recorder = self._recorder
        self._errstate = self._recorder.watch_floating_point()
        self._errstate.__enter__()
        self._began = time.perf_counter()
        return self.graph

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        elapsed = time.perf_counter() - self._began
        self._errstate.__exit__(kind, error, tb)
        current().recorder = None
        self._recorder.finish(elapsed)


class Recorder:
    """Sees what the engine does, and writes it into a graph. Values are told apart by the identity of their arrays."""

    def __init__(self, graph: Graph, times: bool = False, bind: bool = False) -> None:
        self.graph = graph
        self._times = times
        self._bind = bind
        self._ids: dict[int, tuple[weakref.ref[np.ndarray], int]] = {}  # by id of the array
        self._buffers: dict[int, tuple[weakref.ref[np.ndarray], int]] = {}  # by id of the array that owns the memory
        self._buffer_count = 0
        self._lines: dict[tuple[str, int], tuple[str, int]] = {}
        self._scopes = ScopePaths(graph)
        self._scope_of: list[Scope | None] = []  # by id of the node
        self._origin: GraphNode | None = None  # the node whose rules are running
        self._flagged = False  # whether the kernel running raised a floating-point condition
        self._seconds: float | None = None

    # -- what the engine tells ---------------------------------------------------------------------------------------

    def run(self, primitive: Primitive, inputs: tuple[Any, ...], arrays: list[Any], attributes: dict[str, Any]) -> Any:
        """Run a kernel, noticing its time, its floating-point conditions, and its failure."""
        self._flagged = False
        began = time.perf_counter() if self._times else 0.0
        try:
            result = primitive.kernel(*arrays, **attributes)
        except Exception as error:
            self._add_node(primitive, inputs, attributes, ()).error = f"{type(error).__name__}: {error}"
            raise
        self._seconds = time.perf_counter() - began if self._times else None
        return result

    def record(
        self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], outputs: tuple[Any, ...], node: Node | None
    ) -> None:
        """Add the application that has just run."""
        entry = self._add_node(primitive, inputs, attributes, outputs)
        entry.seconds = self._seconds
        if node is not None:
            node.record = entry
            entry.tracked = [k in node.pullback.indices for k in range(len(inputs))]
            entry.saved = self._saved(node, entry)
        else:
            entry.tracked = [False] * len(inputs)
        if self._flagged or any(self.graph.values[v].finite is False for v in entry.inputs if v is not None):
            for array, value in zip(outputs, entry.outputs, strict=True):
                self.graph.values[value].finite = _is_finite(array)

    def begin_backward(self, root: Tensor) -> None:
        """A backward pass begins at this tensor."""
        value = self.graph.values[self._value_of(root, "root")]
        value.number = root.item() if root.size == 1 else None
        value.name = value.name or root.name
        self.graph.outputs.append(value.id)

    def enter_backward(self, node: Node | None) -> None:
        """From now on, the rules of this node run; None when the backward pass is over."""
        record = None if node is None else node.record
        known = record is not None and record.id < len(self.graph.nodes) and self.graph.nodes[record.id] is record
        self._origin = record if known else None

    def cotangent(self, index: int, g: Tensor) -> None:
        """The rule for one input of the node entered has returned this."""
        if self._origin is not None:
            if not self._origin.cotangents:
                self._origin.cotangents = [None] * len(self._origin.inputs)
            self._origin.cotangents[index] = self._value_of(g, "gradient")

    def gradient(self, leaf: Tensor) -> None:
        """A leaf's `.grad` has been set."""
        array = leaf._grad._data
        value = self.graph.values[self._value_of(leaf._grad, "gradient")]
        of = self.graph.values[self._value_of(leaf, "leaf")]
        value.kind, value.of = "gradient", of.id
        value.name = None if of.name is None else f"{of.name}.grad"
        value.norm = float(np.linalg.norm(array.ravel(order="K")))

    def assigned(self, leaf: Tensor) -> None:
        """The assignment recorded last has rebound this leaf."""
        node = self.graph.nodes[-1]
        before, after = self.graph.values[node.inputs[1]], self.graph.values[node.outputs[0]]
        if before.kind == "input":
            before.kind = "state"
        after.kind, after.name = before.kind, before.name
        after.version, after.previous = before.version + 1, before.id

    def watch_floating_point(self) -> np.errstate:
        """A context in which NumPy reports invalid operations, overflows and divisions by zero to this recorder.

        The processor notices these without any search through arrays. The user's own setting, to warn or to raise, still holds.
        """
        before = np.geterr()
        names = {"divide by zero": "divide", "overflow": "over", "invalid value": "invalid", "underflow": "under"}

        def notice(message: str, flag: int) -> None:
            self._flagged = True
            setting = before[names.get(message, "invalid")]
            if setting == "raise":
                raise FloatingPointError(f"{message} encountered")
            if setting == "warn":
                warnings.warn(f"{message} encountered", RuntimeWarning, stacklevel=3)

        return np.errstate(divide="call", over="call", invalid="call", call=notice)

    def finish(self, seconds: float) -> None:
        """The trace is over: read the source lines, and let go of everything live."""
        if self._times:
            self.graph.seconds = seconds
        for (file, line), (shown, _) in self._lines.items():
            self.graph.source.setdefault(shown, {})[line] = linecache.getline(file, line).strip()
        self._scopes.finish()
        self._ids.clear()
        self._buffers.clear()

    # -- nodes and values --------------------------------------------------------------------------------------------

    def _add_node(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], outputs: tuple[Any, ...]) -> GraphNode:
        state, graph = current(), self.graph
        ids = [None if x is None else self._value_of(x, primitive.name) for x in inputs]
        made = [self._new_value(np.asarray(array), "extra" if k else "intermediate") for k, array in enumerate(outputs)]
        shapes = [None if v is None else graph.values[v].shape for v in ids]
        entry = GraphNode(
            id=len(graph.nodes),
            primitive=primitive.name,
            inputs=ids,
            outputs=[value.id for value in made],
            attributes=attributes,
            argument_names=argument_names(primitive, len(inputs)),
            phase=state.phase,
            scope="",
            source=self._line_of_user(),
            forward=None if self._origin is None else self._origin.id,
            flops=primitive.flops(made[0].shape, *shapes) if made else 0,
        )
        scope = state.scope if self._origin is None else self._scope_of[self._origin.id]
        self._scopes.set(entry, "scope", scope)
        self._scope_of.append(scope)
        graph.nodes.append(entry)
        return entry

    def _value_of(self, x: Any, role: str) -> int:
        """The value that an argument is; a new one if it comes from outside."""
        array = x._data if isinstance(x, Tensor) else as_operand(x)
        if not isinstance(array, np.ndarray):
            return self._add_value(Value(len(self.graph.values), (), "number", "constant", number=array)).id
        found = self._ids.get(id(array))
        if found is not None and found[0]() is array:
            return found[1]
        phase = current().phase
        if not isinstance(x, Tensor) or role == "gradient" or (phase == "backward" and not x._requires_grad):
            kind = "constant"
        elif x._requires_grad:
            kind = "parameter" if x._node is None else "intermediate"
        else:
            kind = "state" if phase == "update" else "input"
        value = self._new_value(array, kind)
        value.name = x.name if isinstance(x, Tensor) else None
        if value.name and kind == "parameter":
            self._scopes.set(value, "name", current().scope, value.name)
        value.number = array.item() if array.size == 1 and kind != "intermediate" else None
        value.finite = _is_finite(array)
        if self._bind:
            self.graph.bindings[value.id] = x
        return value.id

    def _new_value(self, array: np.ndarray, kind: str) -> Value:
        value = Value(len(self.graph.values), array.shape, str(array.dtype), kind, array.nbytes)
        value.strides = array.strides
        value.buffer = self._buffer_of(array)
        self._ids[id(array)] = weakref.ref(array), value.id
        return self._add_value(value)

    def _add_value(self, value: Value) -> Value:
        self.graph.values.append(value)
        return value

    def _buffer_of(self, array: np.ndarray) -> int:
        while isinstance(array.base, np.ndarray):
            array = array.base
        found = self._buffers.get(id(array))
        if found is None or found[0]() is not array:
            found = self._buffers[id(array)] = weakref.ref(array), self._buffer_count
            self._buffer_count += 1
        return found[1]

    def _saved(self, node: Node, entry: GraphNode) -> list[Saved]:
        found = []
        for name, inputs_or_outputs in kept_values(node, entry):
            asking = tuple(entry.argument_names[c.index] for c in node.pullback.calls if name in c.names)
            for value in inputs_or_outputs:
                if value is not None and self.graph.values[value].dtype != "number":
                    found.append(Saved(name, value, asking))
        return found

    def _line_of_user(self) -> tuple[str, int] | None:
        frame = sys._getframe(3)
        while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INTERNAL:
            frame = frame.f_back
        if frame is None:
            return None
        key = frame.f_code.co_filename, frame.f_lineno
        if key not in self._lines:
            self._lines[key] = _shown_path(key[0]), key[1]
        return self._lines[key]


def argument_names(primitive: Primitive, count: int) -> list[str]:
    """What a primitive calls each of `count` inputs."""
    further = [f"{primitive.variadic}[{k}]" for k in range(count - len(primitive.inputs))]
    return [*primitive.inputs[:count], *further]


def kept_values(node: Node, entry: GraphNode) -> list[tuple[str, list[int | None]]]:
    """Names and values of the arrays that an application keeps for its rules."""
    primitive = node.pullback.primitive
    found: list[tuple[str, list[int | None]]] = []
    for kind, which in node.pullback.keeps:
        if kind == "input":
            found.append((primitive.inputs[which], [entry.inputs[which]]))
        elif kind == "out":
            found.append(("out", [entry.outputs[0]]))
        elif kind == "extra":
            found.append((primitive.extras[which], [entry.outputs[1 + which]]))
        elif kind == "variadic":
            found.append((primitive.variadic, entry.inputs[which:]))
    return found


class ScopePaths:
    """Gives scopes their paths.

    A root module has no name, so its children are `conv1`, not `net.conv1`. Where several such roots were
    called, as two networks in one training step, their kinds are put before the paths to tell them apart.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._roots: list[Any] = []  # what the nameless scopes are for
        self._uses: list[tuple[Any, str, int]] = []  # an object, its attribute that holds a path, and the root
        self._kinds: dict[tuple[int, str], str] = {}

    def set(self, holder: Any, attribute: str, scope: Scope | None, name: str = "") -> None:
        """Set an attribute to the path of a scope, followed by a name in it."""
        path = [] if scope is None else [level.name for level in scope.levels() if level.name]
        setattr(holder, attribute, ".".join([*path, name] if name else path))
        if scope is None:
            return
        levels = scope.levels()
        root = -1 if levels[0].name else self._root(levels[0])
        self._uses.append((holder, attribute, root))
        names: list[str] = []
        for level in levels:
            if level.name:
                names.append(level.name)
                self._kinds.setdefault((root, ".".join(names)), level.kind)

    def _root(self, scope: Scope) -> int:
        what = scope.kind if scope.owner is None else scope.owner
        for k, root in enumerate(self._roots):
            if root is what or (isinstance(what, str) and root == what):
                return k
        self._roots.append(what)
        return len(self._roots) - 1

    def finish(self) -> None:
        """Now all roots are known: tell them apart, and write down what each path is."""
        kinds = [root if isinstance(root, str) else type(root).__name__ for root in self._roots]
        labels = [""] if len(kinds) == 1 else [k if kinds.count(k) == 1 else f"{k}{kinds[:i].count(k) + 1}" for i, k in enumerate(kinds)]
        labels.append("")  # for the root -1: a scope with a name of its own
        for holder, attribute, root in self._uses:
            if labels[root]:
                path = getattr(holder, attribute)
                setattr(holder, attribute, f"{labels[root]}.{path}" if path else labels[root])
        for (root, path), kind in self._kinds.items():
            label = labels[root]
            self._graph.scopes[f"{label}.{path}" if label else path] = kind
        for label, kind in zip(labels, kinds, strict=False):
            self._graph.scopes[label] = kind
        self._uses.clear()
        self._roots.clear()


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
            argument_names=argument_names(primitive, count),
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
        value = self._new(other.shape, dtype, "constant", 0 if other.dtype is None else other.dtype.itemsize)
        value.number = other.number
        return value.id

    def _new(self, shape: tuple[int, ...], dtype: str, kind: str, itemsize: int) -> Value:
        value = Value(len(self.graph.values), shape, dtype, kind, math.prod(shape) * itemsize)
        self.graph.values.append(value)
        return value


def _is_finite(array: Any) -> bool:
    array = np.asarray(array)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _shown_path(file: str) -> str:
    """A file as pictures name it: below the current folder, or by its name alone, so that no machine's folders are shown."""
    if file.startswith("<"):
        return file
    relative = os.path.relpath(file)
    return os.path.basename(file) if relative.startswith("..") else relative.replace(os.sep, "/")
