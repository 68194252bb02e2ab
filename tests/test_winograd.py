"""Convolution by Winograd's method against plain sums of products, run at once and replayed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg
from tensorgrad.kernels import fused_winograd, winograd
from tensorgrad.kernels.windows import axes


@pytest.fixture(autouse=True)
def for_small_convolutions(monkeypatch):
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "LEAST_TILES", 1)
    monkeypatch.setattr(fused_winograd, "PIECE_BYTES", 1 << 12)
    yield
    tg.set_winograd(True)


def suits(size, channels=16, filters=16, batch=128, dtype="float32", kernel=3, stride=1, padding=1, dilation=1, groups=1):
    along = axes(*((n, n) for n in (size, kernel, stride, padding, dilation)))
    return winograd.suits((batch, channels, size, size), (filters, channels, kernel, kernel), *along, groups, dtype)


def random(shape, seed, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(found, expected):
    assert found.shape == expected.shape and found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_maps_are_an_identity_of_lavin_and_gray():
    d, f = random((6,), 0, float), random((3,), 1, float)
    found = winograd.OUTPUT @ ((winograd.FILTER @ f) * (winograd.INPUT @ d))
    assert np.allclose(found, [d[k : k + 3] @ f for k in range(4)], rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(4, 14), st.integers(4, 14), st.integers(0, 2),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_convolution_and_its_transposes_agree_with_float64(batch, channels, filters, height, width, padding, biased, innermost):
    x, w = random((batch, channels, height, width), 0), random((filters, channels, 3, 3), 1)
    b = random((filters,), 2) if biased else None
    if innermost:
        x = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    along = axes((height, width), (3, 3), (1, 1), (padding, padding), (1, 1))
    exact = [None if a is None else tg.Tensor(a.astype(np.float64), requires_grad=True) for a in (x, w, b)]
    y = tg.conv2d(*exact, padding=padding)
    g = random(y.shape, 3)
    (y * g).sum().backward()
    close(fused_winograd.correlate(x, w, b, *along), y.data.astype(np.float32))
    close(fused_winograd.input_grad(g, w, x.shape, *along), exact[0].grad.data.astype(np.float32))
    close(fused_winograd.weight_grad(g, x, w.shape, *along), exact[1].grad.data.astype(np.float32))


@pytest.mark.parametrize("pool", [0, 2, 3, 4, (1, 2), (4, 1), (2, 4)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("height", "width", "padding"), [(8, 8, 1), (9, 14, 1), (7, 13, 0), (5, 6, 2)])
def test_replay_does_as_eager_and_as_im2col(pool, relu, height, width, padding):
    x, w, b = (
        tg.Tensor(random(shape, k), requires_grad=True) for k, shape in enumerate([(3, 4, height, width), (5, 4, 3, 3), (5,)])
    )

    def step():
        x.grad = w.grad = b.grad = None
        y = tg.conv2d(x, w, b, padding=padding)
        y = tg.relu(y) if relu else y
        y = tg.max_pool2d(y, pool) if pool else y
        ((y + 1.0) * y).sum().backward()  # a cotangent that is not 0 where relu lets nothing pass
        return y

    def outcome(run):
        return [run().data.copy(), *(leaf.grad.data.copy() for leaf in (x, w, b))]

    compiled = tg.compile(step)
    for _ in range(3):
        compiled()
    replayed = outcome(compiled)
    assert isinstance(compiled._latest.runner.program.steps[0].where, fused_winograd.Grid) == (pool != 3)
    eager = outcome(step)
    tg.set_winograd(False)
    for found, same, plain in zip(replayed, eager, outcome(step), strict=True):
        close(found, plain)
        close(same, plain)


def test_a_gradient_of_a_gradient_agrees_with_im2col():
    x, w = (tg.Tensor(random(shape, k), requires_grad=True) for k, shape in enumerate([(2, 3, 8, 7), (4, 3, 3, 3)]))

    def second():
        def of_first(x, w):
            return (tg.grad(lambda w: (tg.conv2d(x, w, padding=1) ** 3).sum())(w) ** 2).sum()

        return [tg.grad(of_first, argnums=k)(x, w).data for k in range(2)]

    found = second()
    tg.set_winograd(False)
    for a, b in zip(found, second(), strict=True):
        close(a, b)


def test_the_method_is_taken_where_it_saves_time_and_loses_no_more_than_float32_allows(monkeypatch):
    monkeypatch.undo()
    assert suits(28) and suits(7) and suits(4)
    assert not suits(28, channels=3) and not suits(28, filters=8)
    assert not suits(28, dtype="float64") and not suits(28, dtype="float16")
    assert not suits(28, kernel=5, padding=2) and not suits(28, stride=2) and not suits(28, dilation=2)
    assert not suits(28, groups=2) and not suits(28, padding=3)
    assert not suits(2) and not suits(4, batch=8) and not suits(28, batch=0)


def test_a_switch_turns_it_off_and_a_compiled_step_notices():
    x, w = tg.Tensor(random((2, 3, 8, 8), 0)), tg.Tensor(random((4, 3, 3, 3), 1))
    step = tg.compile(lambda: tg.conv2d(x, w, padding=1))
    fast = [step().data for _ in range(4)][-1]
    assert tg.set_winograd(False) is True
    plain = [step().data for _ in range(4)][-1]
    assert np.array_equal(plain, tg.conv2d(x, w, padding=1).data)
    assert not np.array_equal(plain, fast)
    assert tg.set_winograd(True) is False
    assert np.array_equal(step().data, fast)


# -- numbers far beyond the others -------------------------------------------------------------------------------------


def by_sums(x, w, padding=1):
    """The convolution in float64, and the sum of magnitudes that each output is made of."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    w = w.astype(np.float64)
    magnitudes = np.einsum("nchwij,fcij->nfhw", np.abs(windows), np.abs(w))
    return np.einsum("nchwij,fcij->nfhw", windows, w), magnitudes


