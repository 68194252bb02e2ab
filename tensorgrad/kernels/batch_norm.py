"""Batch normalization: each channel less its mean and over its standard deviation, and the derivatives of that.

Of x (N, C, ...) each channel has M numbers; their mean m, their variance v and the scale r = 1 / sqrt(v + eps) are vectors
(C,). All sums are found while their block of channels lies in cache, so that memory is read and written about once.
"""

from __future__ import annotations

import numpy as np

from .channels import blocks, delivered, pieces, room_for_rows, row_products, row_sums, rows_of


def normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float, out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, C, ...), (C,), (C,) -> weight (x - m) r + bias, and m and v."""
    rows, result = rows_of(x), room_for_rows(out, x.shape, x.dtype)
    mean, var = np.zeros((2, len(rows), 1))
    count = max(1, rows.shape[1])
    for some in blocks(rows):
        block, centred = rows[some], result[some]
        mean[some] = row_sums(block) / count
        squares = _centre(block, mean[some], centred, centred)
        var[some] = squares / count
        scale = _column(weight, some) / np.sqrt(var[some] + eps)
        for piece in pieces(block):
            part = centred[:, piece]
            part *= scale.astype(x.dtype)
            if bias is not None:
                part += bias[some, None]
    return delivered(result, x.shape, out), mean[:, 0].astype(x.dtype), var[:, 0].astype(x.dtype)


def input_grad(
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """weight r (y - <y> - z <y z>) with z = (x - m) r and <> the mean of a channel: the cotangent of x that belongs to y."""
    result = room_for_rows(out, x.shape, x.dtype)
    _fill_gradients(y, x, weight, mean, var, eps, result)
    return delivered(result, x.shape, out)


def gradients(
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    out: list[np.ndarray],
) -> None:
    """Write `input_grad`, `weight_grad` and the sum of y over each channel into three arrays, in one pass."""
    result = room_for_rows(out[0], x.shape, x.dtype)
    products, sums = _fill_gradients(y, x, weight, mean, var, eps, result)
    delivered(result, x.shape, out[0])
    np.copyto(out[1], (products / np.sqrt(var[:, None].astype(np.float64) + eps))[:, 0], casting="same_kind")
    np.copyto(out[2], sums[:, 0], casting="same_kind")


def _fill_gradients(
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    result: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill `result` (C, M) with the cotangent of x. Returns what it takes: the sums (C, 1) of y (x - m) and of y."""
    cotangent, rows = rows_of(y), rows_of(x)
    all_products, all_sums = np.zeros((2, len(rows), 1))
    count = max(1, rows.shape[1])
    variances = var[:, None].astype(np.float64) + eps
    for some in blocks(rows):
        g, centred = cotangent[some], result[some]
        products = all_products[some] = _centre(rows[some], mean[some, None], centred, g)
        sums = all_sums[some] = row_sums(g)
        slope = (products / (-count * variances[some])).astype(x.dtype)
        shift = (sums / count).astype(x.dtype)
        scale = (_column(weight, some) / np.sqrt(variances[some])).astype(x.dtype)
        for piece in pieces(g):
            part = centred[:, piece]
            part *= slope
            part += g[:, piece]
            part -= shift
            part *= scale
    return all_products, all_sums


def weight_grad(y: np.ndarray, x: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float) -> np.ndarray:
    """(C,): the sum of y (x - m) r over each channel: the cotangent of the weight that belongs to y."""
    cotangent, rows = rows_of(y), rows_of(x)
    sums = np.zeros((len(rows), 1))
    for some in blocks(rows):
        sums[some] = _centre(rows[some], mean[some, None], None, cotangent[some])
    sums /= np.sqrt(var[:, None].astype(np.float64) + eps)
    return sums[:, 0].astype(x.dtype)


def scale_and_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray | None, out: np.ndarray | None = None) -> np.ndarray:
    """(N, C, ...), (C,), (C,) -> scale x + shift"""
    rows, result = rows_of(x), room_for_rows(out, x.shape, x.dtype)
    for some in blocks(rows):
        for piece in pieces(rows[some]):
            part = np.multiply(rows[some, piece], scale[some, None], out=result[some, piece])
            if shift is not None:
                part += shift[some, None]
    return delivered(result, x.shape, out)


def _centre(rows: np.ndarray, mean: np.ndarray, centred: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    """Write rows - mean into `centred`, if given, and return the sums of its products with `other`, which may be `centred`."""
    sums = np.zeros((len(rows), 1))
    for piece in pieces(rows):
        part = None if centred is None else centred[:, piece]
        part = np.subtract(rows[:, piece], mean.astype(rows.dtype), out=part)
        sums += row_products(part, other[:, piece])
    return sums


def _column(weight: np.ndarray | None, some: slice) -> np.ndarray | float:
    """The weights of some channels as a column, in float64."""
    return 1.0 if weight is None else weight[some, None].astype(np.float64)
