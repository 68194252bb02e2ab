"""Pooling layers: one value for each window of each channel."""

from __future__ import annotations

from typing import Any

import tensorgrad as tg

from .arguments import Size, pair, shown
from .module import Module


class _Pool2D(Module):
    """What both kinds have in common: the windows."""

    def __init__(self, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool) -> None:
        layer = type(self).__name__
        self.kernel_size = pair(layer, "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair(layer, "stride", stride)
        self.padding = pair(layer, "padding", padding, least=0)
        self.dilation = pair(layer, "dilation", dilation)
        self.ceil_mode = bool(ceil_mode)
        most = [(d * (k - 1) + 1) // 2 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        if any(p > m for p, m in zip(self.padding, most, strict=True)):
            raise ValueError(
                f"{layer}: padding={padding} is more than half of a window, so some windows would hold nothing else; "
                f"take at most {min(most)} here, or a larger kernel_size"
            )

    def extra_repr(self) -> str:
        text = shown(self.kernel_size)
        text += f", stride={shown(self.stride)}" if self.stride != self.kernel_size else ""
        text += f", padding={shown(self.padding)}" if self.padding != (0, 0) else ""
        return text + (", ceil_mode=True" if self.ceil_mode else "")


class MaxPool2D(_Pool2D):
    """The largest value of each window. (N, C, H, W) -> (N, C, OH, OW).

    Args:
        kernel_size, stride, padding, dilation: ints, or pairs (vertical, horizontal). Without a stride, windows stand side by
            side. The padding is -inf, so it never wins; of equal values the first wins the gradient.
        ceil_mode: let a last window reach over the edge, where it begins inside.

    >>> MaxPool2D(2)([[[[1.0, 2.0], [3.0, 4.0]]]])
    Tensor([[[[4.]]]], dtype=float32)
    """

    def __init__(
        self, kernel_size: Size, *, stride: Size | None = None, padding: Size = 0, dilation: Size = 1, ceil_mode: bool = False
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def forward(self, x: Any) -> tg.Tensor:
        return tg.max_pool2d(
            x, self.kernel_size, stride=self.stride, padding=self.padding, dilation=self.dilation, ceil_mode=self.ceil_mode
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", dilation={shown(self.dilation)}" if self.dilation != (1, 1) else "")


class AvgPool2D(_Pool2D):
    """The mean of each window. (N, C, H, W) -> (N, C, OH, OW).

    Args:
        kernel_size, stride, padding: ints, or pairs (vertical, horizontal). Without a stride, windows stand side by side.
        ceil_mode: let a last window reach over the edge, where it begins inside.
        count_include_pad: whether the zeros of the padding count in the mean.

    >>> AvgPool2D(2)([[[[1.0, 2.0], [3.0, 4.0]]]])
    Tensor([[[[2.5]]]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: Size,
        *,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Any) -> tg.Tensor:
        return tg.avg_pool2d(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.count_include_pad else ", count_include_pad=False")
