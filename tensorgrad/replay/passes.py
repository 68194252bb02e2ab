"""What a program can do without: assignments, which only give names, steps that nobody needs, and what is known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.assign import assign_
from .program import PrimitiveStep, Program, Stage, Step


def simplify(program: Program) -> None:
    resolve_assignments(program)
    drop_dead(program)
    fold_constants(program)


def put_updates_last(program: Program) -> None:
    """Let the steps that make new values of leaves, and those that depend on them, stand at the end: up to there a run
    that fails has changed nothing."""
    assigned, late, drawn = set(program.assigned.values()), set(), False
    for step in program.steps:
        draws = isinstance(step, PrimitiveStep) and step.has_effect
        step.updates = not assigned.isdisjoint(step.outputs) or not late.isdisjoint(step.inputs) or (draws and drawn)
        if step.updates:
            late.update(step.outputs)
            drawn = drawn or draws  # what draws random numbers after it does so in its turn
    program.steps.sort(key=lambda step: step.updates)


class ConversionStep(Step):
    """The value assigned to a leaf, in the leaf's dtype."""

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        return [[lambda: np.copyto(outputs[0], inputs[0], casting="unsafe")]]


def resolve_assignments(program: Program) -> None:
    """A leaf's new value is the value assigned, and is another one only where the dtype differs."""
    names: dict[int, int] = {}
    steps: list[Step] = []
    for step in program.steps:
        step.inputs = [names.get(v, v) if v is not None else None for v in step.inputs]
        if isinstance(step, PrimitiveStep) and step.primitive is assign_:
            value, bound = step.inputs[0], step.outputs[0]
            if program.values[value].dtype == program.values[bound].dtype:
                names[bound] = value
            else:
                steps.append(ConversionStep("assign", [value], [bound], step.nodes))
        else:
            steps.append(step)
    program.steps = steps
    program.results = [names.get(v, v) for v in program.results]
    program.assigned = {leaf: names.get(v, v) for leaf, v in program.assigned.items()}
    program.gradients = {leaf: v if v is None else names.get(v, v) for leaf, v in program.gradients.items()}


def drop_dead(program: Program) -> None:
    """Keep what leads to something that is kept, and what draws random numbers."""
    needed = program.kept()
    alive: list[Step] = []
    for step in reversed(program.steps):
        if needed.intersection(step.outputs) or (isinstance(step, PrimitiveStep) and step.has_effect):
            alive.append(step)
            needed.update(v for v in step.inputs if v is not None)
    program.dropped += len(program.steps) - len(alive)
    program.steps = alive[::-1]


def fold_constants(program: Program) -> None:
    """Run now what depends on constants alone."""
    left: list[Step] = []
    for step in program.steps:
        known = all(v is None or (v in program.constants and v not in program.live) for v in step.inputs)
        if not known or not isinstance(step, PrimitiveStep) or step.has_effect:
            left.append(step)
            continue
        made = step.primitive.kernel(*(None if v is None else program.constants[v] for v in step.inputs), **step.attributes)
        made = made if isinstance(made, tuple) else (made,)
        program.constants.update(zip(step.outputs, map(np.asarray, made), strict=True))
        program.folded += 1
    program.steps = left
