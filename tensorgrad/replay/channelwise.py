"""Steps for primitives that treat each channel of images by itself: half of the channels on each of two threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.pooling import avg_pool2d_, avg_pool2d_input_grad, gather_winners, max_pool2d_, scatter_winners
from . import work
from .program import PrimitiveStep, Program, Stage, in_turn

CHANNELWISE = (max_pool2d_, scatter_winners, gather_winners, avg_pool2d_, avg_pool2d_input_grad)


class ChannelwiseStep(PrimitiveStep):
    """A pooling, or a way back from one."""

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        channels = outputs[0].shape[1]
        if channels < 2 or max(inputs[0].size, outputs[0].size) < work.WORTHWHILE:
            return super().bind(inputs, outputs, scratch)
        return [[self._part(slice(*p), inputs, outputs) for p in ((0, channels // 2), (channels // 2, channels))]]

    def _part(self, some: slice, inputs: list[Any], outputs: list[np.ndarray]) -> Any:
        settings = dict(self.attributes)
        if "shape" in settings:
            batch, _, *size = settings["shape"]
            settings["shape"] = (batch, some.stop - some.start, *size)
        return in_turn(self.calls([x[:, some] for x in inputs], [x[:, some] for x in outputs], settings))


def cut_by_channels(program: Program) -> None:
    """Let poolings run on two threads where they are large."""
    for index, step in enumerate(program.steps):
        if type(step) is PrimitiveStep and step.primitive in CHANNELWISE:
            program.steps[index] = ChannelwiseStep(step.nodes[0], step.primitive, step.inputs)
