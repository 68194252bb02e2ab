"""Keeping some elements of an array, those of a mask or the positive ones, and putting zeros for the others."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .layout import as_row, order_in_memory

WIDTH = 8192
"""How many zeros a row is compared with at a time."""


def kept(x: np.ndarray, mask: np.ndarray, out: np.ndarray | None = None) -> Any:
    """x where the mask holds, else 0: also in place of inf and nan, which times 0 would be nan.

    Floats are multiplied by the mask as the integers that share their bits. That is as quick as any
    multiplication, while `np.where` on a mask without pattern takes seven times as long.
    """
    if x.dtype.kind != "f" or x.itemsize > 8:
        return np.multiply(x, mask, out=out)
    bits = f"i{x.itemsize}"
    if out is None:
        return np.multiply(x.view(bits), mask).view(x.dtype)
    np.multiply(x.view(bits), mask, out=out.view(bits))
    return out


def positive(x: np.ndarray, out: np.ndarray | None = None) -> Any:
    """max(x, 0), in which nan stays nan.

    NumPy takes the maximum of two arrays in a third of the time that it takes for an array and a number.
    """
    if x.size <= WIDTH or x.dtype.kind != "f":
        return np.maximum(x, 0, out=out)
    order = order_in_memory(x)
    row, target = as_row(x, order), np.empty_like(x) if out is None else out
    target_row = as_row(target, order)
    if target.dtype != x.dtype or row is None or target_row is None:
        return np.maximum(x, 0, out=out)
    rows = x.size // WIDTH
    whole = rows * WIDTH
    np.maximum(row[:whole].reshape(rows, WIDTH), zeros(x.dtype), out=target_row[:whole].reshape(rows, WIDTH))
    np.maximum(row[whole:], zeros(x.dtype)[: x.size - whole], out=target_row[whole:])
    return target


@functools.cache
def zeros(dtype: np.dtype) -> np.ndarray:
    """(WIDTH,)"""
    return np.zeros(WIDTH, dtype)
