"""Steps for runs of elementwise primitives: all of them on one piece after another, which stays in cache, on two threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels.threads import Call, halves, in_turn
from . import work
from .homes import memory_order
from .program import PrimitiveStep, Program, Stage, Step


class ElementwiseStep(Step):
    """Elementwise primitives on arrays of one shape, one after the other in the program.

    Values that nobody else needs never take more memory than a piece.
    """

    def __init__(self, members: list[PrimitiveStep], outputs: list[int], program: Program) -> None:
        made = [v for step in members for v in step.outputs]
        inputs = list(dict.fromkeys(v for step in members for v in step.inputs if v is not None and v not in made))
        super().__init__(" + ".join(step.name for step in members), inputs, outputs, [n for s in members for n in s.nodes])
        self.members = members
        self.inside = [v for v in made if v not in outputs]
        main = program.values[members[0].outputs[0]]
        self._shape = main.shape
        self._steps = max([1, *(main.shape[axis] for axis in memory_order(main)[:1])])  # along the axis that is cut
        self._dtypes = {v: np.dtype(program.values[v].dtype) for v in self.inside}
        self._later = {v for step in members[1:] for v in step.inputs}

    @property
    def in_place(self) -> frozenset[int]:
        return frozenset(v for v in self.members[0].overwritable(self.updates) if v not in self._later)

    def scratch_bytes(self, itemsize: int) -> int:
        return sum(self._room(dtype) for dtype in self._dtypes.values())

    def _room(self, dtype: np.dtype) -> int:
        """Bytes for a piece, of which one step along the axis that is cut is the least."""
        length = math.prod(self._shape)
        return min(max(work.PIECE, length // self._steps), length) * dtype.itemsize // 64 * 64 + 64

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        arrays = dict(zip([*self.inputs, *self.outputs], [*inputs, *outputs], strict=True))
        main = next(a for a in outputs if a.shape == self._shape) if outputs else inputs[0]
        cut = Cut(main, arrays)
        jobs = halves(cut.pieces) if main.size >= work.WORTHWHILE else [cut.pieces]
        return [
            [
                in_turn([w for piece in part for w in self._on(cut, piece, space)])
                for part, space in zip(jobs, scratch, strict=False)
            ]
        ]

    def _on(self, cut: Cut, piece: slice, space: np.ndarray) -> list[Call]:
        """All members on one piece."""
        parts = {v: cut.part(v, piece) for v in [*self.inputs, *self.outputs]}
        shape, begin = cut.shape(piece), 0
        for value, dtype in self._dtypes.items():
            nbytes = math.prod(shape) * dtype.itemsize
            parts[value] = space[begin : begin + nbytes].view(dtype).reshape(shape)
            begin += self._room(dtype)
        calls: list[Call] = []
        for s in self.members:
            calls += s.calls([None if v is None else parts[v] for v in s.inputs], [parts[v] for v in s.outputs], s.attributes)
        return calls


class Cut:
    """Arrays of one shape, and what broadcasts to it, cut into pieces along memory."""

    def __init__(self, main: np.ndarray, arrays: dict[int, Any]) -> None:
        order = memory_order(main)
        whole = {v: a for v, a in arrays.items() if isinstance(a, np.ndarray) and a.ndim}
        self._as_given = {v: a for v, a in arrays.items() if v not in whole}
        flat = all(a.shape == main.shape and a.transpose(order).flags.c_contiguous for a in whole.values())
        if flat:
            self._cut = {v: a.transpose(order).reshape(-1) for v, a in whole.items()}
        else:
            self._cut = {
                v: np.broadcast_to(a, main.shape).transpose(order) if a.shape != main.shape else a.transpose(order)
                for v, a in whole.items()
            }
        stored = main.transpose(order).shape
        self._stored = (main.size,) if flat and main.ndim else stored
        length = self._stored[0] if self._stored else 1
        step = max(1, work.PIECE * length // max(main.size, 1))
        self.pieces = (
            [slice(k, min(k + step, length)) for k in range(0, length, step)] if main.ndim and main.size else [slice(0, 1)]
        )

    def part(self, value: int, piece: slice) -> Any:
        return self._as_given[value] if value in self._as_given else self._cut[value][piece]

    def shape(self, piece: slice) -> tuple[int, ...]:
        return (piece.stop - piece.start, *self._stored[1:]) if self._stored else ()


def fuse_elementwise(program: Program) -> None:
    """Put elementwise primitives of one shape that follow each other into one step, and cut large ones into pieces."""
    users, kept = program.users(), program.kept()
    steps: list[Step] = []
    for run in _runs(program):
        size = program.values[run[0].outputs[0]].nbytes
        if not _is_elementwise(run[0]) or size < work.WORTHWHILE:
            steps += run
            continue
        inside = set(map(id, run))
        made = [v for step in run for v in step.outputs]
        outer = [v for v in made if v in kept or any(id(s) not in inside for s in users.get(v, []))]
        steps.append(ElementwiseStep(run, outer, program))
    program.steps = steps


def _runs(program: Program) -> list[list[Any]]:
    """The steps in order; those that can be fused stand together."""
    runs: list[list[Step]] = []
    for step in program.steps:
        if (
            runs
            and _is_elementwise(step)
            and _is_elementwise(runs[-1][0])
            and _shapes(program, step) == _shapes(program, runs[-1][0])
        ):
            runs[-1].append(step)
        else:
            runs.append([step])
    return runs


def _is_elementwise(step: Step) -> bool:
    return isinstance(step, PrimitiveStep) and step.primitive.elementwise and not step.has_effect and not step.primitive.view


def _shapes(program: Program, step: Step) -> set[Any]:
    return {(program.values[v].shape, memory_order(program.values[v])) for v in step.outputs}
