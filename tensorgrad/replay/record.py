"""Recording a step so that it can be replayed: what it was given, what it leaves behind, and what it must not do."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..graph import Graph, GraphNode, Value
from ..ops.assign import assign_
from ..primitive import Primitive
from ..recorder import Recorder
from ..stand_in import Argument, StandIn, arguments_of, formula_of, holds_stand_ins, known_of, plain
from ..state import current
from ..tensor import Tensor, as_array
from .randomness import Source, random_state, set_random_state
from .refusal import ReplayError, line_of_user


class EntryGradient:
    """Stands for the `.grad` that a leaf has when the step begins."""

    def __init__(self, leaf: Tensor) -> None:
        self.leaf = leaf


class ComputedNumber:
    """Stands for an array that is made of numbers among the arguments.

    Attributes:
        formula: of the number, or of lists of numbers.
    """

    def __init__(self, formula: Any) -> None:
        self.formula = formula


class Recording:
    """One run of a step: its graph, and beside it the live objects that the graph's values stand for.

    Attributes:
        graph: what ran.
        primitives: the primitive of each node.
        given: what each value from outside is: a leaf, an `EntryGradient`, or an array.
        arguments: the values that are the step's arguments, in order.
        results: the values that it returned.
        cotangents: those arguments that are cotangents of what the step returned.
        gradient_count: how many of the results are the gradients for these, behind the others.
        assigned: the leaves that were given new values, each with its last one.
        rebindings: how often each of them was.
        gradients: the leaves whose `.grad` was set, each with the value that it has in the end, or None.
        expected: the leaves whose `.grad` the step looked at before it set it, and whether there was one.
        shared: pairs of tensors from outside that held one array, so that the graph does not tell them apart. Those that
            the step itself made are gone after it.
        read: the numbers among the arguments that Python code read, by their place, each with the line.
        settings: what Python code read through `tg.reading`: (object, name of the attribute, value).
        tracked: the leaves that a graph was built on, or would have been, and whether each required a gradient.
        arrays: the arrays of all values but numbers, where they were asked for.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.primitives: list[Primitive] = []
        self.given: dict[int, Any] = {}
        self.arguments: list[int] = []
        self.results: list[int] = []
        self.cotangents: list[int] = []
        self.gradient_count = 0
        self.assigned: dict[Tensor, int] = {}
        self.rebindings: dict[Tensor, int] = {}
        self.gradients: dict[Tensor, int | None] = {}
        self.expected: dict[Tensor, bool] = {}
        self.shared: list[tuple[weakref.ref[Tensor], weakref.ref[Tensor]]] = []
        self.settings: list[tuple[Any, str, Any]] = []
        self.read: dict[int, str] = {}
        self.tracked: dict[Tensor, bool] = {}
        self.arrays: dict[int, np.ndarray] = {}

    def still_share(self) -> bool:
        """Whether those tensors still hold one array."""
        pairs = [(one(), other()) for one, other in self.shared]
        return all(a is None or b is None or a._data is b._data for a, b in pairs)


