"""Batch and local response normalization beyond the table: accuracy, blocks, memory order, other dtypes, refusals."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.kernels import channels


def leaves(*arrays):
    return [tg.Tensor(a, requires_grad=True) for a in arrays]


def definition(x, eps=1e-5):
    """In float64: x with mean 0 and variance 1 in each channel."""
    axes = (0, *range(2, x.ndim))
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def test_the_two_numbers_of_the_trap():
    x = tg.Tensor([[1.0], [3.0]], requires_grad=True)
    out = tg.batch_norm(x)
    np.testing.assert_allclose(out.data, [[-0.999995], [0.999995]], rtol=1e-7)
    out.sum().backward()
    np.testing.assert_allclose(x.grad.data, [[0], [0]], atol=1e-7)


def test_statistics_are_those_of_the_batch_with_the_biased_variance(rng):
    x = rng.standard_normal((5, 3, 4, 2))
    out, mean, var = tg.batch_norm(x, with_statistics=True)
    np.testing.assert_allclose(mean.data, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(var.data, x.var((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(out.data, tg.batch_norm(x, mean=mean, var=var).data, rtol=1e-12)


def test_float32_sums_stay_accurate_over_many_numbers():
    """2^25 numbers: added one by one, their squares would not get far."""
    x = np.ones((2, 1, 2**24), np.float32)
    x[1] = 1.5
    out, mean, var = tg.batch_norm(x, with_statistics=True)
    assert mean.data == 1.25 and var.data == 0.0625
    np.testing.assert_allclose(out.data[:, 0, 0], np.array([-0.25, 0.25]) / np.sqrt(0.0625 + 1e-5), rtol=1e-6)


def test_float32_keeps_its_digits_far_from_zero(rng):
    x = (rng.standard_normal((50, 2, 30, 30)) + 1000).astype(np.float32)
    g = rng.standard_normal(x.shape)
    single, double = leaves(x, x.astype(np.float64))
    tg.batch_norm(single).backward(g.astype(np.float32))
    tg.batch_norm(double).backward(g)
    np.testing.assert_allclose(tg.batch_norm(x).data, definition(x), atol=2e-4)
    np.testing.assert_allclose(single.grad.data, double.grad.data, atol=2e-5)


@pytest.mark.parametrize("block", [1, 40_000, 1 << 30])
def test_values_do_not_depend_on_how_the_work_is_cut(block, monkeypatch, rng):
    x, g = rng.standard_normal((2, 9, 3, 50, 41))
    vectors = rng.standard_normal((2, 3))
    expected = definition(x)
    monkeypatch.setattr(channels, "BLOCK_BYTES", block)
    monkeypatch.setattr(channels, "COLUMN_BYTES", block)
    xt, weight, bias = leaves(x, *vectors)
    out = tg.batch_norm(xt, weight, bias)
    out.backward(g)
    w, b = vectors[:, None, :, None, None]
    np.testing.assert_allclose(out.data, expected * w + b, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(weight.grad.data, (g * expected).sum((0, 2, 3)), rtol=1e-9)
    centred = g - g.mean((0, 2, 3), keepdims=True) - expected * (g * expected).mean((0, 2, 3), keepdims=True)
    r = 1 / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(xt.grad.data, w * r * centred, rtol=1e-9, atol=1e-12)
    mean, deviation = np.array([[1.0, 2, 3], [2, 3, 4]])[:, None, :, None, None]
    out = tg.batch_norm(x, *vectors, mean=mean.ravel(), var=deviation.ravel() ** 2, eps=0)
    np.testing.assert_allclose(out.data, (x - mean) / deviation * w + b, rtol=1e-9, atol=1e-9)

    y = rng.standard_normal((2, 3, 100))
    squares = np.stack([y[:, 0] ** 2, y[:, 0] ** 2 + y[:, 1] ** 2, y[:, 1] ** 2 + y[:, 2] ** 2], 1)
    np.testing.assert_allclose(tg.local_response_norm(y, 2).data, y * (1 + 1e-4 / 2 * squares) ** -0.75, rtol=1e-9)


def test_results_are_stored_with_the_batch_innermost(rng):
    x = tg.Tensor(rng.standard_normal((4, 3, 5, 6)), requires_grad=True)
    for f in (
        tg.batch_norm,
        lambda x: tg.local_response_norm(x, 3),
        lambda x: tg.batch_norm(x, mean=np.zeros(3), var=np.ones(3)),
    ):
        x.grad = None
        out = f(x)
        out.backward(rng.standard_normal(x.shape))
        assert out.data.transpose(1, 2, 3, 0).flags.c_contiguous
        assert x.grad.data.transpose(1, 2, 3, 0).flags.c_contiguous


def test_half_precision_is_computed_in_float32():
    x, weight = leaves(np.arange(4096, dtype=np.float16).reshape(2, 1, 2048), np.ones(1, np.float16))
    out = tg.batch_norm(x, weight)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == weight.grad.dtype == np.float16
    np.testing.assert_allclose(out.data, definition(x.data), atol=1e-3)
    assert tg.local_response_norm(x, 3).dtype == np.float16


def test_a_constant_channel_becomes_the_bias():
    x, weight, bias = leaves(np.full((3, 2, 4), 7.0, np.float32), np.ones(2, np.float32), np.array([5, 6], np.float32))
    out = tg.batch_norm(x, weight, bias)
    out.backward(np.ones_like(x.data))
    np.testing.assert_array_equal(out.data, np.broadcast_to([[5], [6]], (3, 2, 4)))
    np.testing.assert_array_equal(x.grad.data, 0)


def test_statistics_given_have_gradients_too():
    mean, var = leaves(np.array([1.0]), np.array([4.0]))
    tg.batch_norm(np.array([[3.0], [7.0]]), [2.0], [0.0], mean=mean, var=var, eps=0).sum().backward()
    np.testing.assert_allclose(mean.grad.data, [-2.0])  # 2 numbers times -weight / 2
    np.testing.assert_allclose(var.grad.data, [-1.0])  # (2 + 6) times -weight / (2 x 8)


REFUSED = [
    (lambda: tg.batch_norm(np.ones((1, 3, 1, 1))), ValueError, r"batch_norm: a channel of one number.*\(1, 3, 1, 1\)"),
    (lambda: tg.batch_norm(np.ones(3)), ValueError, r"batch_norm: x must have shape \(N, C, ...\)"),
    (lambda: tg.batch_norm(np.ones((4, 3)), np.ones(2)), ValueError, r"weight must have .* shape \(3,\), not \(2,\)"),
    (lambda: tg.batch_norm(np.ones((4, 3)), None, np.ones((3, 1))), ValueError, r"bias must .*, not \(3, 1\)"),
    (lambda: tg.batch_norm(np.ones((4, 3)), mean=np.ones(3)), ValueError, "mean and var go together"),
    (
        lambda: tg.batch_norm(np.ones((4, 3)), mean=np.ones(4), var=np.ones(4)),
        ValueError,
        r"must have .* shape \(3,\), not \(4,\)",
    ),
    (lambda: tg.batch_norm(np.ones((4, 3)), eps=-1), ValueError, "eps must be at least 0"),
    (lambda: tg.batch_norm(np.ones((4, 3), int)), TypeError, "the numbers must be floats, and these are int64"),
    (
        lambda: tg.batch_norm(np.ones((4, 3)), mean=np.ones(3), var=np.ones(3), with_statistics=True),
        ValueError,
        "mean and var are given",
    ),
    (lambda: tg.local_response_norm(np.ones((4, 3)), 0), ValueError, "local_response_norm: size must be at least 1"),
    (lambda: tg.local_response_norm(np.ones((4, 3)), 2.0), TypeError, "local_response_norm: size must be an integer"),
    (lambda: tg.local_response_norm(np.ones(3), 2), ValueError, "local_response_norm: x must have shape"),
    (lambda: tg.local_response_norm(np.ones((4, 3), int), 2), TypeError, "local_response_norm: the numbers must be floats"),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_what_does_not_fit_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"(?s){message}"):
        call()
