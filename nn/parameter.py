"""The tensors that a Module holds: trainable ones, and state that is saved but not trained."""

from __future__ import annotations

from typing import Any

import tensorgrad as tg


class Parameter(tg.Tensor):
    """A trainable leaf of a Module: a tensor of floats that requires a gradient.

    Args:
        data: its first value; an array keeps its dtype and is not copied, Python floats become float32.
        dtype: the dtype to convert to.
        requires_grad: False for a parameter that is frozen.

    >>> Parameter([1.0, 2.0])
    Parameter([1., 2.], dtype=float32, requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, *, dtype: Any = None, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad, dtype=dtype)


class Buffer(tg.Tensor):
    """State of a Module that is saved with it but not trained, such as the running mean of a batch norm.

    A module gives it new values with `tg.assign(self.running_mean, value)`.

    >>> Buffer([0.0, 0.0])
    Buffer([0., 0.], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, data: Any, *, dtype: Any = None) -> None:
        super().__init__(data, dtype=dtype)
