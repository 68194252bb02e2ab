"""The one effect on tensors: giving a leaf a new value."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import primitive
from ..state import per_thread
from ..tensor import Tensor


@primitive(view=True)
def assign_(value, leaf):
    """The array that becomes the leaf's: the value's, in the leaf's dtype."""
    return np.asarray(value, leaf.dtype).view()


assign_.vjp(value=None, leaf=None)  # a leaf has no history: gradients end here


def assign(leaf: Tensor, value: Any) -> Tensor:
    """Give a leaf a new value of its shape: an array is bound in place of the old one, and its version goes up by one.

    Nothing is written into the old array, so whoever holds it keeps its values. Optimizers update their
    parameters through this, hence updates stand in traces like everything else. Returns the leaf.

    Raises:
        ValueError: `leaf` is no leaf, or the value has another shape.

    >>> import tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> tg.assign(w, w.detach() * 10)
    Tensor([10., 20.], dtype=float32, requires_grad=True)
    >>> w.version
    1
    """
    if leaf._node is not None:
        raise ValueError("assign: only a leaf can be given a value, and this tensor was made by a primitive")
    value = value if isinstance(value, Tensor) else Tensor(value, dtype=leaf.dtype)
    if value.shape != leaf.shape:
        raise ValueError(f"assign: the value has shape {value.shape}, and the leaf has shape {leaf.shape}; they must agree")
    leaf._data = assign_(value, leaf)._data
    leaf.version += 1
    recorder = per_thread.state.recorder
    if recorder is not None:
        recorder.assigned(leaf)
    return leaf
