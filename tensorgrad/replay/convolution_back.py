"""The step for the way back through a fused convolution, on two threads."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..graph import GraphNode
from ..kernels.fused_convolution import Frame, Geometry, Gradients, Worker, backward, forward, turn
from ..kernels.windows import Axis
from .convolution import framed_image
from .program import Program, Stage, Step, in_turn
from .work import in_halves


class BackwardStep(Step):
    """From the cotangent of a ForwardStep's result to those of weights, bias and images.

    Takes g, x, w, and perhaps `won`; makes the gradients named in `wanted`, and further arrays for its own use.
    """

    multiplies = True

    def __init__(
        self, name: str, inputs: list[int], outputs: list[int], nodes: list[GraphNode], where: Geometry, **form: Any
    ) -> None:
        super().__init__(name, inputs, outputs, nodes)
        self.where = where
        self.framed: bool = form["framed"]
        self.wanted: list[str] = form["wanted"]
        self.back = _correlation_back(where) if "x" in self.wanted else None

    def add_own_values(self, program: Program, dtype: str) -> None:
        """Values for its own use, behind those that it makes: a frame for x, and room for the cotangent or for sums of
        the images'."""
        where = self.where
        frame = Frame.shape(where.channels, where.vertical, where.horizontal, where.batch)
        if self.framed:
            self.outputs.append(program.new_value(frame, dtype))
        if self.back is not None:
            shape = Frame.shape(where.filters, self.back.vertical, self.back.horizontal, where.batch)
            self.outputs.append(program.new_value(shape, dtype))
        elif "x" in self.wanted:
            self.outputs += [program.new_value(frame, dtype) for _ in range(2)]

    def scratch_bytes(self, itemsize: int) -> int:
        return max(self.where.scratch_bytes(itemsize), 0 if self.back is None else self.back.scratch_bytes(itemsize))

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        g, x, w, *rest = inputs
        where = self.where
        made = dict(zip(self.wanted, outputs, strict=False))
        own = outputs[len(self.wanted) :]
        stages, image = framed_image(x, where, own.pop(0) if self.framed else None)
        workers = [Worker(where, part, image, m) for part, m in zip(where.shares(x.itemsize), scratch, strict=False)]
        gradients = [Gradients(w, where) for _ in workers]

        cotangent, sums = None, []
        if self.back is not None:
            cotangent = Frame(own[0], self.back.vertical, self.back.horizontal)
            covered = all(
                n * k == axis.count for n, k, axis in zip((where.rows, where.columns), where.block, where.axes, strict=True)
            )
            stages.append([cotangent.clear if covered else partial(cotangent.image.fill, 0)])
        elif "x" in self.wanted:
            sums = [Frame(memory, *where.axes) for memory in own[: len(workers)]]
        blocks = None if cotangent is None else cotangent.blocks(where.rows, where.columns, where.block)
        stored, won = g.transpose(1, 2, 3, 0), rest[0] if rest else None
        halves_of_work = [
            in_turn(backward(worker, stored, won, gradients[k], blocks, (w, sums[k].image) if sums else None))
            for k, worker in enumerate(workers)
        ]
        stages += [halves_of_work, [partial(_add_up, gradients, made)]]
        if cotangent is not None:
            stages += self._gathered(w, cotangent, made["x"].transpose(1, 2, 3, 0), scratch)
        elif sums:
            images, parts = made["x"].transpose(1, 2, 3, 0), [frame.inside for frame in sums]
            stages.append(in_halves(np.copyto, images, *parts) if len(parts) == 1 else in_halves(_add_into, images, *parts))
        return stages

    def _gathered(self, w: np.ndarray, cotangent: Frame, out: np.ndarray, scratch: list[np.ndarray]) -> list[Stage]:
        """The images' cotangent as a correlation of the output's."""
        back = self.back
        weights = np.empty(back.w_shape, w.dtype)
        jobs = back.shares(w.itemsize)
        workers = [Worker(back, part, cotangent.image, memory) for part, memory in zip(jobs, scratch, strict=False)]
        turned = partial(turn, w, back.groups, weights)
        return [[turned], [in_turn(forward(worker, weights, None, False, None, out)) for worker in workers]]


def _correlation_back(where: Geometry) -> Geometry | None:
    """The correlation that makes the images' cotangent from the output's with the filters turned around.

    There is one for a stride of 1 and not too much padding. Where the images have many more numbers than the output, or none
    exists, the cotangent is scattered instead. To add a number to its place takes about twice as long as to copy it.
    """
    down, across = (_reversed(axis) for axis in where.axes)
    gathered = math.prod(axis.size for axis in where.axes) * where.filters
    scattered = math.prod(axis.count for axis in where.axes) * where.channels
    if any(axis.stride != 1 for axis in where.axes) or min(down.padding, across.padding) < 0 or gathered > 2 * scattered:
        return None
    kernel = (where.channels, where.filters // where.groups, down.kernel, across.kernel)
    return Geometry((where.batch, where.filters), kernel, down, across, where.groups, (1, 1))


def _reversed(axis: Axis) -> Axis:
    """The windows of the output's cotangent that go into each place of an image, for a stride of 1."""
    return Axis(axis.count, axis.kernel, 1, axis.dilation * (axis.kernel - 1) - axis.padding, axis.dilation, axis.size)


def _add_into(out: np.ndarray, one: np.ndarray, other: np.ndarray) -> None:
    np.add(one, other, out=out)


def _add_up(gradients: list[Gradients], made: dict[str, np.ndarray]) -> None:
    """The gradients of weights and bias from what each worker found."""
    for name, array in made.items():
        if name != "x":
            parts = [getattr(part, name).reshape(array.shape) for part in gradients]
            np.copyto(array, parts[0]) if len(parts) == 1 else _add_into(array, *parts)
