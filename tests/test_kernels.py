"""The kernels below convolution and pooling: where windows lie, tiles, products in pieces, memory order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tensorgrad.kernels import correlate, layout, pool
from tensorgrad.kernels.columns import TILE_BYTES, TILE_COLUMNS, Columns, padded, tiles
from tensorgrad.kernels.products import pieces, times_columns, times_transposed
from tensorgrad.kernels.windows import Axis, axes, count_windows

F32 = np.float32


def axis(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False) -> Axis:
    return Axis(size, kernel, stride, padding, dilation, count_windows(size, kernel, stride, padding, dilation, ceil_mode))


def every_axis():
    for size, kernel, stride, padding, dilation in itertools.product(
        range(1, 8), range(1, 4), range(1, 5), range(4), range(1, 4)
    ):
        for ceil_mode in (False, True):
            found = axis(size, kernel, stride, padding, dilation, ceil_mode)
            if found.count > 0:
                yield found


def places(along: Axis, window: int) -> list[int]:
    """Where in the image, or outside of it, the positions of a window lie."""
    return [window * along.stride + k * along.dilation - along.padding for k in range(along.kernel)]


# -- windows along an axis -------------------------------------------------------------------------------------------


def test_windows_are_counted_by_where_they_begin_and_end():
    for size, kernel, stride, padding, dilation in itertools.product(
        range(1, 8), range(1, 4), range(1, 4), range(3), range(1, 3)
    ):
        span = dilation * (kernel - 1) + 1
        starts = range(-padding, size + padding - span + 1, stride)
        assert max(0, count_windows(size, kernel, stride, padding, dilation)) == len(starts)


def test_ceil_mode_counts_as_pytorch_does():
    torch = pytest.importorskip("torch")
    for size, kernel, stride, dilation in itertools.product(range(1, 8), range(1, 4), range(1, 5), range(1, 3)):
        for padding in range(kernel // 2 + 1):
            settings = {"kernel_size": (1, kernel), "stride": (1, stride), "padding": (0, padding), "dilation": (1, dilation)}
            try:
                expected = torch.nn.functional.max_pool2d(torch.zeros(1, 1, 1, size), **settings, ceil_mode=True).shape[3]
            except RuntimeError:
                expected = 0
            assert max(0, count_windows(size, kernel, stride, padding, dilation, ceil_mode=True)) == expected


def test_what_a_position_of_the_windows_meets_inside_of_the_image():
    for along in every_axis():
        for k, first in itertools.product(range(along.kernel), range(along.count)):
            last = min(along.count, first + 3)
            windows, image = along.inside(k, first, last)
            found = dict(zip(range(first, last)[windows], range(along.size)[image], strict=True))
            expected = {o: places(along, o)[k] for o in range(first, last) if 0 <= places(along, o)[k] < along.size}
            assert found == expected


def test_whether_windows_overlap_and_cover():
    for along in every_axis():
        met = [p for o in range(along.count) for p in places(along, o) if 0 <= p < along.size]
        if along.apart:
            assert len(met) == len(set(met))
        if along.apart and along.covers:
            assert sorted(met) == list(range(along.size))
    assert axis(6, 2, 2).covers
    assert not axis(7, 2, 2).covers
    assert axis(7, 2, 2, ceil_mode=True).covers


def test_a_window_larger_than_the_padded_image_is_refused():
    with pytest.raises(ValueError, match="window, 5 x 2, is larger than the padded image, 4 x 6"):
        axes((2, 6), (3, 2), (1, 1), (1, 0), (2, 1))


# -- tiles and columns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [0, 1, 7, 300, 100_000])
@pytest.mark.parametrize("length", [9, 600, 5000])
@pytest.mark.parametrize("counts", [(1, 1), (13, 17), (200, 3), (3, 300)])
def test_tiles_hold_every_window_once_and_fit_in_cache(batch, length, counts):
    rows, columns = (axis(n, 1) for n in counts)
    met = np.zeros(counts, int)
    for tile in tiles(rows, columns, length, batch, itemsize=4):
        met[tile.top : tile.bottom, tile.left : tile.right] += 1
        enough = max(TILE_BYTES, 4 * length * max(TILE_COLUMNS, batch))
        assert tile.windows == 1 or 4 * length * batch * tile.windows <= enough
    assert (met == 1).all()


@pytest.mark.parametrize(("down", "across"), [(0, 0), (2, 1), (-1, 0), (-2, 3), (1, -1)])
def test_padding_adds_zeros_and_negative_padding_cuts_off(down, across, rng):
    image = rng.standard_normal((2, 6, 5, 3))
    cut = image[:, max(0, -down) : 6 - max(0, -down), max(0, -across) : 5 - max(0, -across)]
    expected = np.pad(cut, ((0, 0), (max(0, down),) * 2, (max(0, across),) * 2, (0, 0)))
    np.testing.assert_array_equal(padded(image, axis(6, 1, padding=down), axis(5, 1, padding=across)), expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_columns_that_end_in_ones(groups, rng):
    x, along = rng.standard_normal((3, 4, 6, 5)), (axis(6, 2), axis(5, 3))
    plain, with_ones = Columns(x, *along, groups), Columns(x, *along, groups, ones=True)
    room, more_room = plain.memory_for(plain.jobs), with_ones.memory_for(plain.jobs)
    for tile in plain.jobs:
        expected = np.insert(plain.of(tile, room), plain.length // groups, 1, axis=1)
        np.testing.assert_array_equal(with_ones.of(tile, more_room), expected)


@pytest.mark.parametrize("kernel", [(1, 1), (6, 5)])
def test_windows_that_are_a_matrix_already_are_not_copied(kernel, rng):
    x = layout.batch_first(rng.standard_normal((4, 6, 5, 3)))
    columns = Columns(x, axis(6, kernel[0]), axis(5, kernel[1]), 1, ones=True)
    assert not columns.ones
    room = columns.memory_for(columns.jobs)
    assert not room.size
    assert np.shares_memory(columns.of(columns.jobs[0], room), x)


# -- products --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("rows", "length", "count"), [(3, 5, 7), (30, 9, 8001), (5, 40, 20_000), (40, 60, 3000), (3, 4, 0), (0, 4, 9)]
)
def test_products_in_pieces_and_as_a_whole(groups, rows, length, count, rng):
    a, b = rng.standard_normal((groups, rows, length)), rng.standard_normal((groups, length, count))
    out = np.full((groups, rows, count + 3), np.nan)[:, :, 1 : count + 1]
    times_columns(a, b, out)
    np.testing.assert_allclose(out, np.einsum("gmk,gkp->gmp", a, b), rtol=1e-10, atol=1e-10)

    c = rng.standard_normal((groups, rows, count))
    expected = np.einsum("gmp,gkp->gmk", c, b, optimize=True)
    np.testing.assert_allclose(times_transposed(c, b), expected, rtol=1e-10, atol=1e-10)


def test_pieces_are_whole_and_leave_less_than_one():
    for work, count in itertools.product((1, 9, 270, 512), (0, 63, 64, 5000, 135_200)):
        piece, number = pieces(work, count, 512)
        assert 0 <= count - piece * number < piece
    assert pieces(513, 135_200, 512) == (135_200, 1)


def test_sums_over_many_windows_stay_accurate(rng):
    x = rng.standard_normal((1000, 1, 32, 32)).astype(F32) + F32(1)
    y = rng.standard_normal((1000, 2, 31, 31)).astype(F32) + F32(1)
    along = axis(32, 2), axis(32, 2)
    found = correlate.weight_grad(y, x, (2, 1, 2, 2), *along, 1)
    expected = correlate.weight_grad(y.astype(float), x.astype(float), (2, 1, 2, 2), *along, 1)
    assert found.dtype == F32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# -- memory order ----------------------------------------------------------------------------------------------------


def test_batch_innermost_copies_only_what_lies_otherwise(rng):
    stored = rng.standard_normal((3, 4, 5, 2))
    images = layout.batch_first(stored)
    assert images.shape == (2, 3, 4, 5)
    assert np.shares_memory(layout.batch_innermost(images), stored)
    rows = images.copy(order="C")
    copy = layout.batch_innermost(rows)
    assert copy.flags.c_contiguous
    assert not np.shares_memory(copy, rows)
    np.testing.assert_array_equal(copy, stored)


def kernels_that_take_out(rng):
    x, w, b = rng.standard_normal((2, 4, 6, 5)), rng.standard_normal((6, 2, 3, 2)), rng.standard_normal(6)
    along = axis(6, 3, 2, 1), axis(5, 2, 1, 1)
    y = correlate.correlate(x, w, None, *along, 2)
    pooled, winners = pool.maximum(x, *along)
    return {
        "correlate": lambda out=None: correlate.correlate(x, w, b, *along, 2, out=out),
        "input_grad, scattered": lambda out=None: correlate.input_grad(y, w, x.shape, *along, 2, out=out),
        "input_grad, gathered": lambda out=None: correlate.input_grad(
            x, w[:4], (2, 4, 8, 6), axis(8, 3), axis(6, 2), 2, out=out
        ),
        "maximum": lambda out=None: pool.maximum(x, *along, out=out)[0],
        "scatter_winners": lambda out=None: pool.scatter_winners(pooled, winners, x.shape, *along, out=out),
        "gather_winners": lambda out=None: pool.gather_winners(x, winners, *along, out=out),
        "window_sums": lambda out=None: pool.window_sums(x, *along, out=out),
        "spread_sums": lambda out=None: pool.spread_sums(pooled, *along, out=out),
    }


NAMES = list(kernels_that_take_out(np.random.default_rng(0)))


@pytest.mark.parametrize("name", NAMES)
def test_results_are_stored_with_the_batch_innermost(name, rng):
    result = kernels_that_take_out(rng)[name]()
    assert result.transpose(1, 2, 3, 0).flags.c_contiguous


@pytest.mark.parametrize("order", ["batch innermost", "batch first", "every other"])
@pytest.mark.parametrize("name", NAMES)
def test_a_result_goes_into_the_array_given(name, order, rng):
    kernel = kernels_that_take_out(rng)[name]
    expected = kernel()
    n, c, h, w = expected.shape
    out = {
        "batch innermost": layout.batch_first(np.full((c, h, w, n), np.nan)),
        "batch first": np.full((n, c, h, w), np.nan),
        "every other": np.full((n, c, 2 * h, w), np.nan)[:, :, ::2],
    }[order]
    assert kernel(out=out) is out
    np.testing.assert_array_equal(out, expected)


# -- two ways to the images' cotangent -------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "padding", "dilation"), [(3, 1, 1), (3, 0, 1), (2, 3, 1), (3, 2, 2), (1, 0, 1), (1, 2, 1), (6, 0, 1)]
)
def test_gathering_and_scattering_find_the_same(kernel, padding, dilation, groups, rng, monkeypatch):
    along = axis(6, kernel, 1, padding, dilation), axis(7, kernel, 1, padding, dilation)
    y = rng.standard_normal((2, 6, along[0].count, along[1].count))
    w = rng.standard_normal((6, 4 // groups, kernel, kernel))
    found = []
    for gathers in (True, False):
        monkeypatch.setattr(correlate, "_gathers", lambda *_, answer=gathers: answer)
        found.append(correlate.input_grad(y, w, (2, 4, 6, 7), *along, groups))
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-12)
