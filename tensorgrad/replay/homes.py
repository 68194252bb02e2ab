"""Homes: memory that replays update in place, and that users see only through an array which tells whether they hold it."""

from __future__ import annotations

import sys
import weakref

import numpy as np

from ..graph import Value
from ..tensor import Tensor


def memory_order(x: Value | np.ndarray) -> tuple[int, ...]:
    """The axes from the one with the largest step in memory to the one with the smallest; then those of size 1, which
    take no steps."""
    return tuple(sorted(range(len(x.shape)), key=lambda axis: (x.shape[axis] == 1, -abs(x.strides[axis]))))


def laid_out(memory: memoryview | np.ndarray, shape: tuple[int, ...], dtype: str, order: tuple[int, ...]) -> np.ndarray:
    """An array over the memory whose axes lie there in an order given."""
    stored = np.ndarray([shape[axis] for axis in order], dtype, buffer=memory)
    return stored.transpose(np.argsort(order)) if order else stored


class Memory(np.ndarray):
    """Bytes of which arrays are made. NumPy lets a view of an array refer to what lies behind it, but only if that is of
    the same class: so a view of an array over such memory refers to the array."""


class Home:
    """Where the value of a leaf, or its gradient, lies from replay to replay.

    Users are shown one array over the memory, replays use another. The first is held by its tensor and by the home; if
    anybody else holds it, or a view of it, a replay must not change it any more, and the home moves.
    """

    def __init__(self, leaf: Tensor, value: Value) -> None:
        self.leaf = weakref.ref(leaf)
        self._shape, self._dtype, self._order = value.shape, value.dtype, memory_order(value)
        self.move()

    def move(self) -> None:
        """Take other memory, with undefined contents."""
        count = int(np.prod(self._shape)) * np.dtype(self._dtype).itemsize
        memory = Memory(max(count, 1), np.uint8)
        array, shown = self._over(memory), self._over(memory)
        self.array, self.shown = array, shown  # both or, after an interrupt, neither

    def _over(self, memory: Memory) -> np.ndarray:
        strides, step = [0] * len(self._shape), np.dtype(self._dtype).itemsize
        for axis in reversed(self._order):
            strides[axis] = step
            step *= max(self._shape[axis], 1)
        return np.ndarray(self._shape, self._dtype, buffer=memory, strides=strides)

    def held_elsewhere(self, expected: int) -> bool:
        """Whether more than `expected` references to the array shown exist beside the home's own."""
        return sys.getrefcount(self.shown) - 2 > expected  # the home's, and the one that the call itself makes


_homes: weakref.WeakValueDictionary[tuple[int, str], Home] = weakref.WeakValueDictionary()


def home_of(leaf: Tensor, kind: str) -> Home | None:
    """The home of a leaf's "value" or "gradient", if it has one: compiled functions that update a leaf share it."""
    home = _homes.get((id(leaf), kind))
    return home if home is not None and home.leaf() is leaf else None


def settle(leaf: Tensor, kind: str, value: Value) -> Home:
    """The home of a leaf's value or gradient, a new one if it has none that fits."""
    home = home_of(leaf, kind)
    if home is None or home.shown.shape != value.shape or str(home.shown.dtype) != value.dtype:
        home = _homes[id(leaf), kind] = Home(leaf, value)
    return home
