"""Sums that stay accurate, ties, variances at their limits, products with zeros."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tensorgrad as tg


def gradient(f, values, dtype=np.float64):
    x = tg.Tensor(np.asarray(values, dtype), requires_grad=True)
    f(x).sum().backward()
    return x.grad.data


# -- accuracy ------------------------------------------------------------------------------------------------------------


def test_ones_are_counted_right_past_the_digits_of_float32():
    ones = np.ones((2**25, 2), np.float32)
    np.testing.assert_array_equal(tg.sum(ones, 0).data, [2**25, 2**25])  # NumPy stops at 2**24


@pytest.mark.parametrize("shape", [(1_000_000, 3), (300_000, 10), (20_000, 64), (1000, 1000), (1_000_003,)])
def test_sums_and_means_over_the_leading_axis_are_accurate(shape):
    x = np.full(shape, 0.1, np.float32)  # whose roundings all go the same way
    exact = float(np.float32(0.1))
    np.testing.assert_allclose(tg.sum(x, 0).data, exact * shape[0], rtol=1e-5)
    np.testing.assert_allclose(tg.mean(x, 0).data, exact, rtol=1e-5)


def test_variances_over_the_leading_axis_are_accurate(rng):
    x = rng.standard_normal((500_000, 3)).astype(np.float32) + np.float32(100)
    np.testing.assert_allclose(tg.var(x, 0).data, x.astype(np.float64).var(0), rtol=1e-5)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 1, 2), (0, 3, 1, 2)], ids=["N C H W", "C H W N", "N H W C"])
def test_the_gradient_of_a_bias_is_accurate_in_any_memory_order(rng, order):
    stored = rng.uniform(0, 1, [(40, 6, 30, 31)[a] for a in np.argsort(order)]).astype(np.float32)
    g = stored.transpose(order)
    assert g.shape == (40, 6, 30, 31)
    np.testing.assert_allclose(tg.sum(g, (0, 2, 3)).data, g.astype(np.float64).sum((0, 2, 3)), rtol=2e-6)


def test_a_cotangent_is_unbroadcast_accurately():
    bias = tg.Tensor(np.zeros(2, np.float32), requires_grad=True)
    (bias + np.zeros((500_000, 2), np.float32)).backward(np.full((500_000, 2), 0.1, np.float32))
    np.testing.assert_allclose(bias.grad.data, 500_000 * float(np.float32(0.1)), rtol=1e-5)


@st.composite
def strided(draw):
    """Arrays of float32 of up to four axes in any order of memory, with steps, reversals and repetitions."""
    shape = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(lambda s: np.prod(s) <= 20_000))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    x = rng.uniform(0.5, 1, shape).astype(np.float32).transpose(draw(st.permutations(range(len(shape)))))
    x = x[tuple(slice(None, None, draw(st.sampled_from([1, 1, 2, -1]))) for _ in shape)]
    return np.broadcast_to(x, (300, *x.shape)) if draw(st.booleans()) and x.ndim < 4 else x


@given(strided(), st.data())
def test_sums_over_any_axes_of_any_strides(x, data):
    axes = tuple(data.draw(st.sets(st.integers(0, x.ndim - 1))))
    for keepdims in (False, True):
        out = tg.sum(x, axes, keepdims)
        expected = x.astype(np.float64).sum(axes, keepdims=keepdims)
        assert (out.shape, out.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(out.data, expected, rtol=2e-6)


def test_integers_and_booleans_are_summed_as_by_numpy():
    assert tg.sum(np.full((1000, 300), True)).item() == 300_000
    assert tg.sum(np.full((1000, 300), 100, np.int8), 0).dtype == np.int64
    assert tg.mean([1, 2]).item() == 1.5


# -- axes ----------------------------------------------------------------------------------------------------------------


def test_axes_in_all_their_forms():
    x = np.zeros((2, 3))
    np.testing.assert_array_equal(gradient(lambda x: tg.sum(x, -2, keepdims=True) * [1.0, 2.0, 3.0], x), [[1, 2, 3]] * 2)
    np.testing.assert_array_equal(gradient(lambda x: tg.mean(x, (0, -1)), np.zeros((2, 3, 4))), np.full((2, 3, 4), 1 / 8))
    assert tg.sum(x, ()).shape == (2, 3)
    assert tg.sum(x, [1]).shape == (2,)
    assert tg.sum(x, np.int64(1), keepdims=True).shape == (2, 1)


# -- ties and kinks ------------------------------------------------------------------------------------------------------


def test_ties_share_the_gradient():
    np.testing.assert_allclose(gradient(tg.max, [[2, 2], [2, 1]]), [[1 / 3, 1 / 3], [1 / 3, 0]], rtol=1e-15)
    np.testing.assert_array_equal(gradient(lambda x: tg.min(x, 1), [[2, 2], [2, 1]]), [[0.5, 0.5], [0, 1]])
    np.testing.assert_array_equal(gradient(lambda x: tg.maximum(x, [2.0, 1.0]), [2, 0]), [0.5, 0])


def test_extrema_of_nothing():
    assert tg.max(np.zeros((0, 3)), 1).shape == (0,)
    for f in (tg.max, tg.min):
        with pytest.raises(ValueError, match="no element along axis 0"):
            f(np.zeros((0, 3)), 0)


def test_variance_and_deviation_at_their_limits():
    np.testing.assert_array_equal(gradient(lambda x: tg.var(x, ddof=1), [1, 3]), [-2, 2])
    np.testing.assert_array_equal(gradient(tg.std, [3, 3]), [0, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(tg.std([3.0], ddof=1).item())
        assert np.isnan(gradient(lambda x: tg.std(x, ddof=1), [3])).all()


def test_the_second_derivative_of_a_deviation_of_zero_is_zero():
    x = tg.Tensor(np.array([3.0, 3.0]), requires_grad=True)
    tg.std(x).backward(create_graph=True)
    first, x.grad = x.grad, None
    (first * [1.0, 2.0]).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 0])


def test_means_of_nothing_are_nan():
    x = tg.Tensor(np.zeros((2, 0)), requires_grad=True)
    with np.errstate(invalid="ignore"):
        out = tg.mean(x, 1)
    assert np.isnan(out.data).all()
    out.backward(np.ones(2))
    assert x.grad.shape == (2, 0)


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 2, 3], [6, 0, 0]), ([0, 0, 3], [0, 0, 0]), ([2, 3, 4, 5, 6], [360, 240, 180, 144, 120])]
)
def test_products_with_zeros(values, expected):
    np.testing.assert_array_equal(gradient(tg.prod, values), expected)
    out = tg.prod(np.tile(np.array(values, float), (2, 1)), axis=1, keepdims=True)
    np.testing.assert_array_equal(out.data, [[np.prod(values)]] * 2)


def test_the_product_of_nothing_is_one():
    np.testing.assert_array_equal(tg.prod(np.zeros((0, 2)), 0).data, [1, 1])
