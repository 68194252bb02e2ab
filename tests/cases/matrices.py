"""Rows of matrix products."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from .table import Call, Row, arrays, optional_torch, shapes

torch = optional_torch()

sizes = st.sampled_from([2, 3, 1, 4, 0])


@st.composite
def products(draw: Any) -> Call:
    """Stacks of matrices whose leading axes broadcast, each transposed before or not."""
    stacks = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3)).input_shapes
    m, k, n = draw(sizes), draw(sizes), draw(sizes)
    transpose_x, transpose_y = draw(st.booleans()), draw(st.booleans())
    x = draw(arrays((*stacks[0], *((k, m) if transpose_x else (m, k)))))
    y = draw(arrays((*stacks[1], *((n, k) if transpose_y else (k, n)))))
    return Call((x, y), {"transpose_x": transpose_x, "transpose_y": transpose_y})


@st.composite
def layers(draw: Any) -> Call:
    leading, n, m = draw(shapes(max_dims=2)), draw(sizes), draw(sizes)
    b = draw(arrays((m,))) if draw(st.booleans()) else None
    return Call((draw(arrays((*leading, n))), draw(arrays((m, n))), b), {})


def product(x: Any, y: Any, transpose_x: bool, transpose_y: bool) -> Any:
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


ROWS = [
    Row("matmul", products(), product, linear=True),
    Row("linear", layers(), lambda x, w, b: torch.nn.functional.linear(x, w, b), linear=True),
]
