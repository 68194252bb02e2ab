"""Networks whose convolutions and norms share inputs, outputs, weights or cotangents: fusion leaves them right."""

from __future__ import annotations

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .helpers import agree, batches, training


def flat(x):
    return tg.flatten(x, 1)


class Projected(nn.Module):
    """bn1(conv1(x)) + bn2(conv2(x)): a residual block whose skip is a projection."""

    def __init__(self):
        self.conv1, self.bn1 = nn.Conv2D(3, 4, 3, padding=1, bias=False, rng=0), nn.BatchNorm2D(4)
        self.conv2, self.bn2 = nn.Conv2D(3, 4, 1, bias=False, rng=1), nn.BatchNorm2D(4)
        self.head = nn.Linear(4 * 36, 5, rng=2)

    def forward(self, x):
        return self.head(flat(tg.relu(self.bn1(self.conv1(x)) + self.bn2(self.conv2(x)))))


class Repeated(nn.Module):
    """One convolution and one batch norm used twice."""

    def __init__(self):
        self.conv, self.bn = nn.Conv2D(3, 3, 3, padding=1, bias=False, rng=0), nn.BatchNorm2D(3)
        self.head = nn.Linear(3 * 36, 5, rng=2)

    def forward(self, x):
        y = tg.relu(self.bn(self.conv(x)))
        return self.head(flat(self.bn(self.conv(y)) + x))


class SharedNorm(nn.Module):
    """One batch norm on two branches of one image, whose sum has one cotangent."""

    def __init__(self):
        self.conv1, self.conv2 = (nn.Conv2D(3, 4, 3, bias=False, rng=k) for k in (0, 1))
        self.bn = nn.BatchNorm2D(4)
        self.head = nn.Linear(4 * 16, 5, rng=2)

    def forward(self, x):
        return self.head(flat(self.bn(self.conv1(x)) + self.bn(self.conv2(x))))


class Decoder(nn.Module):
    """A transposed convolution, as the vector-Jacobian product of a convolution."""

    def __init__(self):
        self.down = nn.Conv2D(3, 4, 3, stride=2, rng=0)
        self.up = nn.Parameter(np.random.default_rng(1).normal(0, 0.3, (4, 2, 3, 3)).astype("f"))
        self.head = nn.Linear(2 * 25, 5, rng=2)

    def forward(self, x):
        code = tg.relu(self.down(x))  # (N, 4, 2, 2)
        template = np.zeros((code.shape[0], 2, 5, 5), np.float32)
        _, pullback = tg.vjp(lambda image: tg.conv2d(image, self.up, stride=2), template)
        (image,) = pullback(code)  # (N, 2, 5, 5)
        return self.head(flat(tg.relu(image)))


class Tied(nn.Module):
    """An encoder and a decoder with one filter."""

    def __init__(self):
        self.weight = nn.Parameter(np.random.default_rng(1).normal(0, 0.3, (4, 3, 3, 3)).astype("f"))
        self.head = nn.Linear(3 * 36, 5, rng=2)

    def forward(self, x):
        code = tg.relu(tg.conv2d(x, self.weight, padding=1))
        _, pullback = tg.vjp(lambda image: tg.conv2d(image, self.weight, padding=1), np.zeros(x.shape, np.float32))
        (image,) = pullback(code)
        return self.head(flat(tg.tanh(image)))


class Branches(nn.Module):
    """Two pools, two relus and a sum over one convolution's output."""

    def __init__(self):
        self.conv = nn.Conv2D(3, 4, 3, padding=1, rng=0)
        self.head = nn.Linear(4 * 9, 5, rng=2)

    def forward(self, x):
        z = self.conv(x)
        one, other = tg.max_pool2d(tg.relu(z), 2), tg.relu(tg.max_pool2d(z, 2))
        return self.head(flat(one * other + tg.avg_pool2d(z, 2)))


NETWORKS = {make.__name__: make for make in (Projected, Repeated, SharedNorm, Decoder, Tied, Branches)}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_share_parts_replay(name, optimizer, large, request, rng):
    if large:
        request.getfixturevalue("everything_is_large")

    def make():
        model = NETWORKS[name]()
        parameters = model.parameters()
        step = nn.optim.SGD(parameters, 0.01, momentum=0.9) if optimizer == "sgd" else nn.optim.Adam(parameters, 1e-3, eps=1e-3)
        return training(model, step)

    agree(make, batches(rng, 6, (4, 3, 6, 6), 5), 1e-4)
