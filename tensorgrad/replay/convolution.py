"""The step for a convolution fused with what follows it, on two threads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..graph import GraphNode
from ..kernels import fused_winograd
from ..kernels.fused_convolution import Frame, Geometry, Worker, forward
from ..kernels.threads import Call, in_turn
from .program import Stage, Step
from .rounding import norm, tolerance_of
from .work import in_halves


class ForwardStep(Step):
    """conv2d, its bias, relu and max_pool2d.

    Takes x, w and perhaps b; makes the result, perhaps what the way back needs to know (`won`), and perhaps a frame for x.
    """

    multiplies = True

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
        return stages + correlation(self.where, image, w, scratch, b, self.relu, won, target)

    def check_own_values(self, values: dict[int, np.ndarray], arrays: dict[int, Any]) -> str | None:
        """Which place of each block won, and where relu let something pass. Of numbers that tie but for rounding, either may
        win."""
        if not self.masked:
            return None
        z, mask = values[self.nodes[0].outputs[0]], arrays[self.outputs[1]]
        conv = self._by_place(z)  # (places, F, PH, PW, N)
        margin = 10 * tolerance_of([str(z.dtype)]) * norm(np.nan_to_num(z, posinf=0, neginf=0)) / max(z.size, 1) ** 0.5
        with np.errstate(all="ignore"):
            largest = conv.max(0)
            chosen = np.where(mask, conv, -np.inf).max(0)  # the number of the place that won; none: minus infinity
            right = (mask.sum(0) == 1) & (chosen >= largest - margin)
            if self.relu:
                right = (right & (chosen > -margin)) | (~mask.any(0) & (largest <= margin))
            wrong = np.count_nonzero(~right & np.isfinite(conv).all(0))
        np.copyto(mask, self._mask(values))
        return f"in {wrong} of {right.size} blocks another number than the largest has won" if wrong else None

    def _mask(self, values: dict[int, np.ndarray]) -> np.ndarray:
        """What `won` is where the convolution has the recorded values."""
        mask = np.ones((self.where.places, 1, 1, 1, 1), bool)
        for node in self.nodes[1:]:
            out = values[node.outputs[0]]
            if node.primitive == "relu":
                passes = ~(out <= 0)
                whole = passes.shape[2:] == values[self.nodes[0].outputs[0]].shape[2:]
                mask = mask & (self._by_place(passes) if whole else passes.transpose(1, 2, 3, 0))
            else:
                winners = values[node.outputs[1]].transpose(1, 2, 3, 0)
                mask = mask & (winners == np.arange(self.where.places).reshape(-1, 1, 1, 1, 1))
        return mask

    def _by_place(self, images: np.ndarray) -> np.ndarray:
        """(N, F, OH, OW) -> (places, F, PH, PW, N): the numbers at each place of the pooling block."""
        (down, across), rows, columns = self.where.block, self.where.rows, self.where.columns
        inside = images[:, :, : rows * down, : columns * across]
        blocks = inside.reshape(*images.shape[:2], rows, down, columns, across)
        return blocks.transpose(3, 5, 1, 2, 4, 0).reshape(-1, images.shape[1], rows, columns, len(images))


def correlation(where: Geometry, image: np.ndarray, w: np.ndarray, scratch: list[np.ndarray], *rest: Any) -> list[Stage]:
    """The work of a convolution of framed images and what follows it, see `forward` for the other arguments."""
    shares = list(zip(where.shares(image.itemsize), scratch, strict=False))
    if isinstance(where, fused_winograd.Grid):
        filters = fused_winograd.Filters(w, image)
        pieces = [fused_winograd.PieceWorker(where, jobs, image, memory) for jobs, memory in shares]
        work = [in_turn(fused_winograd.forward(worker, filters, *rest)) for worker in pieces]
        return [[filters.prepare], work]
    workers = [Worker(where, jobs, image, memory) for jobs, memory in shares]
    stages, w = row_major(w)
    return [*stages, [in_turn(forward(worker, w, *rest)) for worker in workers]]


def row_major(w: np.ndarray) -> tuple[list[Stage], np.ndarray]:
    """The weights in row-major order, so that views of them are matrices: themselves, or a copy, and the work that makes it."""
    if w.flags.c_contiguous:
        return [], w
    copy = np.empty(w.shape, w.dtype)
    return [[partial(np.copyto, copy, w)]], copy


def framed_image(x: np.ndarray, where: Geometry, memory: np.ndarray | None) -> tuple[list[Stage], np.ndarray]:
    """The images as (C, H, W, N) with their padding: themselves, or a copy in the memory given, and the work that makes it."""
    stored = x.transpose(1, 2, 3, 0)
    if memory is None:
        return [], stored
    frame = Frame(memory, where.vertical, where.horizontal)
    copies: list[Call] = in_halves(np.copyto, frame.inside, stored)
    return [[frame.clear], copies], frame.image
