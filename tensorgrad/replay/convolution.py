"""Steps for a convolution fused with what follows it, on two threads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..graph import GraphNode
from ..kernels import correlate
from ..kernels.fused_convolution import Frame, Geometry, Gradients, Worker, backward, forward, turn
from ..kernels.windows import Axis
from .program import Stage, Step, Work
from .work import halves, in_halves, in_turn


def reversed_axis(axis: Axis) -> Axis:
    """The windows of the output's cotangent that go into each place of an image, for a stride of 1."""
    return Axis(axis.count, axis.kernel, 1, axis.dilation * (axis.kernel - 1) - axis.padding, axis.dilation, axis.size)


class ForwardStep(Step):
    """conv2d, its bias, relu and max_pool2d.

    Takes x, w and perhaps b; makes the result, perhaps what the way back needs to know (`won`), and perhaps a frame for x.
    """

    def __init__(
        self, name: str, x: int, w: int, b: int | None, outputs: list[int], nodes: list[GraphNode], where: Geometry, **form: Any
    ) -> None:
        super().__init__(name, [x, w] if b is None else [x, w, b], outputs, nodes)
        self.where = where
        self.relu: bool = form["relu"]
        self.masked: bool = form["masked"]
        self.framed: bool = form["framed"]

    def scratch_bytes(self, itemsize: int) -> int:
        return self.where.scratch_bytes(itemsize)

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        x, w, b = (*inputs, None)[:3]
        result, *rest = outputs
        won = rest.pop(0) if self.masked else None
        stages, image = framed_image(x, self.where, rest[0] if self.framed else None)
        target = result.transpose(1, 2, 3, 0)
        jobs = halves(self.where.jobs(x.itemsize))
        workers = [Worker(self.where, part, image, memory) for part, memory in zip(jobs, scratch, strict=False)]
        stages.append([in_turn(forward(k, w, b, self.relu, won, target)) for k in workers])
        return stages


class BackwardStep(Step):
    """From the cotangent of a ForwardStep's result to those of weights, bias and images.

    Takes g, x, w, and perhaps `won`; makes the gradients named in `wanted`, and further arrays for its own use.
    """

    def __init__(
        self, name: str, inputs: list[int], outputs: list[int], nodes: list[GraphNode], where: Geometry, **form: Any
    ) -> None:
        super().__init__(name, inputs, outputs, nodes)
        self.where = where
        self.framed: bool = form["framed"]
        self.wanted: list[str] = form["wanted"]

    @property
    def back(self) -> Geometry | None:
        """The correlation that makes the images' cotangent, for a stride of 1 and not too much padding."""
        where = self.where
        down, across = reversed_axis(where.vertical), reversed_axis(where.horizontal)
        if where.vertical.stride != 1 or where.horizontal.stride != 1 or down.padding < 0 or across.padding < 0:
            return None
        shape = (where.batch, where.filters)
        kernel = (where.channels, where.filters // where.groups, where.vertical.kernel, where.horizontal.kernel)
        return Geometry(shape, kernel, down, across, where.groups, (1, 1))

    def scratch_bytes(self, itemsize: int) -> int:
        back = self.back if "x" in self.wanted else None
        return max(self.where.scratch_bytes(itemsize), 0 if back is None else back.scratch_bytes(itemsize))

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        g, x, w, *rest = inputs
        won = rest[0] if rest else None
        made = dict(zip(self.wanted, outputs, strict=False))
        own = outputs[len(self.wanted) :]
        where = self.where
        stages, image = framed_image(x, where, own.pop(0) if self.framed else None)
        cotangent = frame = None
        if "x" in self.wanted:
            back = self.back
            frame = Frame(
                own.pop(0), *((back.vertical, back.horizontal) if back else (_bare(where.vertical), _bare(where.horizontal)))
            )
            cotangent = frame.blocks(where.rows, where.columns, where.block)
            covers = (
                where.rows * where.block[0] == where.vertical.count and where.columns * where.block[1] == where.horizontal.count
            )
            stages.append([frame.clear if covers else lambda: frame.image.fill(0)])
        stored = g.transpose(1, 2, 3, 0)
        jobs = halves(where.jobs(x.itemsize))
        workers = [Worker(where, part, image, memory) for part, memory in zip(jobs, scratch, strict=False)]
        gradients = [Gradients(w, where) for _ in workers]
        calls = [backward(k, stored, won, sums, cotangent) for k, sums in zip(workers, gradients, strict=True)]
        stages.append([in_turn(part) for part in calls])
        stages.append([lambda: _add_up(gradients, made)])
        if frame is not None:
            stages += self._images_stages(w, frame, made["x"], scratch)
        return stages

    def _images_stages(self, w: np.ndarray, frame: Frame, out: np.ndarray, scratch: list[np.ndarray]) -> list[Stage]:
        where, back = self.where, self.back
        if back is None:
            y = frame.image.transpose(3, 0, 1, 2)
            return [[lambda: correlate.input_grad(y, w, out.shape, where.vertical, where.horizontal, where.groups, out=out)]]
        target = out.transpose(1, 2, 3, 0)
        weights = np.empty(back.w_shape, w.dtype)
        workers = [
            Worker(back, part, frame.image, memory)
            for part, memory in zip(halves(back.jobs(w.itemsize)), scratch, strict=False)
        ]
        return [
            [partial(turn, w, where.groups, weights)],
            [in_turn(forward(k, weights, None, False, None, target)) for k in workers],
        ]


def _bare(axis: Axis) -> Axis:
    """An axis as long as the output, without padding."""
    return axis._replace(size=axis.count, padding=0)


def _add_up(gradients: list[Gradients], made: dict[str, np.ndarray]) -> None:
    for name, array in made.items():
        if name != "x":
            parts = [getattr(part, name).reshape(array.shape) for part in gradients]
            np.copyto(array, parts[0]) if len(parts) == 1 else np.add(*parts, out=array)


def framed_image(x: np.ndarray, where: Geometry, memory: np.ndarray | None) -> tuple[list[Stage], np.ndarray]:
    """The images as (C, H, W, N) with their padding: themselves, or a copy in the memory given, and the work that makes it."""
    stored = x.transpose(1, 2, 3, 0)
    if memory is None:
        return [], stored
    frame = Frame(memory, where.vertical, where.horizontal)
    copies: list[Work] = in_halves(np.copyto, frame.inside, stored)
    return [[frame.clear], copies], frame.image
