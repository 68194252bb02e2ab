"""A small convolutional network in the manner of VGG for full MNIST."""

from __future__ import annotations

from typing import Any

import tensorgrad as tg

from .. import init
from ..activation import Flatten, ReLU
from ..arguments import Rng, generator
from ..containers import Sequential
from ..convolution import Conv2D
from ..dropout import Dropout
from ..linear import Linear
from ..module import Module
from ..normalization import BatchNorm2D
from ..pooling import AvgPool2D, MaxPool2D


class SmallVGG(Module):
    """Five 3x3 convolutions, each with batch norm and ReLU, and a mean over all places: (N, 1, 28, 28) -> logits (N, 10).

    The convolutions have 24, 24, 48, 48 and 96 filters, with a max-pool after the second and the fourth. 79,426 parameters.
    The manner is that of Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2014,
    https://arxiv.org/abs/1409.1556; the single linear layer behind a global mean that of Lin, Chen and Yan, Network in
    network, 2013, https://arxiv.org/abs/1312.4400. The weights are drawn as by He et al., 2015. Pixels may have any
    scale, such as 0 to 1, since the first convolution's outputs are normalized.

    Args:
        classes: number of logits.
        dropout: the part of the 96 means that is dropped in training.
        rng: a numpy Generator to draw weights and dropout from, or a seed; None draws from a fresh one without a seed.

    >>> model = SmallVGG(rng=0)
    >>> sum(parameter.size for parameter in model.parameters())
    79426
    """

    def __init__(self, *, classes: int = 10, dropout: float = 0.3, rng: Rng = None) -> None:
        rng = generator("SmallVGG", rng)
        self.features = Sequential(
            *_block(1, 24, rng),
            *_block(24, 24, rng),
            MaxPool2D(2),  # (N, 24, 28, 28) -> (N, 24, 14, 14)
            *_block(24, 48, rng),
            *_block(48, 48, rng),
            MaxPool2D(2),  # (N, 48, 14, 14) -> (N, 48, 7, 7)
            *_block(48, 96, rng),
            AvgPool2D(7),  # (N, 96, 7, 7) -> (N, 96, 1, 1)
        )
        self.flatten = Flatten()
        self.dropout = Dropout(dropout, rng=rng)
        self.output = Linear(96, classes, init=init.kaiming_normal(), rng=rng)

    def forward(self, x: Any) -> tg.Tensor:
        x = self.flatten(self.features(x))  # (N, 96)
        return self.output(self.dropout(x))  # (N, classes)


def _block(channels: int, filters: int, rng: Rng) -> list[Module]:
    """A convolution, whose bias batch norm would take away again, batch norm and ReLU."""
    convolution = Conv2D(channels, filters, 3, padding=1, bias=False, init=init.kaiming_normal(), rng=rng)
    return [convolution, BatchNorm2D(filters), ReLU()]
