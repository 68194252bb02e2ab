"""Arrays (N, C, ...) as matrices with a row for each channel, and sums along such rows.

Stored with the batch innermost, as `layout` tells of images, all numbers of a channel lie together.
What is done to each channel by itself then runs over rows, a block of channels at a time that stays in cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 1 << 20
"""About how much of an array is worked on at a time, so that each pass over it finds it in cache."""

COLUMN_BYTES = 1 << 17
"""The same where several arrays of that size are worked on."""

RUN = 4096
"""How many products BLAS adds up in float32; the sums of these runs are added in float64."""


def rows_of(x: np.ndarray) -> np.ndarray:
    """(N, C, ...) -> (C, M), contiguous: a view where the batch is stored innermost, else a copy."""
    stored = np.ascontiguousarray(x.transpose(*range(1, x.ndim), 0))  # (C, ..., N)
    return stored.reshape(len(stored), math.prod(stored.shape[1:]))


def array_of(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C, M) -> (N, C, ...), a view with the batch innermost."""
    return rows.reshape(*shape[1:], shape[0]).transpose(-1, *range(len(shape) - 1))


def room_for_rows(out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A (C, M) array to write a result (N, C, ...) into: the memory of `out` where its order allows, else a new one."""
    if out is not None:
        stored = out.transpose(*range(1, out.ndim), 0)
        if stored.flags.c_contiguous and stored.dtype == dtype:
            return stored.reshape(shape[1], -1) if stored.size else np.empty((shape[1], 0), dtype)
    return np.empty((shape[1], shape[0] * math.prod(shape[2:])), dtype)


def delivered(rows: np.ndarray, shape: tuple[int, ...], out: np.ndarray | None) -> np.ndarray:
    """The result (C, M) as an array (N, C, ...), which is `out` where one was given."""
    result = array_of(rows, shape)
    if out is None:
        return result
    if not np.may_share_memory(out, rows):
        np.copyto(out, result, casting="same_kind")
    return out


def blocks(rows: np.ndarray) -> Iterator[slice]:
    """Some channels at a time, at least one: independent jobs."""
    some = max(1, BLOCK_BYTES // max(1, rows.shape[1] * rows.itemsize))
    return (slice(c, min(c + some, len(rows))) for c in range(0, len(rows), some))


def pieces(rows: np.ndarray) -> Iterator[slice]:
    """Columns of a block, all at once unless a single channel is too long."""
    some = max(RUN, BLOCK_BYTES // max(1, len(rows) * rows.itemsize))
    return (slice(m, m + some) for m in range(0, rows.shape[1], some))


def row_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(C, M), (C, M) -> (C, 1) of float64: the sum of products along each row."""
    in_runs, rest = _runs(a)
    others, their_rest = _runs(b)
    return _added(np.vecdot(in_runs, others), np.vecdot(rest, their_rest))


def row_sums(a: np.ndarray) -> np.ndarray:
    """(C, M) -> (C, 1) of float64: the sum along each row."""
    in_runs, rest = _runs(a)
    ones = np.ones(RUN, a.dtype)
    return _added(np.vecdot(in_runs, ones), np.vecdot(rest, ones[: rest.shape[1]]))


def _runs(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, M) -> (C, M // RUN, RUN) and what remains, both views."""
    whole = a.shape[1] - a.shape[1] % RUN
    return a[:, :whole].reshape(len(a), whole // RUN, RUN), a[:, whole:]


def _added(sums_of_runs: np.ndarray, sums_of_rest: np.ndarray) -> np.ndarray:
    """(C, M // RUN), (C,) -> (C, 1)"""
    return (sums_of_runs.sum(1, dtype=np.float64) + sums_of_rest)[:, None]


def columns_in_cache(rows: np.ndarray) -> Iterator[slice]:
    """Columns of all channels, about as many as stay in the fastest cache."""
    some = max(64, COLUMN_BYTES // max(1, len(rows) * rows.itemsize))
    return (slice(m, m + some) for m in range(0, rows.shape[1], some))
