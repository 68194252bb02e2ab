"""Steps for matrix products, cut in two for two threads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..kernels.matrix import halves
from ..kernels.threads import Call, in_turn
from ..ops.matmul import linear_, matmul_
from . import work
from .program import PrimitiveStep, Program, Stage


class ProductStep(PrimitiveStep):
    """A product of two matrices, and perhaps a bias."""

    multiplies = True

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        x, y, b = (*inputs, None)[:3]
        out = outputs[0]
        if self.primitive is linear_:
            y = y.T
        else:
            x = x.T if self.attributes["transpose_x"] else x
            y = y.T if self.attributes["transpose_y"] else y
        if out.strides[0] < out.strides[1]:  # the rows lie innermost: BLAS is given the product's transpose
            x, y, out, b = y.T, x.T, out.T, None if b is None else b[:, None]
        if out.size * x.shape[1] < work.LARGE_PRODUCT or max(out.shape) < 2:
            return [[_product(x, y, b, out)]]
        parts = [
            (rows, columns, None if b is None else b[columns] if b.ndim == 1 else b[rows])
            for rows, columns in halves(out.shape)
        ]
        return [[_product(x[rows], y[:, columns], bias, out[rows, columns]) for rows, columns, bias in parts]]


def _product(x: np.ndarray, y: np.ndarray, b: np.ndarray | None, out: np.ndarray) -> Call:
    product = partial(np.matmul, x, y, out=out)
    return product if b is None else in_turn([product, partial(np.add, out, b, out=out)])


def cut_products(program: Program) -> None:
    """Let products of matrices run on two threads where they are large."""
    for index, step in enumerate(program.steps):
        if type(step) is PrimitiveStep and step.primitive in (matmul_, linear_):
            arrays = [program.values[v] for v in [*step.inputs, *step.outputs] if v is not None]
            matrices = all(len(a.shape) == 2 for a in [*arrays[:2], arrays[-1]])
            if matrices and len({a.dtype for a in arrays}) == 1 and arrays[0].dtype in ("float32", "float64"):
                program.steps[index] = ProductStep(step.nodes[0], step.primitive, step.inputs)
