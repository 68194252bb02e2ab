"""The check of a replay against the function itself, step by step.

A convolution computed in another order differs by rounding; somewhere that lets a relu's mask or a pooling's maximum fall
the other way, and one of those among 100,000 moves a gradient by a hundredth. So the outcomes of a replay and of the function
say little. Instead every step of the plan is given the inputs that it had when the function ran, and must come to what the
function's primitives did, to rounding; then its results are replaced by theirs. It runs in the buffers of the plan, so that a
value overwritten before its last use is found exactly.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..kernels.threads import blas_on_one_thread
from ..tensor import Tensor
from .elementwise import ElementwiseStep
from .ending import calls_of
from .program import PrimitiveStep, Stage, Step
from .randomness import same_random_state
from .record import Recording
from .refusal import INTERNAL
from .rounding import close, close_but_for_cancellation, close_but_for_ties, moved, same, tolerance_of
from .runner import Runner
from .undo import Snapshot


class DisagreementError(Exception):
    """A replay does something else than the function did. `step` is where, if it is known."""

    def __init__(self, reason: str, step: Step | None = None) -> None:
        super().__init__(reason)
        self.step = step

    @property
    def in_users_primitive(self) -> bool:
        """Whether it is a kernel of the user's own that disagrees with itself."""
        if type(self.step) is not PrimitiveStep:
            return False
        return self.step.primitive.kernel.__module__.partition(".")[0] not in INTERNAL


def check(runner: Runner, recording: Recording, arguments: list[np.ndarray], outcome: Snapshot) -> None:
    """Replay, and raise `DisagreementError` where a step leads elsewhere than the recorded run of the function did.

    Args:
        runner: the replay. The state must be as it was before the function ran; afterwards it is as after a replay.
        recording: one run of the function, with its arrays.
        arguments: what it was called with.
        outcome: the state that it left.
    """
    with np.errstate(all="ignore"):  # what there is to say of overflows, the function itself has said
        _Check(runner, recording).run(arguments, outcome)


