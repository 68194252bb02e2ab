"""Recorder: what the engine tells while a trace runs, written into a Graph."""

from __future__ import annotations

import functools
import math
import sys
import warnings
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from types import CodeType
from typing import Any

import numpy as np

from .completion import Told, complete
from .graph import Graph, GraphNode, Value
from .node import Node
from .paths import ScopePaths
from .primitive import Primitive
from .state import current, per_thread
from .tensor import Tensor, as_operand

FLOATING_POINT = {"divide by zero": "divide", "overflow": "over", "invalid value": "invalid"}  # NumPy's message: its setting
FEW = 4096
"""So many elements are looked at after each product."""

INTERNAL = ("tensorgrad", "nn")  # packages whose own lines are not "the user's call"


watching: ContextVar[Recorder | None] = ContextVar("watching")
"""The recorder whose kernel runs: also in a thread that helps, which is given the context of the one that it helps."""


class Recorder:
    """Sees what the engine does, and writes it into a graph. Values are told apart by the identity of their arrays."""

    def __init__(self, graph: Graph, bind: bool = False) -> None:
        self.graph = graph
        self._bind = bind
        self._ids: dict[int, int] = {}  # the value of an array, by its id
        self._arrays: list[weakref.ref[np.ndarray] | None] = []  # by id of the value
        self._buffers: dict[int, int] = {}  # by id of the array that owns the memory
        self._owners: list[weakref.ref[np.ndarray]] = []  # by number of the buffer
        self._scopes = ScopePaths(graph)
        self._told: list[Told] = []  # by id of the node
        self._origin: GraphNode | None = None  # the node whose rules are running
        self._handed: dict[int, GraphNode] = {}  # whose rule has returned a cotangent, by id of the value
        self._pass = -1  # which backward pass is running, or ran last
        self._conditions: list[str] = []  # the floating-point conditions that the kernel running has raised
        self._trouble = False  # whether a value has been found that is not finite
        self._squares: dict[int, Any] = {}  # sums of squares that were needed, by id of the value

    def begin(self) -> None:
        """The trace begins."""

    # -- what the engine tells ---------------------------------------------------------------------------------------

    def operands(self, inputs: tuple[Any, ...], arrays: list[Any], attributes: dict[str, Any]) -> tuple[Any, ...]:
        """The inputs of a primitive as they are recorded and kept; the arrays are what its kernel takes for them."""
        return inputs

    def numbers_in(self, data: Any, dtype: Any) -> Any:
        """What an array is made of: a number, or lists of numbers."""
        return data

    def run(self, primitive: Primitive, inputs: tuple[Any, ...], arrays: list[Any], attributes: dict[str, Any]) -> Any:
        """Run a kernel, noticing its floating-point conditions and its failure."""
        self._conditions.clear()
        try:
            watching.set(self)
            result = self._watched(primitive.compute, arrays, attributes)
            if self._conditions:
                self._react()
        except Exception as error:
            self._add_node(primitive, inputs, attributes, (), None).error = f"{type(error).__name__}: {error}"
            raise
        return result

    @staticmethod
    @np.errstate(divide="call", over="call", invalid="call", call=lambda name, _: watching.get().condition(name))
    def _watched(compute: Callable[..., Any], arrays: list[Any], attributes: dict[str, Any]) -> Any:
        """Compute what a primitive makes of arrays. Its floating-point conditions are told to the recorder."""
        return compute(arrays, attributes)

    def condition(self, name: str) -> None:
        """NumPy has met an invalid operation, an overflow or a division by zero: the processor tells without any search."""
        self._conditions.append(name)

    def _react(self) -> None:
        """Do what the user's own settings, to warn, to raise or to ignore, say of the conditions that the kernel has raised."""
        settings = np.geterr()
        for condition in self._conditions:
            setting = settings[FLOATING_POINT.get(condition, "invalid")]
            if setting == "raise":
                raise FloatingPointError(f"{condition} encountered")
            if setting == "warn":
                warnings.warn(f"{condition} encountered", RuntimeWarning, stacklevel=3)

    def record(
        self,
        primitive: Primitive,
        inputs: tuple[Any, ...],
        attributes: dict[str, Any],
        outputs: tuple[Any, ...],
        node: Node | None,
    ) -> None:
        """Add the application that has just run."""
        entry = self._add_node(primitive, inputs, attributes, outputs, node)
        if node is not None:
            node.record = entry
        values = self.graph.values
        # BLAS raises no conditions. A look costs little where an element costs many operations, or there are few.
        products = False
        if primitive.sums:
            entry.flops = primitive.flops(outputs[0].shape, *[None if v is None else values[v].shape for v in entry.inputs])
            products = entry.flops >= 16 * outputs[0].size or outputs[0].size <= FEW
        if products or self._conditions or (self._trouble and self._any_in_trouble(entry.inputs)):
            for array, value in zip(outputs, entry.outputs, strict=True):
                self._look(array, values[value])

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
            self._origin.cotangents[index] = value = self._value_of(g, "gradient")
            self._handed[value] = self._origin
            if self._pass not in self._origin.reached_by:
                self._origin.reached_by.append(self._pass)

    def rule_failed(self, name: str, error: Exception) -> None:
        """The rule of the node entered, for its input of this name, has raised, perhaps since a kernel has."""
        if self._origin is not None and self.graph.nodes[-1].error is None:
            self._origin.rule_error = f"the rule for {name}: {type(error).__name__}: {error}"

    def gradient(self, leaf: Tensor) -> None:
        """A leaf's `.grad` has been set."""
        array = leaf._grad._data
        value = self.graph.values[self._value_of(leaf._grad, "gradient")]
        of = self.graph.values[self._value_of(leaf, "leaf")]
        value.kind, value.of = "gradient", of.id
        squares = self._squares.get(value.id)
        value.norm = float(np.sqrt(_squares(array) if squares is None else squares))

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

    def array_shared(self, tensor: Tensor) -> None:
        """Another tensor is made around the array of this one."""

    def leaf_made(self, leaf: Tensor) -> None:
        """A leaf has been made."""

    def data_set(self, leaf: Tensor) -> None:
        """A leaf's data is about to be rebound without an assignment."""

    def setting_read(self, owner: Any, name: str, value: Any) -> None:
        """Python code decides by an attribute of an object, see `tg.reading`."""

    def gradient_read(self, leaf: Tensor) -> None:
        """A leaf's `.grad` is looked at, by the user, an optimizer, or a backward pass that adds to it."""

    def gradient_replaced(self, leaf: Tensor) -> None:
        """A leaf's `.grad` is about to be set by other than a backward pass."""

    def gradient_set(self, leaf: Tensor) -> None:
        """A leaf's `.grad` has been set by other than a backward pass."""

    def finish(self) -> None:
        """The trace is over: work out what did not depend on the moment, and let go of everything live."""
        watching.set(None)
        complete(self.graph, self._told)
        self._add_what_modules_hold()
        self._scopes.finish()
        for value in self.graph.values:  # a value's own comes before those that are named after it
            if value.previous is not None:
                value.name = self.graph.values[value.previous].name
            elif value.of is not None and value.name is None and self.graph.values[value.of].name is not None:
                value.name = f"{self.graph.values[value.of].name}.grad"
        self.let_go()

    def let_go(self) -> None:
        """Keep nothing live, also where the trace was broken off and there is nothing to work out."""
        watching.set(None)
        for table in (self._told, self._ids, self._arrays, self._buffers, self._owners, self._squares, self._handed):
            table.clear()

    def _add_what_modules_hold(self) -> None:
        """Tell what modules hold from the data that the step was given: parameters that are frozen, and buffers.

        Parameters that no primitive took are added: they got no gradient, which a picture shall show.
        """
        for scope in self._scopes.roots():
            for kind, names in (("frozen", "named_parameters"), ("state", "named_buffers")):
                names = getattr(scope.owner, names, None)
                for name, tensor in names() if callable(names) else ():
                    known = self._known(tensor._data)
                    if known is not None and self.graph.values[known].kind == "input":
                        value = self.graph.values[known]
                        value.kind = kind
                    elif known is None and tensor.requires_grad:
                        value = self._new_value(tensor._data, "parameter")
                    else:
                        continue
                    self._scopes.set(value, "name", scope, name)

    # -- nodes and values --------------------------------------------------------------------------------------------

    def _add_node(
        self,
        primitive: Primitive,
        inputs: tuple[Any, ...],
        attributes: dict[str, Any],
        outputs: tuple[Any, ...],
        node: Node | None,
    ) -> GraphNode:
        state, graph, origin = per_thread.state, self.graph, self._origin
        name, phase, pullback = primitive.name, state.phase, None if node is None else node.pullback
        ids = [None if x is None else self._value_of(x, name) for x in inputs]
        made = [self._new_value(outputs[0], "intermediate").id] if outputs else []
        for array in outputs[1:]:
            made.append(self._new_value(np.asarray(array), "extra").id)
        if origin is None and phase == "backward" and name == "positive":  # a copy of what a rule has returned
            origin = next((self._handed[v] for v in ids if v in self._handed), None)
        entry = GraphNode(len(graph.nodes), name, ids, made, attributes, [], phase, "")
        if origin is None:
            scope = state.scope
        else:
            entry.forward = origin.id
            scope = self._told[origin.id].scope
        stopping = None
        if phase == "backward":
            if self._pass >= 0:
                entry.backward_pass = self._pass
        elif phase == "forward" and (pullback is None or len(pullback.indices) < len(inputs)):
            stopping = [x._requires_grad if isinstance(x, Tensor) and x._data.dtype.kind == "f" else None for x in inputs]
        self._scopes.set(entry, "scope", scope)
        self._told.append(Told(primitive, pullback, scope, stopping, *_place_of_user()))
        graph.nodes.append(entry)
        return entry

    def _known(self, array: Any) -> int | None:
        """The value that an array is, if it has been seen."""
        found = self._ids.get(id(array))
        return found if found is not None and self._arrays[found]() is array else None

    def _value_of(self, x: Any, role: str) -> int:
        """The value that an argument is; a new one if it comes from outside."""
        array = x._data if isinstance(x, Tensor) else as_operand(x)
        found = self._ids.get(id(array))
        if found is not None and self._arrays[found]() is array:
            return found
        if not isinstance(array, np.ndarray):
            values = self.graph.values
            values.append(Value(len(values), (), "number", "constant", number=array))
            self._arrays.append(None)
            return len(values) - 1
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
        elif kind == "parameter":
            value.name = _variable_of_user(x)
        self._look(array, value)
        if self._bind:
            self.graph.bindings[value.id] = x
        return value.id

    def _new_value(self, array: np.ndarray, kind: str) -> Value:
        values = self.graph.values
        number = len(values)
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        buffer = self._buffers.get(id(owner))
        if buffer is None or self._owners[buffer]() is not owner:
            buffer = self._buffers[id(owner)] = len(self._owners)
            self._owners.append(weakref.ref(owner))
        value = Value(number, array.shape, _dtype_name(array.dtype), kind, array.nbytes)
        value.strides = array.strides
        value.buffer = buffer
        if array.size == 1:
            value.number = array.item()
        self._ids[id(array)] = number
        self._arrays.append(weakref.ref(array))
        values.append(value)
        return value

    def _any_in_trouble(self, ids: list[int | None]) -> bool:
        return any(self.graph.values[v].finite is False for v in ids if v is not None)

    def _look(self, array: Any, value: Value) -> None:
        """Look whether a value is finite."""
        array = np.asarray(array)
        finite = True
        if array.dtype.kind == "f":
            finite = False
            if array.size > 100:  # the sum of squares tells it faster, unless it overflows
                squares = self._squares[value.id] = _squares(array)
                finite = math.isfinite(squares)
            finite = finite or bool(np.isfinite(array).all())
        value.finite = finite
        self._trouble |= not finite


def _place_of_user() -> tuple[CodeType | None, int]:
    """The user's call: its code, and which instruction in it."""
    frame = sys._getframe(3)
    while frame is not None:
        if not _is_internal(frame.f_globals.get("__name__", "")):
            return frame.f_code, frame.f_lasti
        frame = frame.f_back
    return None, 0


def _variable_of_user(tensor: Tensor) -> str | None:
    """What the user's code that runs now calls a tensor, if it has a variable for it."""
    frame = sys._getframe(2)
    while frame is not None and _is_internal(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    if frame is None:
        return None
    variables = [*frame.f_locals.items(), *frame.f_globals.items()]
    return next((name for name, value in variables if value is tensor and not name.startswith("_")), None)


@functools.cache
def _is_internal(module: str) -> bool:
    return module.partition(".")[0] in INTERNAL


@functools.cache
def _dtype_name(dtype: np.dtype) -> str:
    return str(dtype)  # NumPy takes longer for this than for a small operation


def _squares(array: np.ndarray) -> Any:
    """The sum of an array's squares."""
    flat = array.ravel(order="K")
    return flat.dot(flat)
