"""The convolutional layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .arguments import Rng, Size, pair, shown, whole
from .init import Initializer, weight_and_bias
from .module import Module


class Conv2D(Module):
    """Two-dimensional convolution (cross-correlation, as in all frameworks). (N, C, H, W) -> (N, F, OH, OW).

    OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1, and OW likewise.

    Args:
        in_channels: C.
        out_channels: F, the number of filters.
        kernel_size, stride, padding, dilation: ints, or pairs (vertical, horizontal); the padding is zeros on each side.
        groups: number of groups of channels that do not mix; must divide C and F.
        bias: whether to add a learned offset to each output channel.
        init: a callable (shape, rng) -> array for the weight, such as `nn.init.kaiming_normal()`; the bias is then 0. None is
            PyTorch's default: weight and bias from U(-b, b) with b = 1 / sqrt(C/groups KH KW).
        rng: a numpy Generator to draw from, or a seed; None draws from a fresh one without a seed. Layers that
            are given the same seed draw the same values: give them one generator instead.
        dtype: of the parameters.

    Attributes:
        weight: Parameter (F, C/groups, KH, KW).
        bias: Parameter (F,), or None.

    >>> layer = Conv2D(3, 10, 3, padding=1, rng=0)
    >>> layer
    Conv2D(3, 10, kernel_size=3, padding=1)
    >>> layer.weight.shape
    (10, 3, 3, 3)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        init: Initializer | None = None,
        rng: Rng = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_channels = whole("Conv2D", "in_channels", in_channels)
        self.out_channels = whole("Conv2D", "out_channels", out_channels)
        self.kernel_size = pair("Conv2D", "kernel_size", kernel_size)
        self.stride = pair("Conv2D", "stride", stride)
        self.padding = pair("Conv2D", "padding", padding, least=0)
        self.dilation = pair("Conv2D", "dilation", dilation)
        self.groups = whole("Conv2D", "groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"Conv2D: groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}; "
                "choose a common divisor"
            )
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight, self.bias = weight_and_bias("Conv2D", shape, bias=bias, init=init, rng=rng, dtype=dtype)

    def forward(self, x: Any) -> tg.Tensor:
        return tg.conv2d(
            x, self.weight, self.bias, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={shown(self.kernel_size)}"
        for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
            size = getattr(self, name)
            text += f", {name}={shown(size)}" if size != (usual, usual) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")
