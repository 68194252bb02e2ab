"""LeNet-5, the network that read cheques."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from .. import init
from ..activation import Flatten, ReLU, Tanh
from ..arguments import Rng, generator
from ..convolution import Conv2D
from ..linear import Linear
from ..module import Module
from ..pooling import AvgPool2D, MaxPool2D


class LeNet5(Module):
    """LeNet-5: (N, 1, 32, 32) -> logits (N, 10). 61,706 parameters.

    LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998, section II.B,
    http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf. The layers are named as there: C convolves, S subsamples, F is fully
    connected. As is usual, C3 sees all maps of S2, S2 and S4 have no coefficients of their own, the activation is tanh without
    their scale, and the last layer gives logits instead of distances.

    The weights are drawn as by Glorot and Bengio for tanh, and as by He et al. for ReLU; the biases are 0. Pixels should have
    about mean 0 and variance 1.

    Args:
        modern: max-pooling and ReLU instead of average pooling and tanh.
        padding: zeros around the images, such as 2 for images of 28x28.
        classes: number of logits.
        rng: a numpy Generator to draw from, or a seed; None draws from a fresh one without a seed.

    >>> model = LeNet5(padding=2, rng=0)
    >>> sum(parameter.size for parameter in model.parameters())
    61706
    """

    def __init__(self, *, modern: bool = False, padding: int = 0, classes: int = 10, rng: Rng = None) -> None:
        rng = generator("LeNet5", rng)
        weights = init.kaiming_normal() if modern else init.xavier_uniform()
        pool, activation = (MaxPool2D, ReLU) if modern else (AvgPool2D, Tanh)
        self.c1 = Conv2D(1, 6, 5, padding=padding, init=weights, rng=rng)
        self.c1_activation = activation()
        self.s2 = pool(2)
        self.c3 = Conv2D(6, 16, 5, init=weights, rng=rng)
        self.c3_activation = activation()
        self.s4 = pool(2)
        self.flatten = Flatten()
        self.c5 = Linear(16 * 5 * 5, 120, init=weights, rng=rng)  # a 5x5 convolution of 5x5 maps
        self.c5_activation = activation()
        self.f6 = Linear(120, 84, init=weights, rng=rng)
        self.f6_activation = activation()
        self.output = Linear(84, classes, init=init.xavier_uniform(), rng=rng)

    def forward(self, x: Any) -> tg.Tensor:
        height, width = np.shape(x)[-2:]
        if (height + 2 * self.c1.padding[0], width + 2 * self.c1.padding[1]) != (32, 32):
            raise ValueError(
                f"LeNet5: the images must be 32x32, and these are {height}x{width} with a padding of {self.c1.padding[0]}; "
                "make it LeNet5(padding=2) for MNIST's 28x28"
            )
        x = self.s2(self.c1_activation(self.c1(x)))  # (N, 6, 28, 28) -> (N, 6, 14, 14)
        x = self.s4(self.c3_activation(self.c3(x)))  # (N, 16, 10, 10) -> (N, 16, 5, 5)
        x = self.c5_activation(self.c5(self.flatten(x)))  # (N, 120)
        return self.output(self.f6_activation(self.f6(x)))  # (N, 84) -> (N, classes)
