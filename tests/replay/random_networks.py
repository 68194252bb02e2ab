"""Train random networks compiled and count refused replays: `python -m tests.replay.random_networks --count 500`.

A network has 1 to 12 layers of convolution, relu, pooling, batch norm, dropout, linear, and skips around some of them, and is
trained by SGD, momentum or Adam. Its replay must pass its check, and stay with a twin that runs eagerly as long as rounding
lets it. BLAS and its threads are set from outside, as in `OPENBLAS_CORETYPE=Haswell OPENBLAS_NUM_THREADS=4`.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import tensorgrad as tg
from tensorgrad.kernels import fused_convolution
from tensorgrad.replay import work

OPTIMIZERS: dict[str, Callable[[list[tg.Tensor]], Any]] = {
    "sgd": lambda p: nn.optim.SGD(p, 0.01),
    "momentum": lambda p: nn.optim.SGD(p, 0.01, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda p: nn.optim.Adam(p, 1e-3),
}


SMALL = (
    (work, "WORTHWHILE", 64),
    (work, "PIECE", 1000),
    (work, "LARGE_PRODUCT", 2000),
    (fused_convolution, "TILE_BYTES", 1 << 14),
    (fused_convolution, "TILE_COLUMNS", 256),
)
"""Thresholds with which small arrays too are fused, cut into pieces and shared out among threads."""


def small_thresholds() -> None:
    for module, name, size in SMALL:
        setattr(module, name, size)


KINDS = [
    *("conv", "conv relu", "conv relu pool", "conv pool relu", "conv norm relu", "pool", "mean", "norm", "relu"),
    *("dropout", "skip", "projection", "flatten"),
]
"""What may follow images."""


class Skip(nn.Module):
    """A layer and, beside it, nothing or a projection to as many channels."""

    def __init__(self, body: nn.Module, projection: nn.Module | None = None) -> None:
        self.body, self.projection = body, projection

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.body(x) + (x if self.projection is None else self.projection(x))


class Drawn:
    """A random network, drawn from a seed: `model()` makes it, the same each time."""

    def __init__(self, seed: int, dtype: type = np.float32) -> None:
        self.seed, self.dtype = seed, dtype
        rng = np.random.default_rng(seed)
        self.batch = int(rng.choice([2, 7, 16, 32, 64]))
        self.channels = int(rng.choice([1, 3, 8]))
        self.side = int(rng.integers(6, 21))
        self.optimizer = str(rng.choice(list(OPTIMIZERS)))
        self.pixels = bool(rng.integers(0, 2))  # integers from 0 to 255, among which many tie
        self.model()  # refuses nothing

    def model(self) -> nn.Sequential:
        rng = np.random.default_rng((self.seed, 1))
        shape, layers = (self.channels, self.side, self.side), [Scale(1 / 255 if self.pixels else 1.0)]
        for _ in range(int(rng.integers(1, 13))):
            layer, shape = self._layer(rng, shape)
            layers.append(layer)
        if len(shape) > 1:
            layers.append(nn.Flatten())
        layers.append(nn.Linear(int(np.prod(shape)), 10, rng=rng, dtype=self.dtype))
        return nn.Sequential(*layers)

    def _layer(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
        if len(shape) == 1:
            kind = rng.choice(["linear", "relu", "dropout", "skip"])
            if kind in ("linear", "skip"):
                out = shape[0] if kind == "skip" else int(rng.integers(4, 200))
                linear = nn.Linear(shape[0], out, rng=rng, dtype=self.dtype)
                return (Skip(nn.Sequential(linear, nn.ReLU())) if kind == "skip" else linear), (out,)
            return (nn.ReLU() if kind == "relu" else self._dropout(rng)), shape
        channels, side, _ = shape
        kind = rng.choice(KINDS)
        if kind == "flatten":
            return nn.Flatten(), (channels * side * side,)
        if kind in ("pool", "mean") and side >= 4:
            return (nn.MaxPool2D(2) if kind == "pool" else nn.AvgPool2D(2)), (channels, side // 2, side // 2)
        if kind == "norm":
            return nn.BatchNorm2D(channels, dtype=self.dtype), shape
        if kind in ("relu", "pool", "mean"):
            return nn.ReLU(), shape
        if kind == "dropout":
            return self._dropout(rng), shape
        out = channels if kind == "skip" else int(rng.choice([2, 4, 16, 24, 32]))
        if kind in ("skip", "projection"):
            body = [self._conv(rng, channels, out, 3, 1), nn.BatchNorm2D(out, dtype=self.dtype), nn.ReLU()]
            beside = None
            if kind == "projection":
                beside = nn.Sequential(self._conv(rng, channels, out, 1, 0), nn.BatchNorm2D(out, dtype=self.dtype))
            return Skip(nn.Sequential(*body), beside), (out, side, side)
        kernel = int(rng.choice([1, 3, 5])) if side >= 5 else 1
        padding = kernel // 2 if rng.integers(0, 2) else 0
        parts: list[nn.Module] = [self._conv(rng, channels, out, kernel, padding)]
        side += 2 * padding - kernel + 1
        for word in kind.split()[1:]:
            if word == "pool" and side >= 2:
                size = int(rng.choice([2, 3])) if side >= 3 else 2
                parts.append(nn.MaxPool2D(size))
                side //= size
            elif word != "pool":
                parts.append(nn.ReLU() if word == "relu" else nn.BatchNorm2D(out, dtype=self.dtype))
        return nn.Sequential(*parts), (out, side, side)

    def _conv(self, rng: np.random.Generator, channels: int, out: int, kernel: int, padding: int) -> nn.Conv2D:
        return nn.Conv2D(channels, out, kernel, padding=padding, bias=bool(rng.integers(0, 4)), rng=rng, dtype=self.dtype)

    def _dropout(self, rng: np.random.Generator) -> nn.Dropout:
        return nn.Dropout(float(rng.uniform(0.1, 0.6)), rng=int(rng.integers(0, 1000)))

    def step(self) -> tuple[Callable[..., tg.Tensor], nn.Module]:
        model = self.model()
        optimizer = OPTIMIZERS[self.optimizer](model.parameters())

        def step(x: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
            optimizer.zero_grad()
            loss = nn.cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
            return loss

        return step, model

    def data(self, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng((self.seed, 2))
        shape = (self.batch, self.channels, self.side, self.side)
        images = [rng.integers(0, 256, shape) if self.pixels else rng.standard_normal(shape) for _ in range(count)]
        return [(x.astype(self.dtype), rng.integers(0, 10, self.batch)) for x in images]


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x * self.factor


def refusal(drawn: Drawn, calls: int = 4) -> str | None:
    """Train a network compiled, and beside it eagerly. Returns why the replay is refused or wrong, None where it is right."""
    (step, model), (plain, twin) = drawn.step(), drawn.step()
    compiled = tg.compile(step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            losses = [(compiled(x, t).item(), plain(x, t).item()) for x, t in drawn.data(calls)]
        except (tg.ReplayError, RuntimeWarning) as error:
            return f"refused: {error}"
    replayed, eager = losses[-1]
    if not np.isclose(replayed, eager, rtol=0.05, atol=0.05, equal_nan=True):  # a flipped relu is no fault, and shows
        return f"the loss after {calls} steps is {replayed} and eagerly {eager}"
    for (name, a), (_, b) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        if a.version != b.version:
            return f"{name} has been updated {a.version} times and eagerly {b.version}"
    compiled.plan()  # raises where nothing was planned
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--count", type=int, default=500, help="how many networks")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--small", action="store_true", help="fuse and cut small arrays too")
    parser.add_argument("--float64", action="store_true", help="networks of float64")
    arguments = parser.parse_args()
    tg.show_config()
    if arguments.small:
        small_thresholds()
    refused = 0
    for seed in tqdm(range(arguments.first, arguments.first + arguments.count), unit="network"):
        reason = refusal(Drawn(seed, np.float64 if arguments.float64 else np.float32))
        if reason is not None:
            refused += 1
            tqdm.write(f"seed {seed}: {reason}")
    print(f"{refused} of {arguments.count} networks refused or wrong")
    raise SystemExit(refused > 0)


if __name__ == "__main__":
    main()
