"""What rounding may change: how far apart two results may be that are computed from the same inputs in two ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

TOLERANCE = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-12}
"""How far a step of a replay may be from the primitives that it stands for, relative to the norm of the result: a hundred
roundings in float32, some thousands in float64."""

JITTER = 64
"""By how many roundings the inputs are moved to see how much of a result is rounding."""

TIES = 0.01
"""How many elements of a result may hang on a tie."""


def tolerance_of(dtypes: Iterable[str]) -> float:
    """That of the coarsest floats: what is computed of them has their errors, whatever its own dtype."""
    return max((TOLERANCE.get(dtype, 0.0) for dtype in dtypes), default=0.0)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers, nan being equal to itself."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool((a == b).all()) or (b.dtype.kind == "f" and np.array_equal(a, b, equal_nan=True))


def close(a: np.ndarray, b: np.ndarray, tolerance: float, further: float = 0.0) -> bool:
    """Whether two arrays are the same but for rounding: the norm of their difference is at most `tolerance` times that of
    `b`, and `further`. What is not finite must be the same, and so must integers and booleans."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f" or not a.size:
        return same(a, b)
    size, apart = norm(b), norm_of_difference(a, b)
    if np.isfinite(size) and np.isfinite(apart):
        return apart <= tolerance * size + further + float(np.finfo(b.dtype).smallest_subnormal)
    finite = np.isfinite(b)
    if not same(a[~finite], b[~finite]):
        return False
    a, b = a[finite], b[finite]
    return norm_of_difference(a, b) <= tolerance * norm(b) + further


def close_but_for_cancellation(a: np.ndarray, b: np.ndarray, again: Callable[[], np.ndarray], tolerance: float) -> bool:
    """The same, for sums whose terms cancel: their norm is far below that of the terms, whose rounding they inherit. The
    gradient of a bias in front of a batch norm is nothing else.

    `again` makes `b` once more, of inputs moved by `JITTER` roundings: the result may be so far off as that moves it.
    """
    with np.errstate(all="ignore"):
        shifts = [norm_of_difference(again(), b) for _ in range(2)]
    return bool(np.isfinite(shifts).all()) and close(a, b, tolerance, 4 * max(shifts))


def close_but_for_ties(a: np.ndarray, b: np.ndarray, again: Callable[[], np.ndarray], tolerance: float) -> bool:
    """The same, for elementwise work with a choice in it, which falls either way where two numbers tie: a few elements may
    differ that change too when `again` makes `b` of inputs moved by `JITTER` roundings."""
    steady = np.ones(b.shape, bool)
    with np.errstate(all="ignore"):
        for _ in range(4):
            moved = again()
            if b.dtype.kind == "f":
                steady &= np.abs(np.subtract(moved, b, dtype=np.float64)) <= 0.01 * np.abs(b)
            else:
                steady &= moved == b
    differing = np.count_nonzero(~steady & (a != b))
    return differing <= max(1, TIES * b.size) and close(a[steady], b[steady], tolerance)


def moved(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The array with each of its floats up or down by `JITTER` roundings. Signs and zeros stay."""
    if array.dtype.kind != "f":
        return array
    step = JITTER * np.finfo(array.dtype).eps
    return np.asarray(array * rng.choice(np.array([1 - step, 1 + step], array.dtype), array.shape), array.dtype)


def norm(x: np.ndarray) -> float:
    """The Euclidean norm of all elements, as summed in float64."""
    flat = x.ravel("K")
    if flat.dtype == np.float32:  # some times faster, where no square is too large or too small for it
        with np.errstate(all="ignore"):
            squares = float(flat @ flat)
        if 1e-20 < squares < 1e35:
            return squares**0.5
    flat = flat.astype(np.float64, copy=False)
    return float(flat @ flat) ** 0.5


def norm_of_difference(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(all="ignore"):  # infinity minus infinity
        return norm(np.subtract(a, b) if a.dtype == np.float32 else np.subtract(a, b, dtype=np.float64))
