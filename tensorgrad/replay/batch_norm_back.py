"""The step for all gradients of a batch norm: the sums that make those of weight and bias are parts of that of the images."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..kernels.batch_norm import gradients
from ..ops.batch_norm import batch_norm_input_grad, batch_norm_weight_grad
from ..ops.reduction import sum_
from . import work
from .program import PrimitiveStep, Program, Stage, Step


class BatchNormBackStep(Step):
    """Takes y, x, weight, mean and var; makes the gradients of images, weight and bias."""

    def __init__(self, parts: list[PrimitiveStep]) -> None:
        nodes = [node for step in parts for node in step.nodes]
        outputs = [step.outputs[0] for step in parts]
        super().__init__("backward of batch_norm", list(parts[0].inputs), outputs, nodes)
        self._eps = parts[0].attributes["eps"]

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        channels = inputs[0].shape[1]
        middle = channels // 2 if inputs[0].size >= work.WORTHWHILE else 0
        shares = [slice(*ends) for ends in ((0, middle), (middle, channels)) if ends[0] < ends[1]]
        return [[partial(gradients, *self._part(inputs, some), self._eps, self._part(outputs, some)) for some in shares]]

    def _part(self, arrays: list[Any], some: slice) -> list[Any]:
        """Some channels of arrays (N, C, ...) and (C,)."""
        return [a if a is None else a[some] if a.ndim == 1 else a[:, some] for a in arrays]


def fuse_batch_norm_gradients(program: Program) -> None:
    """Put the three gradients of each batch norm with weight and bias into one step, where its first one stood."""
    for of_x in [s for s in program.steps if isinstance(s, PrimitiveStep) and s.primitive is batch_norm_input_grad]:
        y, x, _, mean, var = of_x.inputs
        # Looked up anew for each norm: two that are added share the cotangent y, and each of them takes a sum of it.
        others = [s for s in program.users()[y] if isinstance(s, PrimitiveStep) and s is not of_x]
        of_weight = [
            s
            for s in others
            if s.primitive is batch_norm_weight_grad and s.inputs == [y, x, mean, var] and s.attributes == of_x.attributes
        ]
        axes = tuple(axis for axis in range(len(program.values[y].shape)) if axis != 1)
        of_bias = [s for s in others if s.primitive is sum_ and s.attributes == {"axis": axes, "keepdims": False}]
        same_dtype = len({program.values[v].dtype for v in of_x.inputs if v is not None} - {"float16"}) == 1
        if of_weight and of_bias and same_dtype and program.values[y].dtype in ("float32", "float64"):
            parts = [of_x, of_weight[0], of_bias[0]]
            program.replace(parts, BatchNormBackStep(parts), min(parts, key=program.steps.index))
