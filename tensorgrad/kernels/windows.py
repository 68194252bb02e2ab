"""How windows lie along one axis of an image: how many there are, and which numbers of the image they cover."""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]


class Axis(NamedTuple):
    """Windows along one axis.

    Window `o` has its position `k` at the place `o * stride + k * dilation - padding` of the image, which may lie
    outside of it, in the padding.
    """

    size: int  # of the image
    kernel: int  # positions in a window
    stride: int
    padding: int
    dilation: int
    count: int  # of windows

    @property
    def apart(self) -> bool:
        """Whether no two windows overlap."""
        return self.stride > self.dilation * (self.kernel - 1)

    @property
    def covers(self) -> bool:
        """Whether windows that do not overlap cover all of the image."""
        return self.stride == self.kernel and self.dilation == 1 and self.count * self.stride - self.padding >= self.size

    def reversed(self) -> Axis:
        """The windows of the output that go into each place of an image, for a stride of 1: those of the way back."""
        return Axis(self.count, self.kernel, 1, self.dilation * (self.kernel - 1) - self.padding, self.dilation, self.size)

    def inside(self, k: int, first: int = 0, last: int | None = None) -> tuple[slice, slice]:
        """Which windows from `first` to before `last` have position `k` in the image, counted from `first`; and where there."""
        last = self.count if last is None else last
        shift = k * self.dilation - self.padding
        low = max(first, -(shift // self.stride))  # the first window with o * stride + shift >= 0
        high = min(last, (self.size - 1 - shift) // self.stride + 1)
        if high <= low:
            return slice(0, 0), slice(0, 0)
        return slice(low - first, high - first), slice(
            low * self.stride + shift, (high - 1) * self.stride + shift + 1, self.stride
        )


def axes(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool = False) -> tuple[Axis, Axis]:
    """The windows along height and width of an image.

    Raises:
        ValueError: a window is larger than the padded image.
    """
    vertical, horizontal = (
        Axis(*along, count_windows(*along, ceil_mode)) for along in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if vertical.count < 1 or horizontal.count < 1:
        spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
        padded = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
        raise ValueError(
            f"the window, {_by(spans)}, is larger than the padded image, {_by(padded)}; "
            "take a larger image, more padding or a smaller kernel"
        )
    return vertical, horizontal


def count_windows(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool = False) -> int:
    """How many windows fit. With `ceil_mode` also one that reaches beyond the padding, unless it begins in the far padding."""
    free = size + 2 * padding - dilation * (kernel - 1) - 1  # places that the first window leaves
    if not ceil_mode:
        return free // stride + 1
    count = -(-free // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def _by(pair: Pair) -> str:
    return f"{pair[0]} x {pair[1]}"
