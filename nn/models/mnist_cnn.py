"""The small convolutional network for MNIST digits that everything here is measured on."""

from __future__ import annotations

from typing import Any

import tensorgrad as tg

from .. import init
from ..activation import Flatten, ReLU
from ..arguments import Rng, generator, number, whole
from ..convolution import Conv2D
from ..linear import Linear
from ..module import Module
from ..pooling import MaxPool2D


class MnistCNN(Module):
    """One convolution and two linear layers: (N, 1, 28, 28) -> logits (N, 10).

    The weights are drawn from N(0, init_std^2) and the biases are 0: made for raw pixels from 0 to 255, which a
    standard deviation of 0.01 brings to the size that activations should have.

    Args:
        hidden: width of the hidden linear layer.
        init_std: standard deviation of the first weights.
        rng: a numpy Generator to draw from, or a seed; None draws from a fresh one without a seed.

    >>> MnistCNN(rng=0)
    MnistCNN(
      conv: Conv2D(1, 30, kernel_size=3)
      relu: ReLU()
      pool: MaxPool2D(2)
      flatten: Flatten()
      hidden: Linear(5070, 256)
      hidden_relu: ReLU()
      output: Linear(256, 10)
    )
    """

    def __init__(self, *, hidden: int = 256, init_std: float = 0.01, rng: Rng = None) -> None:
        hidden = whole("MnistCNN", "hidden", hidden)
        rng = generator("MnistCNN", rng)
        normal = init.normal(number("MnistCNN", "init_std", init_std))
        self.conv = Conv2D(1, 30, 3, init=normal, rng=rng)
        self.relu = ReLU()
        self.pool = MaxPool2D(2)
        self.flatten = Flatten()
        self.hidden = Linear(30 * 13 * 13, hidden, init=normal, rng=rng)
        self.hidden_relu = ReLU()
        self.output = Linear(hidden, 10, init=normal, rng=rng)

    def forward(self, x: Any) -> tg.Tensor:
        x = self.relu(self.conv(x))  # (N, 30, 26, 26)
        x = self.flatten(self.pool(x))  # (N, 30, 13, 13) -> (N, 5070)
        x = self.hidden_relu(self.hidden(x))  # (N, hidden)
        return self.output(x)  # (N, 10)
