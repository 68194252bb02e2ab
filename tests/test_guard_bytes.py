"""No kernel and no replay writes beyond its memory, in any memory layout, on one thread or two.

`python tests/stress/guard_bytes.py` does the same over many more cases, programs and networks.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from cases import ROWS, Row
from guard_checks import check_row, check_training
from guarded import WIDTH, Guards, checked_as_strided, guarding, small_thresholds
from hypothesis import given, settings
from hypothesis import strategies as st
from replay.random_networks import Drawn

from tensorgrad.kernels import pool
from tensorgrad.kernels.windows import axes

every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
both_ways = pytest.mark.parametrize("thresholds", [nullcontext, small_thresholds], ids=["one thread", "two threads"])


@both_ways
@every_row
@settings(max_examples=4)
@given(data=st.data())
def test_primitives(row: Row, thresholds, data: st.DataObject):
    call, dtype = data.draw(row.calls), data.draw(st.sampled_from([np.float32, np.float64]))
    with thresholds():
        check_row(row, call, dtype)


@both_ways
@pytest.mark.parametrize("seed", range(6))
def test_random_networks(seed, thresholds):
    drawn = Drawn(seed)

    def make():
        step, model = drawn.step()
        return step, model.parameters()

    with thresholds():
        check_training(make, drawn.data(5))


# -- the guards themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [-1, 24])
def test_a_byte_written_outside_is_found(place):
    with pytest.raises(AssertionError, match=r"1 bytes (before|behind) 24 bytes of memory"), guarding() as guards:
        made = guards.empty((2, 3), np.float32)
        outside = np.lib.stride_tricks.as_strided  # the checked one refuses what follows
        assert outside is checked_as_strided
        guards._all[0][WIDTH + place] = 7
        assert made.shape == (2, 3)


def test_a_view_beyond_its_memory_is_refused():
    with guarding() as guards:
        x = guards.empty((4, 4), np.float32)
        checked_as_strided(x, (2, 2, 3, 3), (16, 4, 16, 4))
        with pytest.raises(AssertionError, match="a view of shape"):
            checked_as_strided(x, (3, 2, 3, 3), (16, 4, 16, 4))
        with pytest.raises(AssertionError, match="a view of shape"):
            checked_as_strided(x[1:], (4, 4), (16, 4))


def test_a_kernel_that_writes_too_far_is_found(monkeypatch, rng):
    vertical, horizontal = axes((6, 6), (2, 2), (2, 2), (0, 0), (1, 1))
    blocks = pool.blocks
    x = rng.standard_normal((3, 2, 6, 6))
    with guarding():
        pool.maximum(x, vertical, horizontal)

    def too_far(shape, itemsize):
        found = blocks(shape, itemsize)
        memory = pool.np.empty(8)
        np.ndarray((9,), float, buffer=memory.base, offset=WIDTH)[8] = 1.0
        return found

    monkeypatch.setattr(pool, "blocks", too_far)
    with pytest.raises(AssertionError, match="8 bytes behind 64 bytes"), guarding():
        pool.maximum(x, vertical, horizontal)


@pytest.mark.parametrize("step", [1, 2, -1])
def test_copies_lie_in_memory_as_their_arrays_do(step):
    guards, x = Guards(), np.arange(24.0).reshape(4, 6).T[::step]
    made = guards.copy(x)
    assert made.strides == x.strides and np.array_equal(made, x) and not np.may_share_memory(made, x)
    guards.require_whole()
