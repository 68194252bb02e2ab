"""Local response normalization: each number over a power of the squares around it, in the neighbouring channels.

In rows (C, M), one for each channel, s = k + alpha / size * (squares summed over the window of channels), and x becomes
x s^-beta. All channels of some columns are worked on at a time, as many as stay in cache.
"""

from __future__ import annotations

import numpy as np

from .channels import columns_in_cache, delivered, room_for_rows, rows_of


def normalize(x: np.ndarray, size: int, alpha: float, beta: float, k: float, out: np.ndarray | None = None) -> np.ndarray:
    """(N, C, ...) -> x s^-beta"""
    rows, result = rows_of(x), room_for_rows(out, x.shape, x.dtype)
    for some in columns_in_cache(rows):
        part = rows[:, some]
        power = _power(_scale(part, size, alpha, k), -beta)
        np.multiply(part, power, out=result[:, some])
    return delivered(result, x.shape, out)


def input_grad(
    y: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float, out: np.ndarray | None = None
) -> np.ndarray:
    """y s^-beta - 2 alpha beta / size * x * (y x s^(-beta-1), summed over all windows that a channel is in)"""
    cotangent, rows = rows_of(y), rows_of(x)
    result = room_for_rows(out, x.shape, x.dtype)
    for some in columns_in_cache(rows):
        part, target = rows[:, some], result[:, some]
        scale = _scale(part, size, alpha, k)
        power = _power(scale.copy(), -beta)
        np.multiply(cotangent[:, some], power, out=target)
        pull = np.multiply(target, part, out=power)
        pull /= scale
        pull = np.multiply(_windows(pull, size, back=True, out=scale), part, out=scale)
        pull *= 2 * alpha * beta / size
        target -= pull
    return delivered(result, x.shape, out)


def window_sums(x: np.ndarray, size: int, back: bool, out: np.ndarray | None = None) -> np.ndarray:
    """(N, C, ...) -> the sum over each channel's window, or over all channels whose windows it is in."""
    rows, result = rows_of(x), room_for_rows(out, x.shape, x.dtype)
    for some in columns_in_cache(rows):
        _windows(rows[:, some], size, back, result[:, some])
    return delivered(result, x.shape, out)


def _scale(part: np.ndarray, size: int, alpha: float, k: float) -> np.ndarray:
    squares = np.square(part)
    scale = _windows(squares, size, back=False, out=np.empty_like(squares))
    scale *= alpha / size
    scale += k
    return scale


def _power(base: np.ndarray, exponent: float) -> np.ndarray:
    """In place, base to a power: through the logarithm, which NumPy computes many at a time on every processor."""
    np.log(base, out=base)
    base *= exponent
    return np.exp(base, out=base)


def _windows(part: np.ndarray, size: int, back: bool, out: np.ndarray) -> np.ndarray:
    """Sums over windows of rows that begin size // 2 before each row; `back`: of the rows in whose windows it is."""
    before = (size - 1) // 2 if back else size // 2
    channels = len(part)
    np.copyto(out, part)
    for step in range(-before, size - before):
        low, high = max(0, -step), min(channels, channels - step)
        if step and low < high:
            out[low:high] += part[low + step : high + step]
    return out
