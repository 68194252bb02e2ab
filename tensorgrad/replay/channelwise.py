"""Steps for primitives that treat each channel of images by itself: half of the channels on each of two threads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..kernels.batch_norm import normalize
from ..kernels.threads import Call, in_turn
from ..ops.batch_norm import batch_norm_, batch_norm_input_grad, batch_norm_weight_grad, scale_channels
from ..ops.pooling import avg_pool2d_, avg_pool2d_input_grad, gather_winners, max_pool2d_, scatter_winners
from ..ops.reduction import sum_
from . import work
from .program import PrimitiveStep, Program, Stage, Step

CHANNELWISE = (
    *(max_pool2d_, scatter_winners, gather_winners, avg_pool2d_, avg_pool2d_input_grad),
    *(batch_norm_, batch_norm_input_grad, batch_norm_weight_grad, scale_channels),
)


class ChannelwiseStep(PrimitiveStep):
    """A pooling, a batch norm, a sum over all but the channels, or a way back from one."""

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        channels = inputs[0].shape[1]
        if channels < 2 or max(inputs[0].size, outputs[0].size) < work.WORTHWHILE:
            return super().bind(inputs, outputs, scratch)
        return [[self._part(slice(*p), inputs, outputs) for p in ((0, channels // 2), (channels // 2, channels))]]

    def _part(self, some: slice, inputs: list[Any], outputs: list[np.ndarray]) -> Any:
        settings = dict(self.attributes)
        if "shape" in settings:
            batch, _, *size = settings["shape"]
            settings["shape"] = (batch, some.stop - some.start, *size)
        return in_turn(self.calls([_channels(x, some) for x in inputs], [_channels(x, some) for x in outputs], settings))

    def calls(self, inputs: list[Any], outputs: list[np.ndarray], attributes: dict[str, Any]) -> list[Call]:
        if self.primitive is batch_norm_ and all(x is None or x.dtype == outputs[0].dtype for x in inputs):
            return [partial(_normalize, outputs, *inputs, **attributes)]
        return super().calls(inputs, outputs, attributes)


def _channels(x: Any, some: slice) -> Any:
    """Some channels of images (N, C, ...), of a vector (C,), or of nothing."""
    if x is None:
        return None
    return x[some] if x.ndim == 1 else x[:, some]


def _normalize(outputs: list[np.ndarray], *inputs: Any, eps: float) -> None:
    """Batch norm into memory given, without a copy of the images."""
    _, mean, var = normalize(*inputs, *[None] * (3 - len(inputs)), eps, out=outputs[0])
    np.copyto(outputs[1], mean)
    np.copyto(outputs[2], var)


def cut_by_channels(program: Program) -> None:
    """Let poolings and batch norms run on two threads where they are large."""
    for index, step in enumerate(program.steps):
        if type(step) is PrimitiveStep and (step.primitive in CHANNELWISE or _sums_channels(program, step)):
            program.steps[index] = ChannelwiseStep(step.nodes[0], step.primitive, step.inputs)


def _sums_channels(program: Program, step: Step) -> bool:
    """Whether a step adds up all but the channels of images (N, C, H, W)."""
    if not isinstance(step, PrimitiveStep) or step.primitive is not sum_:
        return False
    is_images = len(program.values[step.inputs[0]].shape) == 4
    return is_images and step.attributes == {"axis": (0, 2, 3), "keepdims": False}
