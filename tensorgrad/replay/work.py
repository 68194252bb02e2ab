"""Cutting work in two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.threads import Call

WORTHWHILE = 1 << 17
"""Elements from which on it pays to give half of a pass over them to another thread."""

PIECE = 1 << 16
"""Elements of a piece of elementwise work: few enough for several arrays' pieces to stay in cache, enough to outweigh
the calls."""

PRODUCT_BESIDE = 3_000_000
"""Multiply-adds from which on a whole product pays for a second thread, which does another one meanwhile."""

LARGE_PRODUCT = 8_000_000
"""Multiply-adds from which on half of a product pays for a second thread, which takes some 50 us to wake."""


def in_halves(function: Callable[..., Any], *arrays: np.ndarray) -> list[Call]:
    """A function of arrays with the same first axis, on each half of it if they are large."""
    length = len(arrays[0])
    if arrays[0].size < WORTHWHILE or length < 2:
        return [lambda: function(*arrays)]
    middle = length // 2
    return [lambda part=part: function(*(x[part] for x in arrays)) for part in (slice(0, middle), slice(middle, length))]
