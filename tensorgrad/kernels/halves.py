"""Elementwise functions of large arrays: half of the elements on each of two threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .layout import as_row, order_in_memory
from .threads import at_once

LARGE = 1 << 20
"""Elements from which on half of a pass over them takes much longer than it takes to wake a thread."""


def elementwise(kernel: Callable[..., Any], arrays: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """What kernel(*arrays, **attributes) returns. The kernel must take a buffer as `out=`; the first argument is an array.

    Where the arrays lie in memory alike, halves of it are computed at the same time.
    """
    first = arrays[0]
    order = order_in_memory(first)
    rows: list[Any] = []
    for a in arrays:
        whole = isinstance(a, np.ndarray) and a.ndim > 0
        rows.append((as_row(a, order) if a.shape == first.shape else None) if whole else a)
        if whole and rows[-1] is None:
            return kernel(*arrays, **attributes)
    out = np.empty_like(first, np.asarray(kernel(*_part(rows, slice(0)), **attributes)).dtype)
    middle, out_row = first.size // 2, as_row(out, order)
    parts = slice(0, middle), slice(middle, first.size)
    at_once([partial(kernel, *_part(rows, part), out=out_row[part], **attributes) for part in parts])
    return out


def _part(rows: list[Any], part: slice) -> list[Any]:
    """Part of each row; numbers as they are."""
    return [row[part] if isinstance(row, np.ndarray) and row.ndim else row for row in rows]
