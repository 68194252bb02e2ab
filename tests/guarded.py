"""Arrays between guard bytes: whoever writes beyond an array's memory is found out.

`guarding` puts guard bytes around what the package allocates itself: scratch memory and results of kernels, blocks, homes and
argument slots of replays, optimizers' scratch. `Guards.copy` puts them around a copy of an array, in its memory layout. Memory
begins as NaN (-1 for integers), and so do the guard bytes look to those who read them: reading too far shows in results.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tensorgrad.kernels import columns, correlate, fused_convolution, matrix, pool, sums
from tensorgrad.replay import homes, work

WIDTH = 256
"""Guard bytes on each side. A stride beyond them is found by `checked_as_strided`."""

PATTERN = np.frombuffer(b"\xfe\xff\xff\xff" * (WIDTH // 4), np.uint8)  # NaN as float32 and as float64
UNWRITTEN = 0xFF

PACKAGES = ("tensorgrad.kernels", "tensorgrad.ops", "tensorgrad.replay", "nn.optim")

as_strided = np.lib.stride_tricks.as_strided


class Guards:
    """Memory between guard bytes, kept until `require_whole`."""

    def __init__(self) -> None:
        self._all: list[np.ndarray] = []

    def allocate(self, nbytes: int, cls: type = np.ndarray) -> np.ndarray:
        """So many bytes, aligned as NumPy aligns."""
        whole = cls(nbytes + 2 * WIDTH, np.uint8)
        whole[:WIDTH] = whole[WIDTH + nbytes :] = PATTERN
        whole[WIDTH : WIDTH + nbytes] = UNWRITTEN
        self._all.append(whole)
        return whole[WIDTH : WIDTH + nbytes]

    def empty(self, shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
        shape, dtype = (shape,) if np.ndim(shape) == 0 else tuple(shape), np.dtype(dtype)
        memory = self.allocate(int(np.prod(shape, dtype=int)) * dtype.itemsize)
        return np.ndarray(shape, dtype, buffer=memory, order=order)

    def empty_like(
        self, prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
    ) -> np.ndarray:
        model = np.empty_like(prototype, dtype, order, subok, shape)
        memory = self.allocate(model.nbytes)
        return np.ndarray(model.shape, model.dtype, buffer=memory, strides=model.strides)

    def filled(self, like: np.ndarray) -> np.ndarray:
        made = self.empty_like(like)
        made[...] = like
        return made

    def copy(self, x: Any) -> Any:
        """An array's copy whose steps through memory are the same; anything else as it is."""
        if not isinstance(x, np.ndarray) or not x.size:
            return x
        low, high = np.lib.array_utils.byte_bounds(x)
        memory = self.allocate(high - low)
        offset = x.__array_interface__["data"][0] - low
        made = np.ndarray(x.shape, x.dtype, buffer=memory, offset=offset, strides=x.strides)
        made[...] = x
        return made

    def require_whole(self) -> None:
        """Fail where a guard byte was overwritten; then forget all memory."""
        for whole in self._all:
            for side, part in (("before", whole[:WIDTH]), ("behind", whole[-WIDTH:])):
                if not np.array_equal(part, PATTERN):
                    places = np.flatnonzero(part != PATTERN)
                    raise AssertionError(
                        f"{len(places)} bytes {side} {whole.nbytes - 2 * WIDTH} bytes of memory were overwritten: {places[:8]}"
                    )
        self._all.clear()


class GuardedNumpy(ModuleType):
    """NumPy with guard bytes around the arrays that it is asked for."""

    def __init__(self, guards: Guards) -> None:
        super().__init__("numpy")
        self.empty, self.empty_like = guards.empty, guards.empty_like
        self.zeros = lambda *given, **settings: guards.filled(np.zeros(*given, **settings))
        self.ones = lambda *given, **settings: guards.filled(np.ones(*given, **settings))
        self.zeros_like = lambda *given, **settings: guards.filled(np.zeros_like(*given, **settings))
        self.full = lambda *given, **settings: guards.filled(np.full(*given, **settings))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def checked_as_strided(x: np.ndarray, shape: Any = None, strides: Any = None, **settings: Any) -> np.ndarray:
    """A view, which must lie within the memory that its array is a view of."""
    view = as_strided(x, shape, strides, **settings)
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    low, high = np.lib.array_utils.byte_bounds(owner)
    if owner.nbytes >= 2 * WIDTH and np.array_equal(owner.reshape(-1).view(np.uint8)[:WIDTH], PATTERN):
        low, high = low + WIDTH, high - WIDTH
    begin, end = np.lib.array_utils.byte_bounds(view) if view.size else (low, low)
    if begin < low or end > high:
        raise AssertionError(f"a view of shape {view.shape} reaches {low - begin} bytes before, {end - high} behind its memory")
    return view


@functools.cache
def modules() -> tuple[ModuleType, ...]:
    """All modules of kernels, primitives, replays and optimizers."""
    packages = [
        importlib.import_module(name) for name in ("tensorgrad.kernels", "tensorgrad.ops", "tensorgrad.replay", "nn.optim")
    ]
    names = [f"{p.__name__}.{m.name}" for p in packages for m in pkgutil.iter_modules(p.__path__)]
    return tuple(importlib.import_module(name) for name in names)


@contextmanager
def guarding() -> Iterator[Guards]:
    """What the package allocates inside lies between guard bytes, which must be whole at the end."""
    guards = Guards()
    numpy = GuardedNumpy(guards)
    memory_of_homes = homes.Memory
    with pytest.MonkeyPatch.context() as patch:
        for module in modules():
            if getattr(module, "np", None) is np:
                patch.setattr(module, "np", numpy)
            if getattr(module, "as_strided", None) is as_strided:
                patch.setattr(module, "as_strided", checked_as_strided)
        patch.setattr(np.lib.stride_tricks, "as_strided", checked_as_strided)
        patch.setattr(homes, "Memory", lambda nbytes, dtype: guards.allocate(nbytes, memory_of_homes))
        yield guards
        guards.require_whole()


SMALL = (
    *((module, "LARGE", 1) for module in (importlib.import_module("tensorgrad.primitive"), pool, sums, correlate, matrix)),
    *((matrix, "ALONE", 0), (matrix, "SMALL", 0), (pool, "BLOCK_BYTES", 1 << 8)),
    *((columns, "TILE_BYTES", 1 << 9), (columns, "TILE_COLUMNS", 16)),
    *((work, "WORTHWHILE", 4), (work, "PIECE", 8), (work, "LARGE_PRODUCT", 8)),
    *((fused_convolution, "TILE_BYTES", 1 << 10), (fused_convolution, "TILE_COLUMNS", 8)),
)
"""Thresholds with which small arrays too are cut into tiles and pieces, and shared out among two threads."""


@contextmanager
def small_thresholds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name, size in SMALL:
            patch.setattr(module, name, size)
        yield
