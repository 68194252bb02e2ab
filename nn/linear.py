"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .arguments import Rng, whole
from .init import Initializer, weight_and_bias
from .module import Module


class Linear(Module):
    """x W^T + b: each output is a weighted sum of all inputs. (..., in_features) -> (..., out_features).

    Args:
        in_features, out_features: sizes of the last axis before and after.
        bias: whether to add a learned offset.
        init: a callable (shape, rng) -> array for the weight, such as `nn.init.normal(0.01)`; the bias is then 0. None is
            PyTorch's default: weight and bias from U(-b, b) with b = 1 / sqrt(in_features).
        rng: a numpy Generator to draw from, or a seed; None draws from a fresh one without a seed. Layers that
            are given the same seed draw the same values: give them one generator instead.
        dtype: of the parameters.

    Attributes:
        weight: Parameter (out_features, in_features).
        bias: Parameter (out_features,), or None.

    >>> layer = Linear(3, 2, rng=0)
    >>> layer
    Linear(3, 2)
    >>> layer([[1.0, 2.0, 3.0]]).shape
    (1, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: Initializer | None = None,
        rng: Rng = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_features = whole("Linear", "in_features", in_features)
        self.out_features = whole("Linear", "out_features", out_features)
        shape = (self.out_features, self.in_features)
        self.weight, self.bias = weight_and_bias("Linear", shape, bias=bias, init=init, rng=rng, dtype=dtype)

    def forward(self, x: Any) -> tg.Tensor:
        return tg.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")
