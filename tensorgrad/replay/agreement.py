"""Comparing a replay with the step itself: the state before and after, and what both make of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor
from .program import PrimitiveStep, Program
from .refusal import ReplayError

TOLERANCE = {"float16": 1e-2, "float32": 1e-3, "float64": 1e-8}
"""How far a replay may be from the step itself, relative to the norm: far above rounding, far below a mistake."""


class Snapshot:
    """Copies of everything that a step may change: leaves, their gradients, generators."""

    def __init__(self, program: Program) -> None:
        self.values = {leaf: leaf._data.copy() for leaf in program.assigned}
        self.versions = {leaf: leaf.version for leaf in program.assigned}
        gradients = {leaf: leaf._grad for leaf in program.gradients}
        self.gradients = {leaf: None if g is None else Tensor.wrap(g._data.copy()) for leaf, g in gradients.items()}
        self.generators = [(g, g.bit_generator.state) for g in _generators(program)]

    def restore(self) -> None:
        for leaf, value in self.values.items():
            leaf._data = value.copy()
            leaf.version = self.versions[leaf]
        for leaf, gradient in self.gradients.items():
            leaf._grad = gradient
        for generator, state in self.generators:
            generator.bit_generator.state = state


def _generators(program: Program) -> list[np.random.Generator]:
    steps = [step for step in program.steps if isinstance(step, PrimitiveStep)]
    found = [x for step in steps for x in step.attributes.values() if isinstance(x, np.random.Generator)]
    return list({id(generator): generator for generator in found}.values())


def _tolerance(program: Program) -> float:
    """That of the coarsest floats in a program: what is computed of them has their errors, whatever its own dtype."""
    return max((TOLERANCE[v.dtype] for v in program.values if v.dtype in TOLERANCE), default=0.0)


def _rounding(program: Program, tolerance: float) -> set[int]:
    """The gradients that are nothing but rounding, and what is made of them in their shape: no two ways to compute them agree.

    That of a bias in front of a batch norm is 0, but its sums are not quite; and of these Adam makes steps as large as any.
    """
    values = program.values
    gradients = [v for v in values if v.kind == "gradient" and v.norm is not None]
    largest = max((v.norm for v in gradients), default=0.0)
    found = {v.id for v in gradients if 0 < v.norm <= tolerance / 100 * largest}
    for node in [node for step in program.steps for node in step.nodes]:
        shapes = {values[v].shape for v in node.inputs if v in found}
        found.update(v for v in node.outputs if values[v].shape in shapes)
    return found


def require_same_outcome(
    program: Program, replayed: Snapshot, own: Snapshot, results: list[Tensor], copies: list[Tensor]
) -> None:
    """Refuse a replay that led elsewhere than the step itself did."""
    tolerance = _tolerance(program)
    rounding = _rounding(program, tolerance)
    pairs = enumerate(zip(results, copies, strict=True))
    differing = [f"result {k}" for k, (a, b) in pairs if not close(a._data, b._data, tolerance)]
    for leaf, value in own.values.items():
        if program.assigned[leaf] not in rounding and not close(replayed.values[leaf], value, tolerance):
            differing.append(f"the value of {_called(leaf)}")
    for leaf, b in own.gradients.items():
        a = replayed.gradients[leaf]
        both = a is not None and b is not None
        alike = both and (program.gradients[leaf] in rounding or close(a._data, b._data, tolerance))
        if not alike and a is not b:
            differing.append(f"the gradient of {_called(leaf)}")
    for (generator, state), (_, other) in zip(replayed.generators, own.generators, strict=True):
        if not _same_state(state, other):
            differing.append(f"the state of {generator}")
    if differing:
        raise ReplayError(
            f"a replay came to something else than the step itself: {', '.join(differing)}. Python state that the recording "
            "does not see must have changed; pass it as an argument, or keep it in a tensor that tg.assign updates. "
            "The step's own outcome stands."
        )


def _called(leaf: Tensor) -> str:
    return leaf.name or f"a tensor of shape {leaf.shape}"


def close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays are the same but for rounding, measured by the norm of their difference."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f" or not a.size:
        return np.array_equal(a, b)
    x, y = (np.asarray(array, np.float64).ravel() for array in (a, b))
    finite = np.isfinite(y)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return False
    return float(np.linalg.norm(x[finite] - y[finite])) <= tolerance * float(np.linalg.norm(y[finite])) + 1e-30


def _same_state(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same_state(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))