class _Check:
    def __init__(self, runner: Runner, recording: Recording) -> None:
        self.runner, self.program = runner, runner.program
        self.values = recording.arrays
        self.primitives = recording.primitives
        self.makers = {v: step for step in self.program.steps for v in step.outputs}
        self.rng = np.random.default_rng(0)

    def run(self, arguments: list[np.ndarray], outcome: Snapshot) -> None:
        program, runner = self.program, self.runner
        self._require_constants()
        runner.read(arguments)
        blas_on_one_thread(self._run_steps)
        for number, value in enumerate(program.results):
            self._require_unchanged(value, f"result {number}")
        runner.finish()
        self._require_outcome(outcome)

    def _run_steps(self) -> None:
        for steps, stages in self.runner.groups:
            for step in steps:
                self._require_inputs(step)
            self._spoil_outputs(steps)
            for stage in stages:
                alternately(stage)
            for step in steps:
                self._require_outputs(step)

    # -- before a step: its inputs -------------------------------------------------------------------------------------

    def _require_constants(self) -> None:
        for value, constant in self.program.constants.items():
            expected = self.values.get(value)
            if expected is None:  # a number, which the agreement of recordings has compared
                continue
            folded = value not in self.program.live and value in self.makers
            tolerance = tolerance_of([str(expected.dtype)]) if folded else 0.0
            if not close(np.asarray(constant), expected, tolerance):
                raise DisagreementError(f"a constant of shape {expected.shape} is another one than when it was recorded")

    def _require_inputs(self, step: Step) -> None:
        for value in step.inputs:
            if value is not None and value not in self.program.constants:
                self._require_unchanged(value, f"an input of {step.name}")

    def _require_unchanged(self, value: int, what: str) -> None:
        """A value must lie where it was put, with all its bits."""
        expected = self.values.get(value)
        if expected is None:
            return
        found = self.runner.arrays[value]
        if not same(found, expected):
            made = f", made by {self.makers[value].name}," if value in self.makers else ""
            raise DisagreementError(f"{what}{made} of shape {expected.shape} is not what the function had there")

    def _spoil_outputs(self, steps: list[Step]) -> None:
        """What lies in memory may be right by chance, left by a run before: what a step does not write shall be wrong."""
        arrays = self.runner.arrays
        inputs = [arrays[v] for step in steps for v in step.inputs if v is not None and isinstance(arrays[v], np.ndarray)]
        for out in [arrays[v] for step in steps for v in step.outputs]:
            if out.size and not any(np.may_share_memory(out, array) for array in inputs):
                out[...] = True if out.dtype == np.bool_ else 90

    # -- after a step: its outputs -------------------------------------------------------------------------------------

    def _require_outputs(self, step: Step) -> None:
        arrays = self.runner.arrays
        problem = step.check_own_values(self.values, arrays)
        if problem:
            raise DisagreementError(f"{step.name}: {problem}", step)
        for value in step.outputs:
            expected = self.values.get(value)
            if expected is None:
                continue  # for the step's own use
            found = arrays[value]
            if not self._agrees(step, value, found, expected):
                given = [self.program.values[v].shape for v in step.inputs if v is not None]
                raise DisagreementError(
                    f"{step.name} of inputs of shapes {given} made another result of shape {expected.shape} {expected.dtype} "
                    f"than its primitives did of the same inputs: {_difference(found, expected)}",
                    step,
                )
            if found.size:
                np.copyto(found, expected)

    def _agrees(self, step: Step, value: int, found: np.ndarray, expected: np.ndarray) -> bool:
        dtypes = {self.program.values[v].dtype for v in [*step.inputs, *step.outputs] if v is not None}
        tolerance = tolerance_of(dtypes)
        if close(found, expected, tolerance):
            return True
        if found.shape != expected.shape or found.dtype != expected.dtype or type(step) is PrimitiveStep:
            return False
        again = partial(self._of_moved_inputs, step, value)
        if isinstance(step, ElementwiseStep):
            return close_but_for_ties(found, expected, again, tolerance)
        return expected.dtype.kind == "f" and close_but_for_cancellation(found, expected, again, tolerance)

    def _of_moved_inputs(self, step: Step, value: int) -> np.ndarray:
        """What a step's primitives make of its inputs with other roundings."""
        values: dict[int, Any] = {v: moved(self.values[v], self.rng) for v in step.inputs if v in self.values}
        for node in step.nodes:
            inputs = [None if v is None else self._value(v, values) for v in node.inputs]
            made = self.primitives[node.id].kernel(*inputs, **node.attributes)
            values.update(zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True))
        return np.asarray(values[value])

    def _value(self, value: int, moved: dict[int, Any]) -> Any:
        if value in moved:
            return moved[value]
        return self.values[value] if value in self.values else self.program.values[value].number

    # -- in the end ----------------------------------------------------------------------------------------------------

    def _require_outcome(self, outcome: Snapshot) -> None:
        """What the replay leaves must be what the function left, to the last bit: all steps got to their results."""
        for leaf, value in outcome.values.items():
            if not same(leaf._data, value):
                raise DisagreementError(f"the value of {called(leaf)} is not what the function assigned")
            if leaf.version != outcome.versions[leaf]:
                raise DisagreementError(f"{called(leaf)} has version {leaf.version} instead of {outcome.versions[leaf]}")
        for leaf, gradient in outcome.gradients.items():
            found = leaf._grad
            if (found is None) != (gradient is None) or (found is not None and not same(found._data, gradient._data)):
                raise DisagreementError(f"the gradient of {called(leaf)} is not what the function left")
        now = Snapshot(self.program, copies=False)
        for (source, state), (_, expected) in zip(now.sources, outcome.sources, strict=True):
            if not same_random_state(state, expected):
                raise DisagreementError(f"{source} has drawn other random numbers than the function did")


def alternately(stage: Stage) -> None:
    """Do the shares of a stage by turns, a call of one and a call of the other, as if threads met at every moment: shares that
    write into each other's memory come to something else."""
    waiting = [calls_of(share)[::-1] for share in stage]
    while any(waiting):
        for calls in waiting:
            if calls:
                calls.pop()()


def _difference(found: np.ndarray, expected: np.ndarray) -> str:
    if found.shape != expected.shape:
        return f"its shape is {found.shape}"
    if expected.dtype.kind != "f":
        return f"{np.count_nonzero(found != expected)} of {expected.size} elements differ"
    largest = float(np.max(np.abs(np.subtract(found, expected, dtype=np.float64)), initial=0.0))
    return f"they differ by up to {largest:.3g}, where the largest is {float(np.max(np.abs(expected), initial=0.0)):.3g}"


def called(leaf: Tensor) -> str:
    return leaf.name or f"a tensor of shape {leaf.shape}"