class StrictRecorder(Recorder):
    """A recorder that keeps what a replay needs, and refuses what a replay could not do again."""

    def __init__(self, title: str, keeps_arrays: bool) -> None:
        super().__init__(Graph(title), bind=True)
        self.recording = Recording(self.graph)
        self._arguments: set[int] = set()  # by id
        self._keeps_arrays = keeps_arrays
        self._undo: list[Callable[[], None]] = []
        self._made: dict[int, weakref.ref[Tensor]] = {}  # leaves that the step has made, by id

    def argument(self, tensor: Tensor) -> None:
        self._arguments.add(id(tensor))
        self.recording.arguments.append(self._value_of(tensor, "argument"))

    # -- numbers among the arguments -----------------------------------------------------------------------------------

    def stand_ins(self, numbers: list[Any]) -> list[StandIn]:
        """What the step is given for the numbers among its arguments."""
        return [StandIn(number, Argument(k), self._number_read) for k, number in enumerate(numbers)]

    def _number_read(self, formula: Any) -> None:
        for place in arguments_of(formula):
            self.recording.read.setdefault(place, line_of_user())

    def operands(self, inputs: tuple[Any, ...], arrays: list[Any], attributes: dict[str, Any]) -> tuple[Any, ...]:
        for name, setting in attributes.items():
            if holds_stand_ins(setting):
                attributes[name] = plain(setting)
        if not any(type(x) is StandIn for x in inputs):
            return inputs
        arrays[:] = [array.operand if type(array) is StandIn else array for array in arrays]
        dtype = np.result_type(*[array for array in arrays if array is not None])  # that which numbers adapt to
        return tuple(Tensor.wrap(self._computed(x, np.asarray(x.operand, dtype))) if self._is_ours(x) else x for x in inputs)

    def numbers_in(self, data: Any, dtype: Any) -> Any:
        if not holds_stand_ins(data):
            return data
        return self._computed(data, as_array(known_of(data), dtype))

    def _is_ours(self, x: Any) -> bool:
        return type(x) is StandIn and x.tell_read == self._number_read

    def _computed(self, numbers: Any, array: np.ndarray) -> np.ndarray:
        """Let the array be known as one made of numbers."""
        value = self._new_value(array, "input")
        self.graph.bindings[value.id] = ComputedNumber(formula_of(numbers))
        return array

    # -- what the engine tells -----------------------------------------------------------------------------------------

    def run(self, primitive: Primitive, inputs: tuple[Any, ...], arrays: list[Any], attributes: dict[str, Any]) -> Any:
        for source in attributes.values():
            if isinstance(source, Source):
                self._undo.append(partial(set_random_state, source, random_state(source)))
        if primitive is assign_:
            self._undo.append(partial(_rebind, inputs[1], inputs[1]._data, inputs[1].version))
        return super().run(primitive, inputs, arrays, attributes)

    def undo(self) -> None:
        """Put back what the step has changed so far, the last change first."""
        while self._undo:
            self._undo.pop()()

    def cotangent_argument(self, g: Tensor) -> None:
        """From now on the backward pass of what the step returned is recorded, for such a cotangent."""
        self.argument(g)
        self.recording.cotangents.append(self.recording.arguments[-1])

    def _add_node(self, primitive: Primitive, *rest: Any) -> GraphNode:
        self.recording.primitives.append(primitive)
        return super()._add_node(primitive, *rest)

    def _new_value(self, array: np.ndarray, kind: str) -> Value:
        value = super()._new_value(array, kind)
        if self._keeps_arrays:
            self.recording.arrays[value.id] = array
        return value

    def _value_of(self, x: Any, role: str) -> int:
        value = super()._value_of(x, role)
        given = self.graph.bindings.get(value)
        if isinstance(x, Tensor) and isinstance(given, Tensor) and x.is_leaf and not self.is_made(x):
            if given is not x:
                self.recording.shared.append((weakref.ref(given), weakref.ref(x)))
            elif current().builds_graph and id(x) not in self._arguments:
                self.recording.tracked.setdefault(x, x.requires_grad)
        return value

    # -- what is done past the primitives ----------------------------------------------------------------------------

    def value_read(self, tensor: Tensor, how: str) -> None:
        raise ReplayError(
            f"the value of a tensor of shape {tensor.shape} is read with {how} inside a compiled step; a replay would not run "
            "the Python code that depends on it. Return the tensor and read it outside, or compute with primitives such as "
            "tg.where." + line_of_user()
        )

    def array_shared(self, tensor: Tensor) -> None:
        self._value_of(tensor, "input")  # which the array is known by, and not the passing one

    def leaf_made(self, leaf: Tensor) -> None:
        self._made[id(leaf)] = weakref.ref(leaf)

    def is_made(self, leaf: Tensor) -> bool:
        """Whether the step itself has made a leaf. Another call makes another."""
        found = self._made.get(id(leaf))
        return found is not None and found() is leaf

    def data_set(self, leaf: Tensor) -> None:
        raise ReplayError(
            f"the data of a tensor of shape {leaf.shape} is set inside a compiled step, which a replay would leave out; "
            "give it its new value with tg.assign(tensor, value)." + line_of_user()
        )

    def _refuse_argument(self, leaf: Tensor, what: str) -> None:
        """An argument is a stand-in for the caller's tensor, which does not see what happens to it."""
        if id(leaf) in self._arguments:
            raise ReplayError(
                f"an argument of shape {leaf.shape} {what} inside a compiled step, which would not reach the caller's tensor. "
                "Let the step use a tensor from outside of it, or differentiate with tg.grad, or with respect to "
                "tg.Tensor(argument, requires_grad=True)." + line_of_user()
            )

    def setting_read(self, owner: Any, name: str, value: Any) -> None:
        self.recording.settings.append((owner, name, value))

    def gradient_read(self, leaf: Tensor) -> None:
        self._refuse_argument(leaf, "has its gradient read or added to")
        self.gradient_replaced(leaf)
        found = self.recording
        if leaf not in found.gradients and leaf not in found.expected and not self.is_made(leaf):
            found.expected[leaf] = leaf._grad is not None
            if leaf._grad is not None:
                self.graph.bindings[self._value_of(leaf._grad, "gradient")] = EntryGradient(leaf)

    def gradient_replaced(self, leaf: Tensor) -> None:
        self._undo.append(partial(setattr, leaf, "_grad", leaf._grad))

    def gradient_set(self, leaf: Tensor) -> None:
        self._refuse_argument(leaf, "is given a gradient")
        gradient = leaf._grad
        self.recording.gradients[leaf] = None if gradient is None else self._value_of(gradient, "gradient")

    def gradient(self, leaf: Tensor) -> None:
        super().gradient(leaf)
        self.recording.gradients[leaf] = self._value_of(leaf._grad, "gradient")

    def assigned(self, leaf: Tensor) -> None:
        self._refuse_argument(leaf, "is assigned a value")
        super().assigned(leaf)
        found = self.recording
        found.assigned[leaf] = self.graph.nodes[-1].outputs[0]
        found.rebindings[leaf] = found.rebindings.get(leaf, 0) + 1

    def finish(self) -> None:
        super().finish()
        self._undo.clear()
        arguments = self.recording.arguments
        self.recording.given = {value: given for value, given in self.graph.bindings.items() if value not in arguments}
        self.graph.bindings = {}


def record(
    step: Callable[[], Any],
    arguments: list[Tensor],
    results_of: Callable[[Any], list[Tensor]],
    title: str,
    keeps_arrays: bool = False,
) -> Any:
    """Run a step under a strict recorder. Returns what it returned, and the recording.

    A step that raises, or is refused, leaves leaves, gradients and generators as they were before.
    """
    state = current()
    recorder = StrictRecorder(title, keeps_arrays)
    for tensor in arguments:
        recorder.argument(tensor)
    state.recorder = recorder
    try:
        returned = step()
        recorder.recording.results = [recorder._value_of(t, "result") for t in results_of(returned)]
    except BaseException:
        recorder.undo()
        recorder.let_go()
        raise
    finally:
        state.recorder = None
    recorder.finish()
    return returned, recorder.recording


def _rebind(leaf: Tensor, array: np.ndarray, version: int) -> None:
    leaf._data, leaf.version = array, version
