"""In which dtype kernels compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def computed(kernel: Callable[..., Any], arrays: tuple[Any, ...], *settings: Any, out: np.ndarray | None = None) -> Any:
    """Run a kernel on arrays (or None) brought to one dtype: that which they promote to, but float16 is computed in float32.

    The result, or the first of several, is in the dtype that they promote to, and in `out` where that is given.

    Raises:
        TypeError: that dtype is none of floats.
    """
    dtype = np.result_type(*[a for a in arrays if a is not None])
    if dtype.kind != "f":
        raise TypeError(f"the numbers must be floats, and these are {dtype}; convert them, e.g. with x.astype(np.float32)")
    working = np.promote_types(dtype, np.float32)
    arrays = tuple(None if a is None else np.asarray(a, working) for a in arrays)
    if working == dtype:
        return kernel(*arrays, *settings) if out is None else kernel(*arrays, *settings, out=out)
    result = kernel(*arrays, *settings)
    if isinstance(result, tuple):
        return result[0].astype(dtype), *result[1:]
    if out is None:
        return result.astype(dtype)
    np.copyto(out, result, casting="same_kind")
    return out


def in_wider_floats(kernel: Callable[..., np.ndarray], x: np.ndarray, *settings: Any) -> np.ndarray:
    """Run a kernel that sums on floats of 32 bits at least: in float16 sums overflow that their mean does not."""
    if x.dtype != np.float16:
        return kernel(x, *settings)
    with np.errstate(over="ignore"):  # a result too large for float16 is infinite, as it is anywhere
        return np.asarray(kernel(x.astype(np.float32), *settings)).astype(np.float16)
