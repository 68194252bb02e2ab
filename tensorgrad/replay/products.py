"""Steps for matrix products, cut in two for two threads."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..kernels.matrix import halves, stack_halves
from ..kernels.threads import Call, in_turn
from ..ops.matmul import linear_, matmul_
from . import work
from .program import PrimitiveStep, Program, Stage


class ProductStep(PrimitiveStep):
    """A product of two matrices, and perhaps a bias; or of stacks of matrices."""

    multiplies = True

    @property
    def fills_a_share(self) -> bool:
        return sum(node.flops for node in self.nodes) >= 2 * work.PRODUCT_BESIDE

    def bind(self, inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> list[Stage]:
        x, y, b = (*inputs, None)[:3]
        out = outputs[0]
        if self.primitive is linear_:
            x, y, out = _rows(x), y.T, _rows(out)
            if x is None or out is None:  # no views of them are matrices
                return super().bind(inputs, outputs, scratch)
        else:
            x = x.swapaxes(-1, -2) if self.attributes["transpose_x"] else x
            y = y.swapaxes(-1, -2) if self.attributes["transpose_y"] else y
        if out.ndim > 2:
            return [self._stacked(x, y, out)]
        if out.strides[0] < out.strides[1]:  # the rows lie innermost: BLAS is given the product's transpose
            x, y, out, b = y.T, x.T, out.T, None if b is None else b[:, None]
        if out.size * x.shape[1] < work.LARGE_PRODUCT or max(out.shape) < 2:
            return [[_product(x, y, b, out)]]
        parts = [
            (rows, columns, None if b is None else b[columns] if b.ndim == 1 else b[rows])
            for rows, columns in halves(out.shape)
        ]
        return [[_product(x[rows], y[:, columns], bias, out[rows, columns]) for rows, columns, bias in parts]]

    def _stacked(self, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> Stage:
        if out.size * x.shape[-1] < work.LARGE_PRODUCT:
            return [partial(np.matmul, x, y, out=out)]
        return [partial(np.matmul, one, other, out=out[part]) for one, other, part in stack_halves(x, y, out.shape)]


def _rows(x: np.ndarray) -> np.ndarray | None:
    """(..., K) -> (rows, K) as a view, if there is one."""
    if x.ndim == 2:
        return x
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return rows if np.may_share_memory(rows, x) else None


def _product(x: np.ndarray, y: np.ndarray, b: np.ndarray | None, out: np.ndarray) -> Call:
    product = partial(np.matmul, x, y, out=out)
    return product if b is None else in_turn([product, partial(np.add, out, b, out=out)])


def cut_products(program: Program) -> None:
    """Let products of matrices run on two threads where they are large."""
    for index, step in enumerate(program.steps):
        if type(step) is PrimitiveStep and step.primitive in (matmul_, linear_):
            arrays = [program.values[v] for v in [*step.inputs, *step.outputs] if v is not None]
            products = step.primitive is linear_ or all(len(a.shape) > 1 for a in arrays)
            if (
                products
                and arrays[-1].nbytes
                and len({a.dtype for a in arrays}) == 1
                and arrays[0].dtype in ("float32", "float64")
            ):
                program.steps[index] = ProductStep(step.nodes[0], step.primitive, step.inputs)
