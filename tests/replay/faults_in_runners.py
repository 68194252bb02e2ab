"""Faults of kernels and threads: in what a runner has bound to its arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tensorgrad.kernels.threads import Call, in_turn
from tensorgrad.replay.convolution import ForwardStep
from tensorgrad.replay.convolution_back import BackwardStep
from tensorgrad.replay.program import PrimitiveStep, Step
from tensorgrad.replay.runner import Runner

from .faults_in_plans import RUNNER, chosen, fault


def wrapped(runner: Runner, index: int, after: Callable[[list[np.ndarray]], None]) -> bool:
    """Let something happen to the outputs of a step right after it."""
    step = runner.program.steps[index]
    bind = step.bind

    def bind_wrapped(inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> Any:
        return [*bind(inputs, outputs, scratch), [partial(after, outputs)]]

    step.bind = bind_wrapped
    runner._bind(None)
    return True


def computing(runner: Runner, kind: type = Step) -> list[int]:
    return [k for k, stages in enumerate(runner.stages) if stages and isinstance(runner.program.steps[k], kind)]


def recorded(runner: Runner, index: int) -> list[int]:
    """Which outputs of a step are recorded values of floats."""
    values = runner.program.values
    step = runner.program.steps[index]
    made = {v for node in step.nodes for v in node.outputs}
    return [k for k, v in enumerate(step.outputs) if v in made and values[v].dtype.startswith("float") and values[v].nbytes]


def spoiled(runner: Runner, rng: np.random.Generator, spoil: Callable[[np.ndarray], None], kind: type = Step) -> bool:
    index = chosen([k for k in computing(runner, kind) if recorded(runner, k)], rng)
    if index is None:
        return False
    which = chosen(recorded(runner, index), rng)
    return wrapped(runner, index, lambda outputs: spoil(outputs[which]))


@fault(RUNNER)
def gradient_dropped(runner: Runner, rng: np.random.Generator) -> bool:
    """One of the gradients of a fused convolution, as that of its bias."""
    return spoiled(runner, rng, lambda out: np.copyto(out, 0), BackwardStep)


@fault(RUNNER)
def one_element_wrong(runner: Runner, rng: np.random.Generator) -> bool:
    def spoil(out: np.ndarray) -> None:
        index = np.unravel_index(np.abs(out).argmax(), out.shape)
        out[index] = out[index] * 1.5 + 1e-6

    return spoiled(runner, rng, spoil)


@fault(RUNNER)
def first_row_wrong(runner: Runner, rng: np.random.Generator) -> bool:
    def spoil(out: np.ndarray) -> None:
        row = out[:1] if out.ndim else out
        np.multiply(row, 0.9, out=row)

    return spoiled(runner, rng, spoil)


@fault(RUNNER)
def a_thousandth_too_large(runner: Runner, rng: np.random.Generator) -> bool:
    return spoiled(runner, rng, lambda out: np.multiply(out, 1.001, out=out))


@fault(RUNNER)
def sign_turned(runner: Runner, rng: np.random.Generator) -> bool:
    return spoiled(runner, rng, lambda out: np.negative(out, out=out))


@fault(RUNNER)
def wrong_winner(runner: Runner, rng: np.random.Generator) -> bool:
    """In each block another place is said to have won."""
    steps = [k for k in computing(runner, ForwardStep) if runner.program.steps[k].masked]
    index = chosen([k for k in steps if runner.program.steps[k].where.places > 1], rng)
    if index is None:
        return False
    return wrapped(runner, index, lambda outputs: np.copyto(outputs[1], np.roll(outputs[1], 1, axis=0)))


@fault(RUNNER)
def mask_turned_around(runner: Runner, rng: np.random.Generator) -> bool:
    index = chosen([k for k in computing(runner, ForwardStep) if runner.program.steps[k].masked], rng)
    if index is None:
        return False
    part = (slice(None),) * 2 + (slice(0, 1),)
    return wrapped(runner, index, lambda outputs: np.logical_not(outputs[1][part], out=outputs[1][part]))


@fault(RUNNER)
def scratch_shared_by_two_threads(runner: Runner, rng: np.random.Generator) -> bool:
    steps = runner.program.steps
    uses = [
        k
        for k, stages in enumerate(runner.stages)
        if any(len(stage) > 1 and all(len(getattr(s, "calls", ())) > 1 for s in stage) for stage in stages)
        and steps[k].scratch_bytes(4)
    ]
    index = chosen(uses, rng)
    if index is None:
        return False
    bind = steps[index].bind
    steps[index].bind = lambda inputs, outputs, scratch: bind(inputs, outputs, [scratch[0], scratch[0]])
    runner._bind(None)
    return True


def changed_stage(runner: Runner, rng: np.random.Generator, change: Callable[[list[Call]], list[Call]]) -> bool:
    index = chosen([k for k, stages in enumerate(runner.stages) if any(len(stage) > 1 for stage in stages)], rng)
    if index is None:
        return False
    step = runner.program.steps[index]
    bind = step.bind
    step.bind = lambda *arrays: [change(list(stage)) if len(stage) > 1 else stage for stage in bind(*arrays)]
    runner._bind(None)
    return True


@fault(RUNNER)
def second_share_left_out(runner: Runner, rng: np.random.Generator) -> bool:
    return changed_stage(runner, rng, lambda stage: stage[:1])


@fault(RUNNER)
def first_share_left_out(runner: Runner, rng: np.random.Generator) -> bool:
    return changed_stage(runner, rng, lambda stage: stage[1:])


@fault(RUNNER)
def last_call_of_a_share_left_out(runner: Runner, rng: np.random.Generator) -> bool:
    return changed_stage(runner, rng, lambda stage: [stage[0], in_turn(list(getattr(stage[1], "calls", [1]))[:-1])])


@fault(RUNNER)
def argument_not_read(runner: Runner, rng: np.random.Generator) -> bool:
    read, first = runner.read, []

    def stale(arguments: list[np.ndarray]) -> None:
        read([np.zeros_like(a) for a in arguments])

    runner.read = stale
    return not first


@fault(RUNNER)
def small_leaf_not_read(runner: Runner, rng: np.random.Generator) -> bool:
    value = chosen([v for v in runner.program.cells if v in runner._slots and runner.program.values[v].dtype == "float32"], rng)
    if value is None:
        return False
    read, slot = runner.read, runner._slots[value]

    def stale(arguments: list[np.ndarray]) -> None:
        read(arguments)
        slot[...] += 0.25

    runner.read = stale
    return True


@fault(RUNNER)
def random_numbers_drawn_twice(runner: Runner, rng: np.random.Generator) -> bool:
    draws = [k for k, s in enumerate(runner.program.steps) if isinstance(s, PrimitiveStep) and s.has_effect]
    index = chosen(draws, rng)
    if index is None:
        return False
    step = runner.program.steps[index]
    bind = step.bind
    step.bind = lambda *arrays: [*bind(*arrays), *bind(*arrays)]
    runner._bind(None)
    return True


@fault(RUNNER)
def columns_in_another_order(runner: Runner, rng: np.random.Generator) -> bool:
    def spoil(out: np.ndarray) -> None:
        out[...] = np.roll(out, 1, axis=-1)

    def columns(index: int) -> list[int]:
        """The outputs of a step with several columns."""
        outputs = runner.program.steps[index].outputs
        return [k for k in recorded(runner, index) if runner.program.values[outputs[k]].shape[-1:] > (1,)]

    index = chosen([k for k in computing(runner) if columns(k)], rng)
    if index is None:
        return False
    which = chosen(columns(index), rng)
    return wrapped(runner, index, lambda outputs: spoil(outputs[which]))
