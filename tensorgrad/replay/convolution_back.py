"""The step for the way back through a fused convolution, on two threads."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..graph import GraphNode
from ..kernels import fused_winograd
from ..kernels.fused_convolution import Frame, Geometry, Gradients, Worker, backward, turn
from ..kernels.threads import in_turn
from .convolution import correlation, framed_image, row_major
from .program import Program, Stage, Step
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
        frame = where.frame_shape()
        if self.framed:
            self.outputs.append(program.new_value(frame, dtype))
        if self.back is not None:
            self.outputs.append(program.new_value(self.back.frame_shape(), dtype))
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
        shares = list(zip(where.shares(x.itemsize), scratch, strict=False))

        cotangent, sums = None, []
        if self.back is not None:
            cotangent = Frame(own[0], self.back.vertical, self.back.horizontal)
            covered = all(
                n * k == axis.count for n, k, axis in zip((where.rows, where.columns), where.block, where.axes, strict=True)
            )
            stages.append([cotangent.clear if covered else partial(cotangent.image.fill, 0)])
        elif "x" in self.wanted:
            sums = [Frame(memory, *where.axes) for memory in own[: len(shares)]]
            copies, w = row_major(w)
            stages += copies
        stored, won = g.transpose(1, 2, 3, 0), rest[0] if rest else None
        if isinstance(where, fused_winograd.Grid):
            pieces = [fused_winograd.PieceWorker(where, jobs, image, memory) for jobs, memory in shares]
            gradients = [fused_winograd.Gradients(where, w.dtype) for _ in shares]
            inside = None if cotangent is None else cotangent.inside
            halves_of_work = [
                in_turn(fused_winograd.backward(worker, stored, won, mine, inside))
                for worker, mine in zip(pieces, gradients, strict=True)
            ]
        else:
            workers = [Worker(where, jobs, image, memory) for jobs, memory in shares]
            gradients = [Gradients(w, where) for _ in shares]
            blocks = None if cotangent is None else cotangent.blocks(where.rows, where.columns, where.block)
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
        turned = partial(turn, w, back.groups, weights)
        return [[turned], *correlation(back, cotangent.image, weights, scratch, None, False, None, out)]


def _correlation_back(where: Geometry) -> Geometry | None:
    """The correlation that makes the images' cotangent from the output's with the filters turned around.

    There is one for a stride of 1 and not too much padding. Where the images have many more numbers than the output, or none
    exists, the cotangent is scattered instead. To add a number to its place takes about twice as long as to copy it.
    """
    down, across = (axis.reversed() for axis in where.axes)
    gathered = math.prod(axis.size for axis in where.axes) * where.filters
    scattered = math.prod(axis.count for axis in where.axes) * where.channels
    if any(axis.stride != 1 for axis in where.axes) or min(down.padding, across.padding) < 0:
        return None
    by_tiles = isinstance(where, fused_winograd.Grid)
    if gathered > 2 * scattered and not by_tiles:
        return None
    kernel = (where.channels, where.filters // where.groups, down.kernel, across.kernel)
    return type(where)((where.batch, where.filters), kernel, down, across, where.groups, (1, 1))


def _add_into(out: np.ndarray, one: np.ndarray, other: np.ndarray) -> None:
    np.add(one, other, out=out)


def _add_up(gradients: list[Gradients], made: dict[str, np.ndarray]) -> None:
    """The gradients of weights and bias from what each worker found."""
    for name, array in made.items():
        if name != "x":
            parts = [getattr(part, name).reshape(array.shape) for part in gradients]
            np.copyto(array, parts[0]) if len(parts) == 1 else _add_into(array, *parts)
