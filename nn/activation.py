"""Layers without weights: activation functions, and flattening."""

from __future__ import annotations

from typing import Any

import tensorgrad as tg

from .arguments import whole
from .module import Module


class ReLU(Module):
    """max(x, 0), elementwise."""

    def forward(self, x: Any) -> tg.Tensor:
        return tg.relu(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), elementwise."""

    def forward(self, x: Any) -> tg.Tensor:
        return tg.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent, elementwise."""

    def forward(self, x: Any) -> tg.Tensor:
        return tg.tanh(x)


class Flatten(Module):
    """All axes from `start_axis` on become one: by default (N, C, H, W) -> (N, C H W)."""

    def __init__(self, start_axis: int = 1) -> None:
        self.start_axis = whole("Flatten", "start_axis", start_axis, least=0)

    def forward(self, x: Any) -> tg.Tensor:
        return tg.flatten(x, self.start_axis)

    def extra_repr(self) -> str:
        return "" if self.start_axis == 1 else f"start_axis={self.start_axis}"
