"""Powers, functions at their limits and kinks, choices, and which dtype results have."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg


def derivatives(f, values):
    """f, its first and its second derivative at each of the values."""
    x = tg.Tensor(np.asarray(values, np.float64), requires_grad=True)
    y = f(x)
    y.sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    if first.requires_grad:
        first.sum().backward()
    return y.data, first.data, np.zeros(x.shape) if x.grad is None else x.grad.data


# -- powers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exponent", "value", "slope", "curvature"),
    [(0, 1, 0, 0), (1, 0, 1, 0), (2, 0, 0, 2), (3, 0, 0, 0), (2.0, 0, 0, 2), (np.float64(3), 0, 0, 0), (np.array(0), 1, 0, 0)],
)
def test_powers_at_zero(exponent, value, slope, curvature):
    np.testing.assert_array_equal(derivatives(lambda x: x**exponent, [0.0]), [[value], [slope], [curvature]])
    as_tensor = tg.Tensor(np.full(1, float(exponent)))
    np.testing.assert_array_equal(derivatives(lambda x: x**as_tensor, [0.0])[:2], [[value], [slope]])


def test_powers_of_negative_and_infinite_slope():
    np.testing.assert_array_equal(derivatives(lambda x: x**3, [-2.0]), [[-8], [12], [-12]])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(derivatives(lambda x: x**-1, [0.0])[1], [-np.inf])
        np.testing.assert_array_equal(derivatives(tg.sqrt, [0.0])[1], [np.inf])


def test_powers_by_their_exponent():
    np.testing.assert_allclose(derivatives(lambda x: x**x, [2.0])[1], [6.772588722239782], rtol=1e-15)
    np.testing.assert_array_equal(derivatives(lambda y: 0.0**y, [0.0, 2.0])[1], [0, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(derivatives(lambda y: (-2.0) ** y, [3.0])[1]).all()
        np.testing.assert_array_equal(derivatives(lambda y: 0.0**y, [-1.0])[1], [-np.inf])


def test_the_mixed_derivative_of_a_power_at_exponent_zero():
    x, y = tg.Tensor(np.array(2.0), requires_grad=True), tg.Tensor(np.array(0.0), requires_grad=True)
    (x**y).backward(create_graph=True)
    slope, x.grad, y.grad = x.grad, None, None
    slope.backward()
    assert y.grad.item() == 0.5  # of y x^(y-1) by y: 1/x


def test_a_square_takes_one_node_and_few_in_its_derivative():
    x = tg.Tensor([3.0], requires_grad=True)
    with tg.trace() as step:
        (x**2).backward()
    assert [node.primitive for node in step.nodes] == ["nth_power", "multiply", "multiply"]


# -- limits and kinks ----------------------------------------------------------------------------------------------------


def test_relu_and_abs_at_zero_and_nan():
    values, slopes, _ = derivatives(tg.relu, [-1.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(values, [0, 0, 2, np.nan])
    np.testing.assert_array_equal(slopes, [0, 0, 1, 1])
    np.testing.assert_array_equal(derivatives(tg.abs, [-1.0, 0.0, 2.0])[1], [-1, 0, 1])


def test_what_relu_cuts_off_stays_zero_even_when_the_cotangent_is_infinite():
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(derivatives(lambda x: tg.sqrt(tg.relu(x)), [-1.0, 4.0])[1], [0, 0.25])
        np.testing.assert_array_equal(derivatives(lambda x: tg.sqrt(tg.maximum(x, 0)), [-1.0, 4.0])[1], [0, 0.25])
        np.testing.assert_array_equal(derivatives(lambda x: tg.sqrt(tg.clip(x, 0)), [-1.0, 4.0])[1], [0, 0.25])


def test_where_does_not_hide_an_infinite_slope_of_what_it_did_not_choose():
    with np.errstate(all="ignore"):
        slopes = derivatives(lambda x: tg.where(x > 0, tg.sqrt(x), 0.0), [0.0, 4.0])[1]
    np.testing.assert_array_equal(slopes, [np.nan, 0.25])
    safe = derivatives(lambda x: tg.where(x > 0, tg.sqrt(tg.where(x > 0, x, 1.0)), 0.0), [0.0, 4.0])[1]
    np.testing.assert_array_equal(safe, [0, 0.25])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_smooth_steps_do_not_overflow(dtype):
    x = tg.Tensor(np.array([-1000, 0, 1000], dtype), requires_grad=True)
    for f, values, slopes in (
        (tg.sigmoid, [0, 0.5, 1], [0, 0.25, 0]),
        (tg.softplus, [0, np.log(2), 1000], [0, 0.5, 1]),
        (tg.tanh, [-1, 0, 1], [0, 1, 0]),
        (tg.silu, [0, 0, 1000], [0, 0.5, 1]),
        (tg.gelu, [0, 0, 1000], [0, 0.5, 1]),
        (tg.erf, [-1, 0, 1], [0, 2 / np.sqrt(np.pi), 0]),
    ):
        x.grad = None
        with np.errstate(over="ignore" if f in (tg.gelu, tg.erf) and dtype == np.float16 else "raise"):
            y = f(x)
            y.backward(np.ones(3, dtype))
        np.testing.assert_allclose(y.data, values, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(x.grad.data, slopes, rtol=1e-3, atol=1e-6)


def test_sigmoid_keeps_its_digits_far_from_zero():
    np.testing.assert_allclose(tg.sigmoid(np.array([-30.0, -700.0])).data, np.exp([-30.0, -700.0]), rtol=1e-12)


def test_slopes_of_smooth_relus():
    np.testing.assert_allclose(derivatives(tg.gelu, [1.0])[1], [1.0833154705876864], rtol=1e-14)
    np.testing.assert_allclose(derivatives(tg.silu, [1.0])[1], [0.9276705118714869], rtol=1e-14)


def test_the_error_function_against_the_standard_library():
    from math import erf

    x = np.concatenate([np.linspace(-7, 7, 2001), [0.46875, np.inf, -np.inf, np.nan]])
    expected = [erf(v) for v in x]
    np.testing.assert_allclose(tg.erf(x).data, expected, rtol=1e-15)
    np.testing.assert_allclose(tg.erf(x.astype(np.float32)).data, expected, rtol=1e-6, atol=1e-6)


def test_bounds_pass_the_gradient_and_ties_share_it():
    np.testing.assert_array_equal(derivatives(lambda x: tg.clip(x, 0, 1), [-1, 0, 0.5, 1, 2])[1], [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(derivatives(lambda x: tg.maximum(x, 1), [0, 1, 2])[1], [0, 0.5, 1])
    np.testing.assert_array_equal(derivatives(lambda x: tg.maximum(1, x), [0, 1, 2])[1], [0, 0.5, 1])
    np.testing.assert_array_equal(derivatives(lambda x: tg.minimum(x, 1), [0, 1, 2])[1], [1, 0.5, 0])
    np.testing.assert_array_equal(derivatives(lambda x: tg.minimum(1, x), [0, 1, 2])[1], [1, 0.5, 0])


def test_conditions_of_numbers_hold_where_they_are_not_zero():
    x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = tg.where([-1, 0, 2], x, 10.0)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, [1, 10, 3])
    np.testing.assert_array_equal(x.grad.data, [1, 0, 1])


# -- dtypes --------------------------------------------------------------------------------------------------------------

WEAK = [3, 3.0, True, np.float64(3), np.float32(3), np.int64(3), np.array(3.0), np.sqrt(2)]
NAMES = ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", WEAK, ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_numbers_leave_the_dtype_alone(name, number, dtype):
    f = getattr(tg, name)
    for call in (lambda x: f(x, number), lambda x: f(number, x)):
        x = tg.Tensor(np.array([1.0, 2.0], dtype), requires_grad=True)
        y = call(x)
        y.backward(np.ones(2, dtype), create_graph=True)
        assert y.dtype == x.grad.dtype == dtype


def test_numbers_leave_float32_alone_elsewhere(rng):
    x = tg.Tensor([1.0, 2.0])
    wide = np.float64(0.5)
    results = {
        "where": tg.where([True, False], x, wide),
        "where of numbers": tg.where([True, False], 1.0, 0.0),
        "clip": tg.clip(x, wide, wide),
        "pad": tg.pad(x, 1, wide),
        "stack": tg.stack([x[0], wide, 2.0]),
        "dropout": tg.dropout(x, wide, rng=rng),
        "mask": x * (x > 1),
    }
    assert {name: y.dtype for name, y in results.items()} == dict.fromkeys(results, np.dtype(np.float32))


def test_integers_become_floats_where_they_must():
    for f in (tg.exp, tg.sigmoid, tg.gelu, tg.softplus, tg.softmax, tg.log_softmax, tg.logsumexp, tg.var):
        assert f(np.array([1, 2, 200], np.uint8).astype(int)).dtype == np.float64
    np.testing.assert_allclose(tg.sigmoid(np.array([3], np.uint8)).data, 1 / (1 + np.exp(-3)), rtol=1e-3)


def test_gradients_stop_where_floats_become_integers():
    x = tg.Tensor([1.5, 2.5], requires_grad=True)
    assert not x.astype(int).requires_grad
    assert not (x > 2).requires_grad
    y = x.astype(np.float64)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (np.float64, np.float32)
