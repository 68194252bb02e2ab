"""Program: the steps of a replay as data, between recording and running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..graph import GraphNode, Value
from ..kernels.threads import Call, in_turn
from ..primitive import Primitive
from ..tensor import Tensor
from .compare import array_of
from .randomness import Source
from .record import ComputedNumber, EntryGradient, Recording
from .refusal import ReplayError, described

Stage = Sequence[Call]
"""What may run at the same time: one piece of work, or two for two threads."""


class Step:
    """One thing that a replay does: a primitive, or several of them fused.

    Attributes:
        name: what plans call it.
        inputs: values; None for an optional input left out.
        outputs: values.
        nodes: the recorded nodes that it stands for.
    """

    in_place: frozenset[int] = frozenset()
    updates = False  # whether it stands at the end, among the steps that give leaves their new values
    fills_a_share = False  # whether it is work enough for one of two threads, and needs no scratch memory
    multiplies = False  # whether its work for two threads has matrix products in it

    def __init__(self, name: str, inputs: list[int | None], outputs: list[int], nodes: list[GraphNode]) -> None:
        self.name = name
        self.inputs = inputs
        self.outputs = outputs
        self.nodes = nodes

    @property
    def phase(self) -> str:
        return self.nodes[0].phase

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        """The work on these arrays, stage after stage. Each thread has scratch memory, which holds nothing from step
        to step."""
        raise NotImplementedError

    def scratch_bytes(self, itemsize: int) -> int:
        """How much scratch memory each thread needs, for elements of this size."""
        return 0

    def check_own_values(self, values: dict[int, np.ndarray], arrays: dict[int, Any]) -> str | None:
        """Compare what the step has made for later steps, beyond recorded values, with what follows from the recorded ones,
        and put that in its place. Returns what is wrong, if anything is.

        Args:
            values: the arrays of the recorded values when the function itself ran.
            arrays: those of the replay.
        """
        return None


class PrimitiveStep(Step):
    """One primitive, run by its own kernel."""

    def __init__(self, node: GraphNode, primitive: Primitive, inputs: list[int | None]) -> None:
        super().__init__(node.primitive, inputs, node.outputs, [node])
        self.primitive = primitive
        self.attributes = node.attributes

    @property
    def in_place(self) -> frozenset[int]:
        return self.overwritable(self.updates)

    def overwritable(self, at_the_end: bool) -> frozenset[int]:
        """Inputs whose memory an output may take, if nobody needs them any more: the kernels of elementwise primitives
        allow it. At the end of a program Python functions do not, for one that was broken off is called again there."""
        primitive = self.primitive
        writes = primitive.ufunc is not None if at_the_end else primitive.takes_out
        allowed = primitive.elementwise and (writes or primitive.prepare is not None)
        return frozenset(v for v in self.inputs if v is not None) if allowed else frozenset()

    @property
    def has_effect(self) -> bool:
        """Whether it draws random numbers: then it runs, whoever needs the result, and in its turn."""
        return any(isinstance(x, Source) for x in self.attributes.values())

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        calls = self.calls(inputs, outputs, self.attributes)
        return [[calls[0] if len(calls) == 1 else in_turn(calls)]]

    def calls(self, inputs: list[Any], outputs: list[np.ndarray], attributes: dict[str, Any]) -> list[Call]:
        """One run of the kernel."""
        kernel, prepare = self.primitive.kernel, self.primitive.prepare
        if prepare is not None:
            return prepare(*inputs, out=outputs[0] if len(outputs) == 1 else tuple(outputs), **attributes)
        if len(outputs) == 1:
            out = outputs[0]
            if self.primitive.takes_out:
                return [partial(self.primitive.ufunc or kernel, *inputs, out=out, **attributes)]
            return [lambda: self._keep(out, kernel(*inputs, **attributes))]

        def run() -> None:
            for out, made in zip(outputs, kernel(*inputs, **attributes), strict=True):
                self._keep(out, made)

        return [run]

    def _keep(self, out: np.ndarray, made: Any) -> None:
        """Put what the kernel has made into its place."""
        if np.shape(made) != out.shape:
            place = self.nodes[0].source
            raise ReplayError(
                f"{self.name} made an array of shape {np.shape(made)} in a replay, and one of shape {out.shape} when it was "
                "recorded: the shape depends on values. Do this outside of the compiled function, or keep the shape, for "
                "example with tg.where." + (described(*place) if place else "")
            )
        np.copyto(out, made)


@dataclass
class Program:
    """What a replay does, in order, and what it does it with.

    Attributes:
        values: the recorded values; those that fusion made superfluous are not used.
        steps: in the order of their running.
        arguments: the values that are the arguments.
        cells: leaves read from outside, by value.
        entry_gradients: leaves whose `.grad` is read from outside, by value.
        numbers: the formulas of what is made of numbers among the arguments, by value.
        constants: arrays and numbers known beforehand, by value.
        live: those constants that are one array at every call, whose contents the user may change.
        results: the values returned.
        assigned: the last value of each leaf that is given one.
        gradients: the last `.grad` of each leaf that is given one.
        returned: how many of the results the function itself returns; the others are gradients.
        cotangents: the arguments that are cotangents of what it returns.
        barrier: where among the steps the backward pass of what is returned begins, if there is one.
        pinned: values that this reads, and that lie where they are until it has run for the last time.
        batch_innermost: arguments that are copied into that memory order, since all who take them want it.
        dropped, folded: how many steps were found superfluous, and how many known beforehand.
    """

    values: list[Value]
    steps: list[Step]
    arguments: list[int]
    cells: dict[int, Tensor]
    entry_gradients: dict[int, Tensor]
    numbers: dict[int, Any]
    constants: dict[int, Any]
    live: set[int]
    results: list[int]
    assigned: dict[Tensor, int]
    rebindings: dict[Tensor, int]
    gradients: dict[Tensor, int | None]
    returned: int = 0
    cotangents: list[int] = field(default_factory=list)
    barrier: int = 0
    pinned: set[int] = field(default_factory=set)
    batch_innermost: set[int] = field(default_factory=set)
    dropped: int = 0
    folded: int = 0

    def new_value(self, shape: tuple[int, ...], dtype: str) -> int:
        """A value of a fused step's own, in row-major order."""
        size = np.dtype(dtype).itemsize
        strides = [size]
        for n in reversed(shape[1:]):
            strides.append(strides[-1] * max(n, 1))
        value = Value(len(self.values), shape, dtype, "intermediate", int(np.prod(shape)) * size, strides=tuple(strides[::-1]))
        self.values.append(value)
        return value.id

    def kept(self) -> set[int]:
        """The values that outlive a run."""
        return {*self.results, *self.pinned, *self.assigned.values(), *(v for v in self.gradients.values() if v is not None)}

    def producers(self) -> dict[int, Step]:
        return {value: step for step in self.steps for value in step.outputs}

    def users(self) -> dict[int, list[Step]]:
        """For each value the steps that take it, in order."""
        found: dict[int, list[Step]] = {}
        for step in self.steps:
            for value in dict.fromkeys(v for v in step.inputs if v is not None):
                found.setdefault(value, []).append(step)
        return found

    def is_closed(self, parts: Sequence[Step], outputs: Sequence[int]) -> bool:
        """Whether of all that these steps make nothing but `outputs` is kept, or used by any other step."""
        inside = {v for step in parts for v in step.outputs}.difference(outputs)
        own = set(map(id, parts))
        used = (v for step in self.steps if id(step) not in own for v in step.inputs)
        return inside.isdisjoint(self.kept()) and inside.isdisjoint(used)

    def place_for(self, parts: Sequence[Step], inputs: Sequence[int | None], outputs: Sequence[int], at: Step) -> int | None:
        """Where among the other steps a step can stand that takes the place of `parts`: as near to `at` as possible, after
        all of its inputs are made and before its outputs are used. None if there is no such place."""
        own = set(map(id, parts))
        others = [step for step in self.steps if id(step) not in own]
        if not {v for step in parts for v in step.outputs}.isdisjoint(inputs):
            return None
        earliest = max((k + 1 for k, step in enumerate(others) if not set(step.outputs).isdisjoint(inputs)), default=0)
        latest = min((k for k, step in enumerate(others) if not set(step.inputs).isdisjoint(outputs)), default=len(others))
        if earliest > latest:
            return None
        wanted = sum(id(step) not in own for step in self.steps[: self.steps.index(at)])
        return min(max(wanted, earliest), latest)

    def replace(self, parts: Sequence[Step], new: Step, at: Step) -> bool:
        """Put one step in the place of several, near `at`, one of them. Returns False, and changes nothing, where the
        program would not be the same: something inside is used elsewhere, or an input is not made in time."""
        inside = self.is_closed(parts, new.outputs)
        place = self.place_for(parts, new.inputs, new.outputs, at) if inside else None
        if place is None:
            return False
        own = set(map(id, parts))
        self.steps = [step for step in self.steps if id(step) not in own]
        self.steps.insert(place, new)
        return True


