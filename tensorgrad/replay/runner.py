"""Running a plan: steps bound to their arrays, and bound anew where these have changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..graph import Value
from ..kernels.matrix import ALONE
from ..kernels.threads import Call, at_once, blas_on_one_thread, in_turn, settle
from ..stand_in import evaluate
from ..tensor import Tensor
from . import ending
from .ending import Ending, Share
from .homes import Home, home_of, laid_out, memory_order
from .memory import Plan, is_alias
from .program import PrimitiveStep, Program, Stage, Step
from .randomness import random_state, set_random_state
from .undo import random_sources

SMALL = 4096
"""Up to so many bytes a value read from outside is copied at each run instead of bound where it lies."""


class Runner:
    """A program with its memory, ready to run."""

    def __init__(self, program: Program, plan: Plan) -> None:
        self.program = program
        self.plan = plan
        self.blocks = [np.empty(size, np.uint8) for size in plan.blocks]
        self.arrays: dict[int, Any] = dict(program.constants)
        self._slots: dict[int, np.ndarray] = {}  # copies of what comes from outside
        self.numbers: list[Any] = []  # those among the arguments of the call that comes now
        for value in [*program.arguments, *program.entry_gradients, *program.numbers]:
            self._slots[value] = self.arrays[value] = self._new(program.values[value])
        for value, leaf in program.cells.items():
            if value in plan.homes:
                self.arrays[value] = plan.homes[value].array
            elif leaf._data.nbytes <= SMALL:
                self._slots[value] = self.arrays[value] = self._new(program.values[value])
            else:
                self.arrays[value] = self._outside(leaf)
        self._large = [v for v in program.cells if v not in plan.homes and v not in self._slots]
        self._versions = [(leaf, program.rebindings[leaf]) for leaf in program.assigned]
        sizes = [s.scratch_bytes(np.dtype(program.values[s.outputs[0]].dtype).itemsize) for s in program.steps]
        self.scratch = [np.empty(max(sizes, default=0), np.uint8) for _ in range(2)]
        self.stages: list[list[Stage]] = [[] for _ in program.steps]
        self._sources = random_sources(program)
        self._next_versions: list[tuple[Tensor, int]] = []
        self._lasting: list[tuple[Home, np.ndarray]] | None = None
        self._unbound: set[int] = set()  # values whose arrays have changed since the steps were bound to them
        self._broken_off = False  # while a run is under way, and after one that did not come to its end
        self._bind(None)

    def _new(self, value: Value) -> np.ndarray:
        order = memory_order(value)
        if value.shape and value.id in self.program.batch_innermost:
            order = (1, 2, 3, 0)
        return laid_out(np.empty(max(value.nbytes, 1), np.uint8), value.shape, value.dtype, order)

    # -- binding -----------------------------------------------------------------------------------------------------

    def _bind(self, changed: set[int] | None) -> None:
        """Bind the steps that touch the values changed (by their roots), or all steps, to the arrays there are now."""
        for index, step in enumerate(self.program.steps):
            touched = [self.plan.root_of(v) for v in [*step.inputs, *step.outputs] if v is not None]
            if changed is None or not changed.isdisjoint(touched):
                self.stages[index] = self._bound(step)
        self.groups = self._joined_stages()
        self._works: list[Call] = [as_work(s) for steps, stages in self.groups if not steps[0].updates for s in stages]
        self._work = on_one_thread_of_blas(in_turn(self._works), [s for s in self.program.steps if not s.updates])
        self._ending = Ending([s for steps, stages in self.groups if steps[0].updates for s in stages])
        self._end = on_one_thread_of_blas(ending.run, [s for s in self.program.steps if s.updates])

    def _joined_stages(self) -> list[tuple[list[Step], list[Stage]]]:
        """All stages in order, with the steps that they belong to. Neighbours for two threads that do not touch each other's
        memory become one: that saves a meeting."""
        joined: list[tuple[list[Step], list[Stage]]] = []
        members: list[Step] = []  # the steps in the last stage, if others may join them
        for index, (step, stages) in enumerate(zip(self.program.steps, self.stages, strict=True)):
            if index == self.program.barrier:
                members = []
            single = len(stages) == 1 and not (len(stages[0]) == 1 and step.multiplies)
            single = single and bool(members) and members[0].updates == step.updates
            if single and all(self._independent(member, step) for member in members):
                mine, other = joined[-1][1][0]
                first, *second = stages[0]  # each share stays with the thread whose scratch memory it was given
                members.append(step)
                joined[-1] = members, [[in_turn([mine, first]), in_turn([other, *second])]]
            elif self._beside(joined, step, stages):
                joined[-1] = [*joined[-1][0], step], [[joined[-1][1][0][0], stages[0][0]]]
                members = joined[-1][0]
            elif stages:
                members = [step] if len(stages) == 1 and len(stages[0]) == 2 else []
                joined.append((members or [step], stages))
        return joined

    def _beside(self, joined: list[tuple[list[Step], list[Stage]]], step: Step, stages: list[Stage]) -> bool:
        """Whether a product too small to be cut can run beside the one before it."""
        if not joined or not stages or not step.fills_a_share or len(stages[0]) > 1:
            return False
        (*others, last), before = joined[-1]
        alone = not others and last.fills_a_share and len(before) == len(before[0]) == 1 and last.updates == step.updates
        return alone and self._independent(last, step)

    def _independent(self, one: Step, other: Step) -> bool:
        """Whether two steps may run at the same time."""
        read, written = self._places(one.inputs), self._places(one.outputs)
        return written.isdisjoint(self._places([*other.inputs, *other.outputs])) and read.isdisjoint(
            self._places(other.outputs)
        )

    def _places(self, values: list[int | None]) -> set[Any]:
        """Where values lie: blocks of memory, homes, or places of their own."""
        roots = [self.plan.root_of(v) for v in values if v is not None]
        return {
            id(self.plan.homes[r]) if r in self.plan.homes else ("block", self.plan.block[r]) if r in self.plan.block else -r
            for r in roots
        }

    def _bound(self, step: Step) -> list[Stage]:
        inputs = [None if v is None else self.arrays[v] for v in step.inputs]
        if isinstance(step, PrimitiveStep) and is_alias(self.program, step):
            return self._bound_view(step, inputs)
        for value in step.outputs:
            home = self.plan.homes.get(value)
            if home is not None:
                self.arrays[value] = home.array
            elif value not in self.arrays:
                entry = self.program.values[value]
                memory = self.blocks[self.plan.block[value]]
                self.arrays[value] = laid_out(memory, entry.shape, entry.dtype, memory_order(entry))
        return step.bind(inputs, [self.arrays[v] for v in step.outputs], self.scratch)

    def _bound_view(self, step: PrimitiveStep, inputs: list[Any]) -> list[Stage]:
        out = step.outputs[0]
        view = np.asarray(step.primitive.kernel(*inputs, **step.attributes))
        if np.may_share_memory(view, inputs[0]):
            self.arrays[out] = view
            return []
        own = self.arrays[out] = np.array(view)  # an argument laid out in another way than when it was recorded
        return [[lambda: np.copyto(own, step.primitive.kernel(*inputs, **step.attributes))]]

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, arguments: list[np.ndarray]) -> list[Tensor]:
        """One replay: read what comes from outside, run the steps, leave what the step leaves behind. Returns copies.

        Where this is broken off, leaves and generators are as before, or as after it.
        """
        self.read(arguments)
        drawn = [(source, random_state(source)) for source in self._sources]
        shares = self._ending.shares()
        try:
            self._work()
        except BaseException:
            self._take_back(drawn)
            raise
        try:
            return self._ended(shares)
        except BaseException:
            ending.take_up(shares)
            self.finish()
            raise

    def _ended(self, shares: list[list[Share]]) -> list[Tensor]:
        self._end(shares)
        results = self._copies(self.program.results[: self.program.returned])
        self.finish()
        return results

    def _copies(self, values: list[int]) -> list[Tensor]:
        return [Tensor.wrap(np.array(self.arrays[v], order="K", copy=True)) for v in values]

    def _take_back(self, drawn: list[tuple[Any, Any]]) -> None:
        """After a run that came to no new values: the generators as they were, and no gradient half made."""
        for source, state in drawn:
            set_random_state(source, state)
        given = {leaf: value for value, leaf in self.program.entry_gradients.items()}
        for leaf, home in self.plan.gradient_homes.items():
            if leaf._grad is not None and leaf._grad._data is home.shown:
                if leaf in given:
                    np.copyto(home.array, self._slots[given[leaf]])
                else:
                    leaf._grad = None

    def read(self, arguments: list[np.ndarray]) -> None:
        """Read what comes from outside: arguments, leaves, gradients."""
        if self._broken_off:
            settle()  # the second thread may still be at work in this memory
        self._broken_off = True
        self._lasting = None
        self._next_versions = [(leaf, leaf.version + times) for leaf, times in self._versions]
        self._read_outside()
        for value, argument in zip(self.program.arguments, arguments, strict=True):
            np.copyto(self._slots[value], argument)

    def finish(self) -> None:
        """Leave what the step leaves behind: new values of leaves, and their gradients. To do it again changes nothing."""
        if self._lasting is None:
            self._lasting = [(home, self._lasting_array(value)) for value, home in self.plan.copied]
        for home, array in self._lasting:
            np.copyto(home.array, array)
        self._show()
        self._broken_off = False

    def _lasting_array(self, value: int) -> np.ndarray:
        """The array of a value, or a copy where it lies in a home: that may be given its next value before this one is read."""
        array = self.arrays[value]
        return array.copy() if self.plan.root_of(value) in self.plan.homes else array

    def _read_outside(self) -> None:
        for value, formula in self.program.numbers.items():
            self._slots[value][...] = evaluate(formula, self.numbers)
        for leaf, home in self.plan.leaf_homes.items():
            shown = leaf._data is home.shown
            held = home.held_elsewhere(shown)
            if held:
                home.move()
            if held or not shown:
                np.copyto(home.array, leaf._data)
        for leaf, home in self.plan.gradient_homes.items():
            if _gradient_is_held(leaf, home):
                home.move()
        for value, home in self.plan.homes.items():
            if self.arrays[value] is not home.array:
                self._unbound.add(value)
                self.arrays[value] = home.array
        for value, leaf in self.program.entry_gradients.items():
            np.copyto(self._slots[value], leaf._grad._data)
        for value, leaf in self.program.cells.items():
            if value in self._slots:
                np.copyto(self._slots[value], leaf._data)
        for value in self._large:
            array = self._outside(self.program.cells[value])
            if array is not self.arrays[value]:
                self._unbound.add(value)
                self.arrays[value] = array
        if self._unbound:
            self._bind(self._unbound)
            self._unbound.clear()

    def _outside(self, leaf: Tensor) -> np.ndarray:
        """The array of a leaf that is only read, without a hold on the one that users are shown."""
        home = home_of(leaf, "value")
        return home.array if home is not None and leaf._data is home.shown else leaf._data

    def _show(self) -> None:
        for leaf, home in self.plan.leaf_homes.items():
            leaf._data = home.shown
        for leaf, version in self._next_versions:
            leaf.version = version
        for leaf, value in self.program.gradients.items():
            leaf._grad = None if value is None else Tensor.wrap(self.plan.gradient_homes[leaf].shown)


def on_one_thread_of_blas(work: Callable[..., None], steps: list[Step]) -> Callable[..., None]:
    """Work that runs these steps. BLAS starts threads of its own for larger products; they stay awake after it and hold up
    what comes next, the more so where others need the processor too."""
    if not any(node.flops > 2 * ALONE for step in steps for node in step.nodes):
        return work
    return lambda *given: blas_on_one_thread(partial(work, *given))


def as_work(stage: Stage) -> Call:
    """A stage as one piece of work."""
    return stage[0] if len(stage) == 1 else partial(at_once, stage)


def _gradient_is_held(leaf: Tensor, home: Home) -> bool:
    """Whether anybody but the leaf holds the gradient that the last replay left, its tensor or the array."""
    if leaf._grad is None or leaf._grad._data is not home.shown:
        return home.held_elsewhere(0)
    return home.held_elsewhere(1) or sys.getrefcount(leaf._grad) > 2  # the leaf's, and the one that the call itself makes
