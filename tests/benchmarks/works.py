"""What is timed: networks as lists of layers that every framework can read, their weights, and their data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

CONV_BLOCK = ("relu",), ("pool", 2)


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes:
        layers: ("conv", filters, kernel, padding), ("relu",), ("pool", size), ("flatten",), ("linear", units).
        shape: of the input, batch first.
        optimizer: "sgd", "adam", or None for inference.
        eager, replayed: what is aimed at, and what is the limit, in units of PyTorch's time.
    """

    name: str
    layers: tuple[tuple[Any, ...], ...]
    shape: tuple[int, ...]
    optimizer: str | None
    lr: float
    scale: float  # of the inputs
    std: float | None  # of the weights; None for what keeps variances
    eager: tuple[float, float]
    replayed: tuple[float, float] | None


def _convs(*filters: int) -> list[tuple[Any, ...]]:
    return [layer for f in filters for layer in (("conv", f, 3, 1), ("relu",))]


MNIST = (("conv", 30, 3, 0), *CONV_BLOCK, ("flatten",), ("linear", 256), ("relu",), ("linear", 10))
LENET = (
    *(("conv", 6, 5, 2), *CONV_BLOCK),
    *(("conv", 16, 5, 0), *CONV_BLOCK),
    *(("flatten",), ("linear", 120), ("relu",), ("linear", 84), ("relu",), ("linear", 10)),
)
VGG = (
    *(*_convs(32, 32), ("pool", 2), *_convs(64, 64), ("pool", 2), *_convs(128, 128), ("pool", 2)),
    *(("flatten",), ("linear", 256), ("relu",), ("linear", 10)),
)
MLP = (("linear", 256), ("relu",), ("linear", 256), ("relu",), ("linear", 10))

WORKS = {
    work.name: work
    for work in (
        Work("mnist_cnn", MNIST, (200, 1, 28, 28), "sgd", 0.001, 255.0, 0.01, (1.0, 1.1), (0.45, 0.55)),
        Work("lenet5", LENET, (128, 1, 28, 28), "sgd", 0.01, 1.0, None, (1.2, 1.6), (0.8, 1.1)),
        Work("vgg", VGG, (64, 3, 32, 32), "sgd", 0.001, 1.0, None, (1.4, 1.8), (1.0, 1.4)),
        Work("mlp", MLP, (64, 784), "adam", 0.001, 1.0, None, (1.0, 1.2), (0.8, 0.95)),
        Work("inference", MNIST, (500, 1, 28, 28), None, 0.0, 255.0, 0.01, (0.5, 0.5), (0.2, 0.2)),
    )
}
CHAIN = 10_000
"""Nodes of the chain of multiplications and additions on 4 x 4, by turns."""


def weights(work: Work) -> list[np.ndarray]:
    """Weights and biases of all layers in order: (F, C, K, K) or (out, in), and (F,) or (out,); the same in every process."""
    rng = np.random.default_rng(0)
    shape, made = list(work.shape[1:]), []
    for kind, *settings in work.layers:
        if kind == "conv":
            filters, kernel, padding = settings
            made += _layer(rng, (filters, shape[0], kernel, kernel), work.std)
            shape = [filters, *(n + 2 * padding - kernel + 1 for n in shape[1:])]
        elif kind == "pool":
            shape[1:] = [n // settings[0] for n in shape[1:]]
        elif kind == "flatten":
            shape = [int(np.prod(shape))]
        elif kind == "linear":
            made += _layer(rng, (settings[0], shape[0]), work.std)
            shape = [settings[0]]
    return made


def _layer(rng: np.random.Generator, shape: tuple[int, ...], std: float | None) -> list[np.ndarray]:
    std = std or float(np.sqrt(2 / np.prod(shape[1:])))
    return [(rng.standard_normal(shape) * std).astype(np.float32), np.zeros(shape[0], np.float32)]


def data(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """One batch and its labels."""
    rng = np.random.default_rng(1)
    x = rng.random(work.shape, dtype=np.float32) * np.float32(work.scale)
    return x, rng.integers(0, 10, work.shape[0])
