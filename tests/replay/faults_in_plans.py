"""Faults of planning and fusion: in the steps of a program, and in where its values lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorgrad.replay.batch_norm_back import BatchNormBackStep
from tensorgrad.replay.convolution import ForwardStep
from tensorgrad.replay.convolution_back import BackwardStep
from tensorgrad.replay.memory import Plan, is_alias
from tensorgrad.replay.program import PrimitiveStep, Program, Step
from tensorgrad.replay.runner import Runner

Faulty = Callable[[Any, np.random.Generator], bool]
"""Changes a program, a plan of memory or a runner; False where there is nothing to change."""

PROGRAM: dict[str, Faulty] = {}
MEMORY: dict[str, Callable[[Program, Plan, np.random.Generator], bool]] = {}
RUNNER: dict[str, Callable[[Runner, np.random.Generator], bool]] = {}


def fault(kinds: dict[str, Any]) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        kinds[function.__name__] = function
        return function

    return register


def chosen(items: Any, rng: np.random.Generator) -> Any:
    """One of them at random, or None."""
    items = list(items)
    return items[rng.integers(len(items))] if items else None


def alike(program: Program, one: int, other: int) -> bool:
    """Whether one value could be taken for another. Counts of steps, which are equal, are left out."""
    a, b = program.values[one], program.values[other]
    return one != other and (a.shape, a.dtype) == (b.shape, b.dtype) and a.shape != ()


def primitives(program: Program) -> list[PrimitiveStep]:
    """All steps that run one primitive, those inside of a run of elementwise ones too."""
    steps = [member for step in program.steps for member in getattr(step, "members", [step])]
    return [step for step in steps if isinstance(step, PrimitiveStep)]


def fused(program: Program) -> list[Step]:
    return [step for step in program.steps if isinstance(step, ForwardStep | BackwardStep | BatchNormBackStep)]


COMMUTATIVE = {"add", "multiply", "maximum", "minimum", "equal"}


@fault(PROGRAM)
def inputs_exchanged(program: Program, rng: np.random.Generator) -> bool:
    places = [
        (step, i, j)
        for step in [*primitives(program), *fused(program)]
        if step.name not in COMMUTATIVE
        for i in range(len(step.inputs))
        for j in range(i)
        if None not in (step.inputs[i], step.inputs[j]) and alike(program, step.inputs[i], step.inputs[j])
    ]
    found = chosen(places, rng)
    if found is None:
        return False
    step, i, j = found
    step.inputs[i], step.inputs[j] = step.inputs[j], step.inputs[i]
    return True


@fault(PROGRAM)
def another_value_read(program: Program, rng: np.random.Generator) -> bool:
    """A value of the same shape that was made earlier."""
    made: list[int] = [*program.cells, *program.arguments]
    places = []
    for step in program.steps:
        if type(step) is PrimitiveStep and not is_alias(program, step):
            for k, value in enumerate(step.inputs):
                places += [(step, k, v) for v in made if value is not None and alike(program, v, value)]
        made += [v for v in step.outputs if program.values[v].norm is None]
    found = chosen(places, rng)
    if found is None:
        return False
    step, k, value = found
    step.inputs[k] = value
    return True


@fault(PROGRAM)
def step_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if not is_alias(program, s)], rng)
    runs_nothing(step)
    return True


@fault(PROGRAM)
def update_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if "update" in s.name], rng)
    if step is not None:
        runs_nothing(step)
    return step is not None


def runs_nothing(step: Step) -> None:
    step.bind = lambda inputs, outputs, scratch: [[lambda: [np.copyto(out, 0) for out in outputs]]]


@fault(PROGRAM)
def stale_constant(program: Program, rng: np.random.Generator) -> bool:
    arrays = {v: c for v, c in program.constants.items() if isinstance(c, np.ndarray) and c.size and c.dtype.kind == "f"}
    value = chosen(arrays, rng)
    if value is None:
        return False
    program.constants[value] = arrays[value] * 1.01 + 0.01
    return True


@fault(PROGRAM)
def number_changed(program: Program, rng: np.random.Generator) -> bool:
    used = {v for step in program.steps for v in step.inputs}
    value = chosen([v for v, c in program.constants.items() if type(c) is float and v in used], rng)
    if value is None:
        return False
    program.constants[value] = program.constants[value] * 1.001 + 1e-3
    return True


@fault(PROGRAM)
def setting_changed(program: Program, rng: np.random.Generator) -> bool:
    """A number among the settings of a step."""
    places = [
        (step, name)
        for step in program.steps
        if isinstance(step, PrimitiveStep)
        for name, setting in step.attributes.items()
        if type(setting) is float and setting > 1e-3
    ]
    found = chosen(places, rng)
    if found is None:
        return False
    step, name = found
    step.attributes = step.attributes | {name: step.attributes[name] * 0.9}
    return True


@fault(PROGRAM)
def result_of_another_step(program: Program, rng: np.random.Generator) -> bool:
    made = [v for step in program.steps for v in step.outputs]
    place = chosen([(k, v) for k, r in enumerate(program.results) for v in made if alike(program, v, r)], rng)
    if place is None:
        return False
    program.results[place[0]] = place[1]
    return True


@fault(PROGRAM)
def two_leaves_exchanged(program: Program, rng: np.random.Generator) -> bool:
    pairs = [
        (a, b)
        for a, one in program.assigned.items()
        for b, other in program.assigned.items()
        if a is not b and alike(program, one, other)
    ]
    found = chosen(pairs, rng)
    if found is None:
        return False
    a, b = found
    program.assigned[a], program.assigned[b] = program.assigned[b], program.assigned[a]
    return True


@fault(PROGRAM)
def assignment_lost(program: Program, rng: np.random.Generator) -> bool:
    leaf = chosen(program.assigned, rng)
    cell = next((v for v, cell in program.cells.items() if cell is leaf), None)
    if cell is None:
        return False
    program.assigned[leaf] = cell
    return True


@fault(PROGRAM)
def gradient_not_left(program: Program, rng: np.random.Generator) -> bool:
    leaf = chosen([leaf for leaf, v in program.gradients.items() if v is not None], rng)
    program.gradients[leaf] = None
    return True


@fault(PROGRAM)
def gradient_of_another(program: Program, rng: np.random.Generator) -> bool:
    gradients = program.gradients
    pairs = [(a, v) for a, u in gradients.items() for v in gradients.values() if None not in (u, v) and alike(program, u, v)]
    found = chosen(pairs, rng)
    if found is None:
        return False
    gradients[found[0]] = found[1]
    return True


@fault(PROGRAM)
def version_not_counted(program: Program, rng: np.random.Generator) -> bool:
    program.rebindings[chosen(program.rebindings, rng)] -= 1
    return True


@fault(PROGRAM)
def relu_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if isinstance(s, ForwardStep) and s.relu and not s.masked], rng)
    step = step or chosen([s for s in program.steps if isinstance(s, ForwardStep) and s.relu], rng)
    if step is None:
        return False
    step.relu = False
    return True


@fault(PROGRAM)
def bias_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if isinstance(s, ForwardStep) and len(s.inputs) == 3], rng)
    if step is None:
        return False
    bind = step.bind
    step.bind = lambda inputs, outputs, scratch: bind([*inputs[:2], np.zeros_like(inputs[2])], outputs, scratch)
    return True


@fault(PROGRAM)
def steps_exchanged(program: Program, rng: np.random.Generator) -> bool:
    """A step before the one that makes its input, in the memory of which something else lies."""
    steps = program.steps
    places = [k for k in range(1, len(steps)) if not set(steps[k].inputs).isdisjoint(steps[k - 1].outputs)]
    places = [k for k in places if not is_alias(program, steps[k]) and not is_alias(program, steps[k - 1])]
    k = chosen(places, rng)
    if k is None:
        return False
    first = steps[k - 1]
    bind, later = first.bind, steps[k].bind

    def bind_both(inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> Any:
        waiting[:] = bind(inputs, outputs, scratch)
        return [[lambda: None]]

    def bind_later(inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> Any:
        return [*later(inputs, outputs, scratch), *waiting]

    waiting: list[Any] = []
    first.bind, steps[k].bind = bind_both, bind_later
    return True


def overlapping(program: Program, plan: Plan) -> Iterator[tuple[int, int]]:
    """Pairs of values in blocks of their own, of which the second is made while the first is still needed."""
    made, last = {}, {}
    for k, step in enumerate(program.steps):
        for value in [*step.inputs, *step.outputs]:
            if value is not None:
                last[plan.root_of(value)] = k
        made.update({v: k for v in step.outputs})
    for one, block in plan.block.items():
        for other, second in plan.block.items():
            if block != second and made[one] < made[other] < last[one]:
                yield one, other


@fault(MEMORY)
def memory_used_again_too_early(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    pairs = [(a, b) for a, b in overlapping(program, plan) if plan.blocks[plan.block[a]] >= program.values[b].nbytes]
    found = chosen(pairs, rng)
    if found is None:
        return False
    one, other = found
    plan.block[other] = plan.block[one]
    return True


@fault(MEMORY)
def leaf_overwritten_while_needed(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    """A gradient that is made where its leaf's value lies."""
    places = [
        (value, plan.leaf_homes[leaf])
        for leaf, value in program.gradients.items()
        if leaf in plan.leaf_homes and value in plan.homes and program.values[value].shape == plan.leaf_homes[leaf].shown.shape
    ]
    found = chosen(places, rng)
    if found is None:
        return False
    plan.homes[found[0]] = found[1]
    return True


@fault(MEMORY)
def copy_at_the_end_forgotten(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    if not plan.copied:
        return False
    plan.copied.pop(rng.integers(len(plan.copied)))
    return True


@fault(MEMORY)
def result_in_memory_of_another(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    results = [plan.root_of(v) for v in program.results if plan.root_of(v) in plan.block]
    made = {v: k for k, step in enumerate(program.steps) for v in step.outputs}
    places = [(r, v) for r in results for v in plan.block if made[v] > made[r] and program.values[v].nbytes <= 1 << 20]
    found = chosen(places, rng)
    if found is None:
        return False
    result, value = found
    block = plan.block[result]
    plan.blocks[block] = max(plan.blocks[block], program.values[value].nbytes)
    plan.block[value] = block
    return True
