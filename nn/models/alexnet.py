"""AlexNet, which won the ImageNet contest of 2012."""

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
from ..normalization import LocalResponseNorm
from ..pooling import MaxPool2D


class AlexNet(Module):
    """AlexNet: (N, 3, 227, 227) -> logits (N, 1000). 60,965,224 parameters.

    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012,
    https://papers.nips.cc/paper/4824. ReLU, overlapping pooling, local response normalization, dropout; the second, fourth and
    fifth convolution in two groups, which were on two GPUs. The images are said to be 224x224, but 227 fits the other sizes.

    `variant="one-column"` is the later network without groups and normalization, with 64, 192, 384, 256 and 256 filters, for
    images of 224x224; 61,100,840 parameters, named as torchvision names them. Krizhevsky, One weird trick for parallelizing
    convolutional neural networks, 2014, https://arxiv.org/abs/1404.5997.

    Images of other sizes do as well where the last pool leaves 6x6. The weights are drawn as by He et al., 2015 (the paper has
    N(0, 0.01^2), which learns nothing for long), the biases are 0.

    Args:
        variant: "grouped" or "one-column".
        classes: number of logits.
        dropout: the part of the inputs of each hidden linear layer that is dropped in training.
        rng: a numpy Generator to draw weights and dropout from, or a seed; None draws from a fresh one without a seed.
    """

    def __init__(self, *, variant: str = "grouped", classes: int = 1000, dropout: float = 0.5, rng: Rng = None) -> None:
        rng = generator("AlexNet", rng)
        if variant not in ("grouped", "one-column"):
            raise ValueError(f"AlexNet: variant must be 'grouped' or 'one-column', not {variant!r}")
        layers = _grouped(rng) if variant == "grouped" else _one_column(rng)
        self.features = Sequential(*layers)  # (N, 256, 6, 6)
        self.flatten = Flatten()
        weights = init.kaiming_normal()
        self.classifier = Sequential(
            Dropout(dropout, rng=rng),
            Linear(256 * 6 * 6, 4096, init=weights, rng=rng),
            ReLU(),
            Dropout(dropout, rng=rng),
            Linear(4096, 4096, init=weights, rng=rng),
            ReLU(),
            Linear(4096, classes, init=weights, rng=rng),
        )

    def forward(self, x: Any) -> tg.Tensor:
        x = self.flatten(self.features(x))  # (N, 9216)
        return self.classifier(x)  # (N, classes)


def _grouped(rng: Rng) -> list[Module]:
    return [
        *_convolution(3, 96, 11, rng, stride=4),  # (N, 3, 227, 227) -> (N, 96, 55, 55)
        _normalization(),
        MaxPool2D(3, stride=2),  # (N, 96, 27, 27)
        *_convolution(96, 256, 5, rng, padding=2, groups=2),
        _normalization(),
        MaxPool2D(3, stride=2),  # (N, 256, 13, 13)
        *_convolution(256, 384, 3, rng, padding=1),
        *_convolution(384, 384, 3, rng, padding=1, groups=2),
        *_convolution(384, 256, 3, rng, padding=1, groups=2),
        MaxPool2D(3, stride=2),  # (N, 256, 6, 6)
    ]


def _one_column(rng: Rng) -> list[Module]:
    return [
        *_convolution(3, 64, 11, rng, stride=4, padding=2),  # (N, 3, 224, 224) -> (N, 64, 55, 55)
        MaxPool2D(3, stride=2),  # (N, 64, 27, 27)
        *_convolution(64, 192, 5, rng, padding=2),
        MaxPool2D(3, stride=2),  # (N, 192, 13, 13)
        *_convolution(192, 384, 3, rng, padding=1),
        *_convolution(384, 256, 3, rng, padding=1),
        *_convolution(256, 256, 3, rng, padding=1),
        MaxPool2D(3, stride=2),  # (N, 256, 6, 6)
    ]


def _convolution(channels: int, filters: int, kernel_size: int, rng: Rng, **settings: int) -> list[Module]:
    return [Conv2D(channels, filters, kernel_size, init=init.kaiming_normal(), rng=rng, **settings), ReLU()]


def _normalization() -> Module:
    return LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)  # the paper's 1e-4 is not divided by the size