def program_of(first: Recording, second: Recording) -> Program:
    """The program that repeats two recordings of one step, which agree.

    What came from outside is a cell where both saw the same tensor, and else a constant, since both saw the same contents.
    """
    graph = second.graph
    cells, entry_gradients, numbers, constants = {}, {}, {}, {}
    for value, given in second.given.items():
        if isinstance(given, EntryGradient):
            entry_gradients[value] = given.leaf
        elif isinstance(given, ComputedNumber):
            numbers[value] = given.formula
        elif isinstance(given, Tensor) and first.given[value] is given:
            cells[value] = given
        else:
            constants[value] = array_of(given)
    live = {value for value in constants if array_of(second.given[value]) is array_of(first.given[value])}
    for entry in graph.values:
        if entry.dtype == "number":
            constants[entry.id] = entry.number
    lasting = {leaf for leaf in [*second.assigned, *second.gradients] if leaf in first.assigned or leaf in first.gradients}
    return Program(
        values=list(graph.values),  # fusion adds its own
        steps=[PrimitiveStep(node, p, node.inputs) for node, p in zip(graph.nodes, second.primitives, strict=True)],
        arguments=second.arguments,
        cells=cells,
        entry_gradients=entry_gradients,
        numbers=numbers,
        constants=constants,
        live=live,
        results=second.results,
        assigned={leaf: v for leaf, v in second.assigned.items() if leaf in lasting},
        rebindings=second.rebindings,
        returned=len(second.results) - second.gradient_count,
        cotangents=second.cotangents,
        gradients={leaf: v for leaf, v in second.gradients.items() if leaf in lasting},
    )
