"""Halves: a program of a forward and a backward pass that are run one after the other, with other work in between."""

from __future__ import annotations

import numpy as np

from ..kernels.threads import in_turn, settle
from ..tensor import Tensor
from .memory import is_alias
from .passes import ConversionStep
from .program import PrimitiveStep, Program, Step
from .runner import Runner, as_work, on_one_thread_of_blas

SPARE = 2
"""How many runners are kept that nothing refers to."""


def halve(program: Program) -> None:
    """Bring the steps of the forward pass to the front, and let what the backward pass reads of theirs outlive them."""
    first, second = _parted(program)
    first.sort(key=lambda step: step.updates)
    for step in second:
        step.updates = False
    program.steps = [*first, *second]
    program.barrier = len(first)
    made = {v for step in first for v in step.outputs}
    program.pinned = made.intersection(v for step in second for v in step.inputs)


def _parted(program: Program) -> tuple[list[Step], list[Step]]:
    """The steps that lead to what the function itself returns and changes, or draw random numbers; and the others."""
    needed = program.kept().difference(program.results[program.returned :])
    needed.update(program.results[: program.returned])
    first: list[Step] = []
    for step in reversed(program.steps):
        draws = isinstance(step, PrimitiveStep) and step.has_effect and step.phase != "backward"
        if draws or needed.intersection(step.outputs):
            first.append(step)
            needed.update(v for v in step.inputs if v is not None)
    own = set(map(id, first))
    return first[::-1], [step for step in program.steps if id(step) not in own]


def keep_old_values(program: Program) -> None:
    """A forward pass gives leaves new values in the memory of the old: copy those that the backward pass may read."""
    roots: dict[int, int] = {}
    for step in program.steps:
        if is_alias(program, step):
            roots[step.outputs[0]] = roots.get(step.inputs[0], step.inputs[0])
    read = {roots.get(v, v) for step in _parted(program)[1] for v in step.inputs if v is not None}
    for value, leaf in list(program.cells.items()):
        if value in read and leaf in program.assigned:
            entry = program.values[value]
            copy = program.new_value(entry.shape, entry.dtype)
            users = [step for step in program.steps if value in step.inputs]
            for step in users:
                step.inputs = [copy if v == value else v for v in step.inputs]
            program.steps.insert(0, ConversionStep("keep", [value], [copy], users[0].nodes[:1]))


class HalvedRunner(Runner):
    """Runs the two halves of a program."""

    def _bind(self, changed: set[int] | None) -> None:
        super()._bind(changed)
        steps, barrier = self.program.steps, self.program.barrier
        first = set(map(id, steps[:barrier]))
        forward, backward = ([(s, g) for s, g in self.groups if (id(s[0]) in first) == wanted] for wanted in (True, False))
        self._works = [as_work(stage) for steps, stages in forward if not steps[0].updates for stage in stages]
        self._work = on_one_thread_of_blas(in_turn(self._works), steps[:barrier])
        self._way_back = on_one_thread_of_blas(
            in_turn([as_work(stage) for _, stages in backward for stage in stages]), steps[barrier:]
        )

    def forward(self, arguments: list[np.ndarray]) -> list[Tensor]:
        """Run the function without its backward pass. Returns copies of what it returns."""
        return self.run([*arguments, *(self._slots[v] for v in self.program.cotangents)])

    def backward(self, cotangents: list[Tensor]) -> list[Tensor]:
        """Run the backward pass of the latest run of the function; as often as one likes. Returns copies of the gradients."""
        program = self.program
        if self._broken_off:
            settle()
        for value, g in zip(program.cotangents, cotangents, strict=True):
            np.copyto(self._slots[value], g._data)
        self._broken_off = True
        self._way_back()
        self._broken_off = False
        return self._copies(program.results[program.returned :])

    def read_backward(self) -> list[Tensor]:
        """The leaves whose values the backward pass reads."""
        second = self.program.steps[self.program.barrier :]
        read = {self.plan.root_of(v) for step in second for v in step.inputs if v is not None}
        return [leaf for value, leaf in self.program.cells.items() if value in read]


class Runners:
    """The runners of one halved program: those that no graph refers to are free, and others are made when there is none."""

    def __init__(self, runner: HalvedRunner) -> None:
        self.program, self._plan = runner.program, runner.plan
        self._free = [runner]
        self.leaves = runner.read_backward()

    def take(self) -> HalvedRunner:
        try:
            return self._free.pop()
        except IndexError:
            return HalvedRunner(self.program, self._plan)

    def give_back(self, runner: HalvedRunner) -> None:
        if len(self._free) < SPARE:
            self._free.append(runner)
