"""Layers that bring signals to a common scale: batch normalization and local response normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .arguments import number, whole
from .module import Module
from .parameter import Buffer, Parameter


class BatchNorm2D(Module):
    """Each channel of a batch of images to mean 0 and variance 1, then times a weight plus a bias. (N, C, H, W) -> the same.

    In training the mean and variance are those of the batch, over N, H and W, and the running ones move towards them by
    `momentum`; in use they are the running ones.
    Ioffe and Szegedy, Batch normalization: accelerating deep network training, 2015, https://arxiv.org/abs/1502.03167.

    Args:
        num_features: C.
        eps: added to the variance before its root is divided by.
        momentum: what part of the way the running statistics go towards those of each batch, from 0 to 1; None makes
            them the averages over all batches so far.
        affine: whether there is a weight, at first 1, and a bias, at first 0.
        track_running_stats: without, the statistics are those of the batch in use too.
        dtype: of the parameters and running statistics.

    Attributes:
        weight, bias: Parameters (C,), or None.
        running_mean, running_var: Buffers (C,), at first 0 and 1, or None. The variance is the unbiased one, over n - 1.
        num_batches_tracked: Buffer (), how many batches they have seen, or None.

    >>> layer = BatchNorm2D(1)
    >>> layer([[[[1.0]]], [[[3.0]]]]).numpy().ravel()
    array([-0.999995,  0.999995], dtype=float32)
    >>> layer.running_mean, layer.running_var
    (Buffer([0.2], dtype=float32), Buffer([1.1], dtype=float32))
    """

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_features = whole("BatchNorm2D", "num_features", num_features)
        self.eps = number("BatchNorm2D", "eps", eps)
        self.momentum = None if momentum is None else number("BatchNorm2D", "momentum", momentum, high=1.0)
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine else None
        self.running_mean = Buffer(np.zeros(num_features, dtype)) if track_running_stats else None
        self.running_var = Buffer(np.ones(num_features, dtype)) if track_running_stats else None
        self.num_batches_tracked = Buffer(np.array(0)) if track_running_stats else None

    def forward(self, x: Any) -> tg.Tensor:
        x = x if isinstance(x, tg.Tensor) else tg.Tensor(x)
        if x.ndim != 4 or x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm2D: takes images of {self.num_features} channels, (N, {self.num_features}, H, W), not {x.shape}"
            )
        if not self.training and self.running_mean is not None:
            mean, var = self.running_mean, self.running_var
            return tg.batch_norm(x, self.weight, self.bias, mean=mean, var=var, eps=self.eps)
        out, mean, var = tg.batch_norm(x, self.weight, self.bias, eps=self.eps, with_statistics=True)
        if self.training and self.running_mean is not None:
            self._track(mean, var, x.size // self.num_features)
        return out

    @tg.no_grad()
    def _track(self, mean: tg.Tensor, var: tg.Tensor, count: int) -> None:
        """Move the running statistics towards those of a batch with `count` numbers in each channel."""
        if not count:
            raise ValueError("BatchNorm2D: in training, a batch needs at least one image to take statistics of")
        tg.assign(self.num_batches_tracked, self.num_batches_tracked + 1)
        part = 1 / self.num_batches_tracked.astype(mean.dtype) if self.momentum is None else self.momentum
        unbiased = var * (count / (count - 1))
        tg.assign(self.running_mean, self.running_mean + (mean - self.running_mean) * part)
        tg.assign(self.running_var, self.running_var + (unbiased - self.running_var) * part)

    def extra_repr(self) -> str:
        text = str(self.num_features)
        text += f", eps={self.eps:g}" if self.eps != 1e-5 else ""
        text += f", momentum={self.momentum}" if self.momentum != 0.1 else ""
        text += ", affine=False" if self.weight is None else ""
        return text + (", track_running_stats=False" if self.running_mean is None else "")


class LocalResponseNorm(Module):
    """x / (k + alpha / size * squares)^beta, the squares summed over neighbouring channels. (N, C, H, W) -> the same.

    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012, section 3.3.
    Their alpha is this one over size: they do not divide by it, PyTorch does.

    Args:
        size: how many channels: the channel itself, size // 2 before it and (size - 1) // 2 behind it.
        alpha, beta, k: as in the formula.

    >>> LocalResponseNorm(5, k=2)
    LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=2)
    """

    def __init__(self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = whole("LocalResponseNorm", "size", size)
        self.alpha = number("LocalResponseNorm", "alpha", alpha)
        self.beta = number("LocalResponseNorm", "beta", beta)
        self.k = number("LocalResponseNorm", "k", k)

    def forward(self, x: Any) -> tg.Tensor:
        return tg.local_response_norm(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"