FAR = [-1e3, 1e3, 1e4, -1e5, 1e5, 1e6, 1e12, np.inf, -np.inf, np.nan]


def bounded(found, expected, magnitudes):
    """Each output is as exact as plain sums in float32 make it, by the numbers that it sees alone."""
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(found), finite)
    assert (np.abs(found - expected)[finite] <= 1e-5 * magnitudes[finite]).all()


@pytest.mark.parametrize("value", FAR)
@pytest.mark.parametrize("place", [(0, 0), (9, 11), (19, 19), (3, 4)])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_one_pixel_far_beyond_the_others_reaches_the_outputs_that_see_it_alone(value, place, rng):
    x = rng.standard_normal((8, 32, 20, 20)).astype(np.float32)
    w = rng.standard_normal((24, 32, 3, 3)).astype(np.float32)
    x[(3, 5, *place)] = value
    with np.errstate(all="ignore"):
        bounded(tg.conv2d(x, w, padding=1).data, *by_sums(x, w))


@pytest.mark.parametrize("value", FAR)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_so_does_one_number_of_a_cotangent(value, rng):
    y = rng.standard_normal((8, 24, 20, 20)).astype(np.float32)
    w = rng.standard_normal((24, 32, 3, 3)).astype(np.float32)
    y[3, 5, 9, 11] = value
    settings = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    with np.errstate(all="ignore"):
        found = tg.PRIMITIVES["conv2d_input_grad"](y, w, shape=(8, 32, 20, 20), **settings).data
        bounded(found, *by_sums(y, w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]))


@pytest.mark.parametrize("value", [1e5, -1e6, np.inf, np.nan])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_and_in_a_replay(value, rng):
    w = tg.Tensor(rng.standard_normal((24, 32, 3, 3)).astype(np.float32))
    bias = tg.Tensor(rng.standard_normal(24).astype(np.float32))
    step = tg.compile(lambda x: tg.max_pool2d(tg.relu(tg.conv2d(x, w, bias, padding=1)), 2))
    with np.errstate(all="ignore"):
        for k in range(6):
            x = rng.standard_normal((8, 32, 20, 20)).astype(np.float32)
            if k == 5:
                x[3, 5, 9, 11] = value
            found = step(x).data
        expected, magnitudes = by_sums(x, w.data)
        sees = np.zeros((8, 1, 20, 20), bool)
        sees[3, :, 8:11, 10:13] = True
        blocks = (8, 24, 10, 2, 10, 2)
        pooled = np.maximum(expected + bias.data[:, None, None], 0).reshape(blocks).max((3, 5))
        allowed = 1e-5 * magnitudes.reshape(blocks).max((3, 5)) + 1e-5
        others = ~np.broadcast_to(sees, expected.shape).reshape(blocks).any((3, 5))
    assert "conv2d + relu + max_pool2d" in str(step.plan()) and step.replays >= 3
    assert (np.abs(found - pooled)[others] <= allowed[others]).all()


def test_ordinary_images_are_not_computed_twice(rng, monkeypatch):
    from tensorgrad.kernels import fused_winograd

    monkeypatch.setattr(fused_winograd.PieceWorker, "windows", None)  # what computing again needs
    shape = (8, 32, 20, 20)
    for x in (rng.standard_normal(shape), rng.standard_normal(shape) ** 3, rng.exponential(1, shape)):
        tg.conv2d(x.astype(np.float32), rng.standard_normal((24, 32, 3, 3)).astype(np.float32), padding=1)
    sparse = rng.standard_normal((8, 32, 20, 20)) * (rng.random((8, 32, 20, 20)) < 0.05)
    tg.conv2d(sparse.astype(np.float32), rng.standard_normal((24, 32, 3, 3)).astype(np.float32), padding=1)
