"""Dropout."""

from __future__ import annotations

from typing import Any

import tensorgrad as tg

from .arguments import Rng, generator, number
from .module import Module


class Dropout(Module):
    """In training, each element becomes 0 with probability `rate`, and the others are divided by 1 - rate; else the identity.

    So the expected value stays the same, and nothing is to be scaled in use.
    Srivastava and others, Dropout: a simple way to prevent neural networks from overfitting, 2014,
    https://jmlr.org/papers/v15/srivastava14a.html.

    Args:
        rate: the probability, from 0 to 1; with 1 all elements become 0.
        rng: a numpy Generator to draw from, or a seed; None draws from a fresh one without a seed.

    >>> layer = Dropout(0.5, rng=0)
    >>> layer.eval()([1.0, 2.0])
    Tensor([1., 2.], dtype=float32)
    """

    def __init__(self, rate: float = 0.5, *, rng: Rng = None) -> None:
        self.rate = number("Dropout", "rate", rate, high=1.0)
        self.rng = generator("Dropout", rng)

    def forward(self, x: Any) -> tg.Tensor:
        if self.training:
            return tg.dropout(x, self.rate, rng=self.rng)
        return x if isinstance(x, tg.Tensor) else tg.Tensor(x)

    def extra_repr(self) -> str:
        return f"{self.rate:g}"
