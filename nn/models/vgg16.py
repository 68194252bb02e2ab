"""VGG-16: nothing but 3x3 convolutions, twice the filters whenever the images are halved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorgrad as tg

from .. import init
from ..activation import Flatten, ReLU
from ..arguments import Rng, Size, generator, pair, whole
from ..containers import Sequential
from ..convolution import Conv2D
from ..dropout import Dropout
from ..linear import Linear
from ..module import Module
from ..pooling import MaxPool2D


class VGG16(Module):
    """VGG-16: (N, 3, 224, 224) -> logits (N, 1000). 138,357,544 parameters.

    Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2014,
    https://arxiv.org/abs/1409.1556, configuration D. Parameters are named as torchvision names them.
    The weights are drawn as by He et al., 2015; the biases are 0.

    Args:
        width: filters of the first block; each further one has twice as many, but not more than eight times `width`.
        blocks: the number of convolutions in each block; a block ends with a 2x2 max-pool.
        in_channels: C.
        image_size: height and width of the images, which sets the size of the first linear layer.
        hidden: width of the two hidden linear layers.
        classes: number of logits.
        dropout: the part of each hidden layer that is dropped in training.
        rng: a numpy Generator to draw weights and dropout from, or a seed; None draws from a fresh one without a seed.

    >>> small = VGG16(width=32, blocks=(1, 1, 1), in_channels=1, image_size=28, hidden=256, classes=10, rng=0)
    >>> [layer.out_channels for layer in small.features if isinstance(layer, Conv2D)]
    [32, 64, 128]
    """

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: Sequence[int] = (2, 2, 3, 3, 3),
        in_channels: int = 3,
        image_size: Size = 224,
        hidden: int = 4096,
        classes: int = 1000,
        dropout: float = 0.5,
        rng: Rng = None,
    ) -> None:
        rng = generator("VGG16", rng)
        width, hidden = whole("VGG16", "width", width), whole("VGG16", "hidden", hidden)
        height, breadth = pair("VGG16", "image_size", image_size)
        weights = init.kaiming_normal()
        layers: list[Module] = []
        channels = in_channels
        for number, convolutions in enumerate(blocks):
            filters = width * min(2**number, 8)
            for _ in range(whole("VGG16", "blocks", convolutions)):
                layers += [Conv2D(channels, filters, 3, padding=1, init=weights, rng=rng), ReLU()]
                channels = filters
            layers.append(MaxPool2D(2))
            height, breadth = height // 2, breadth // 2
        if not height or not breadth:
            raise ValueError(f"VGG16: {len(blocks)} blocks halve images of {image_size} to nothing; take fewer blocks")
        self.features = Sequential(*layers)
        self.flatten = Flatten()
        self.classifier = Sequential(
            Linear(channels * height * breadth, hidden, init=weights, rng=rng),
            ReLU(),
            Dropout(dropout, rng=rng),
            Linear(hidden, hidden, init=weights, rng=rng),
            ReLU(),
            Dropout(dropout, rng=rng),
            Linear(hidden, classes, init=weights, rng=rng),
        )

    def forward(self, x: Any) -> tg.Tensor:
        x = self.flatten(self.features(x))  # (N, 512, 7, 7) -> (N, 25088)
        return self.classifier(x)  # (N, classes)
