"""Recording everything that runs inside `with trace():` into a Graph."""

from __future__ import annotations

import functools
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

from .graph import Graph, GraphNode, Saved, Value
from .node import Node
from .paths import ScopePaths
from .primitive import Primitive
from .state import Scope, current
from .tensor import Tensor, as_operand

FLOATING_POINT = {"divide by zero": "divide", "overflow": "over", "invalid value": "invalid"}  # NumPy's message: its setting
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
    <Graph of 6 nodes: 2 forward, 4 backward>
    """

    def __init__(self, title: str = "", *, times: bool = False, bind: bool = False) -> None:
        self.graph = Graph(title)
        self._recorder = Recorder(self.graph, times, bind)

    def __enter__(self) -> Graph:
        state = current()
        if state.recorder is not None:
            raise RuntimeError("a trace is running already in this thread; end it before you begin another")
        state.recorder = self._recorder
        self._began = time.perf_counter()
        return self.graph

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        elapsed = time.perf_counter() - self._began
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
        self._pass = -1  # which backward pass is running, or ran last
        self._carrying: set[int] = set()  # values that a gradient flows back through
        self._flagged = False  # whether the kernel running raised a floating-point condition
        self._seconds: float | None = None
        self._settings: dict[str, str] = {}  # the user's, of what NumPy does about floating-point conditions

    # -- what the engine tells ---------------------------------------------------------------------------------------

    def run(self, primitive: Primitive, inputs: tuple[Any, ...], arrays: list[Any], attributes: dict[str, Any]) -> Any:
        """Run a kernel, noticing its time, its floating-point conditions, and its failure."""
        self._flagged = False
        self._settings = np.geterr()
        try:
            with np.errstate(divide="call", over="call", invalid="call", call=self._notice):
                began = time.perf_counter()
                result = primitive.kernel(*arrays, **attributes)
                self._seconds = time.perf_counter() - began if self._times else None
        except Exception as error:
            self._add_node(primitive, inputs, attributes, ()).error = f"{type(error).__name__}: {error}"
            raise
        return result

    def _notice(self, message: str, flag: int) -> None:
        """NumPy has met an invalid operation, an overflow or a division by zero: the processor tells without any search.

        The user's own setting, to warn, to raise or to ignore, still holds.
        """
        self._flagged = True
        setting = self._settings[FLOATING_POINT.get(message, "invalid")]
        if setting == "raise":
            raise FloatingPointError(f"{message} encountered")
        if setting == "warn":
            warnings.warn(f"{message} encountered", RuntimeWarning, stacklevel=3)

    def record(
        self,
        primitive: Primitive,
        inputs: tuple[Any, ...],
        attributes: dict[str, Any],
        outputs: tuple[Any, ...],
        node: Node | None,
    ) -> None:
        """Add the application that has just run."""
        entry = self._add_node(primitive, inputs, attributes, outputs)
        entry.seconds = self._seconds
        if node is not None:
            node.record = entry
            entry.tracked = [k in node.pullback.indices for k in range(len(inputs))]
            entry.saved = self._saved(node, entry)
            self._carrying.add(entry.outputs[0])
        else:
            entry.tracked = [False] * len(inputs)
        if entry.phase == "forward" and not all(entry.tracked):
            entry.stops = self._stops(primitive, inputs, entry)
        values = self.graph.values
        products = entry.flops >= 16 * max(outputs[0].size, 1)  # BLAS raises no conditions, and here a look costs little
        if self._flagged or products or any(values[v].finite is False for v in entry.inputs if v is not None):
            for array, value in zip(outputs, entry.outputs, strict=True):
                values[value].finite = _is_finite(array)

    def begin_backward(self, root: Tensor) -> None:
        """A backward pass begins at this tensor."""
        value = self.graph.values[self._value_of(root, "root")]
        value.name = root.name or value.name
        self.graph.outputs.append(value.id)
        self._pass = len(self.graph.outputs) - 1

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
            if self._pass not in self._origin.reached_by:
                self._origin.reached_by.append(self._pass)

    def gradient(self, leaf: Tensor) -> None:
        """A leaf's `.grad` has been set."""
        array = leaf._grad._data
        value = self.graph.values[self._value_of(leaf._grad, "gradient")]
        of = self.graph.values[self._value_of(leaf, "leaf")]
        value.kind, value.of = "gradient", of.id
        value.norm = float(np.linalg.norm(array.ravel(order="K")))

    def assigned(self, leaf: Tensor) -> None:
        """The assignment recorded last has rebound this leaf."""
        node = self.graph.nodes[-1]
        before, after = self.graph.values[node.inputs[1]], self.graph.values[node.outputs[0]]
        if before.kind == "input":
            before.kind = "state"
        after.kind = before.kind
        after.version, after.previous = before.version + 1, before.id

    def value_read(self, tensor: Tensor, how: str) -> None:
        """A tensor's value is read by Python code: what that does with it no primitive shows."""

    def data_set(self, leaf: Tensor) -> None:
        """A leaf's data is about to be rebound without an assignment."""

    def setting_read(self, owner: Any, name: str, value: Any) -> None:
        """Python code decides by an attribute of an object, see `tg.reading`."""

    def gradient_read(self, leaf: Tensor) -> None:
        """A leaf's `.grad` is looked at, by the user, an optimizer, or a backward pass that adds to it."""

    def gradient_set(self, leaf: Tensor) -> None:
        """A leaf's `.grad` has been set by other than a backward pass."""

    def finish(self, seconds: float) -> None:
        """The trace is over: read the source lines, and let go of everything live."""
        if self._times:
            self.graph.seconds = seconds
        for (file, line), (shown, _) in self._lines.items():
            self.graph.source.setdefault(shown, {})[line] = linecache.getline(file, line).strip()
        self._add_unused_parameters()
        self._scopes.finish()
        for value in self.graph.values:  # a value's own comes before those that are named after it
            if value.previous is not None:
                value.name = self.graph.values[value.previous].name
            elif value.of is not None and value.name is None and self.graph.values[value.of].name is not None:
                value.name = f"{self.graph.values[value.of].name}.grad"
        self._ids.clear()
        self._buffers.clear()

    def _add_unused_parameters(self) -> None:
        """Parameters of the modules called that no primitive took: they got no gradient, which a picture shall show."""
        for scope in list(self._scopes.roots):
            names = getattr(scope.owner, "named_parameters", None)
            for name, tensor in names() if callable(names) else ():
                found = self._ids.get(id(tensor._data))
                if tensor.requires_grad and (found is None or found[0]() is not tensor._data):
                    value = self._new_value(tensor._data, "parameter")
                    self._scopes.set(value, "name", scope, name)

    # -- nodes and values --------------------------------------------------------------------------------------------

    def _add_node(
        self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], outputs: tuple[Any, ...]
    ) -> GraphNode:
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
            argument_names=primitive.argument_names(len(inputs)),
            phase=state.phase,
            scope="",
            source=self._line_of_user(),
            forward=None if self._origin is None else self._origin.id,
            backward_pass=self._pass if state.phase == "backward" and self._pass >= 0 else None,
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
        phase, tracked = current().phase, isinstance(x, Tensor) and x._requires_grad
        if role == "gradient" or (phase == "backward" and not tracked):
            kind = "constant"
        elif tracked:
            kind = "parameter" if x._node is None else "intermediate"
        else:
            kind = "state" if phase == "update" else "input"
        value = self._new_value(array, kind)
        value.name = x.name if isinstance(x, Tensor) else None
        if value.name and kind == "parameter":
            self._scopes.set(value, "name", current().scope, value.name)
        value.finite = _is_finite(array)
        if self._bind:
            self.graph.bindings[value.id] = x
        return value.id

    def _new_value(self, array: np.ndarray, kind: str) -> Value:
        value = Value(len(self.graph.values), array.shape, _dtype_name(array.dtype), kind, array.nbytes)
        value.strides = array.strides
        value.buffer = self._buffer_of(array)
        if array.size == 1:
            value.number = array.item()
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

    def _stops(self, primitive: Primitive, inputs: tuple[Any, ...], entry: GraphNode) -> dict[str, str]:
        """Why no gradient flows back through inputs that have a rule, where others have one or it stops just here."""
        found = {}
        for name, x, value, tracked in zip(entry.argument_names, inputs, entry.inputs, entry.tracked, strict=True):
            if tracked or not isinstance(x, Tensor) or x.dtype.kind != "f" or name.partition("[")[0] not in primitive.rules:
                continue
            if x._requires_grad:
                found[name] = "no_grad"
            elif value in self._carrying:
                found[name] = "detached"
            elif any(entry.tracked):
                found[name] = "needs no gradient"
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


@functools.cache
def _dtype_name(dtype: np.dtype) -> str:
    return str(dtype)  # NumPy takes longer for this than for a small operation


def _is_finite(array: Any) -> bool:
    array = np.asarray(array)
    if array.dtype.kind != "f":
        return True
    if array.size > 100:  # the sum of squares tells it faster, unless it overflows
        flat = array.ravel(order="K")
        if math.isfinite(flat.dot(flat)):
            return True
    return bool(np.isfinite(array).all())


def _shown_path(file: str) -> str:
    """A file as pictures name it: below the current folder, or by its name alone, so that no machine's folders are shown."""
    if file.startswith("<"):
        return file
    relative = os.path.relpath(file)
    return os.path.basename(file) if relative.startswith("..") else relative.replace(os.sep, "/")
