"""Where hand-written differentiation on NumPy goes wrong, one small test for each, with the values that are right.

The values come from PyTorch in float64, unless a comment derives them.
"""

from __future__ import annotations

import gc
import warnings
import weakref

import numpy as np
import pytest

import tensorgrad as tg

NAN, INF = np.nan, np.inf
F32 = np.float32


def leaf(values, dtype=np.float64) -> tg.Tensor:
    return tg.Tensor(np.array(values, dtype), requires_grad=True)


def gradient(f, *values, dtype=np.float64):
    """Of the sum of f with respect to each value, as nested lists."""
    leaves = [leaf(value, dtype) for value in values]
    f(*leaves).sum().backward()
    found = [x.grad.data.tolist() for x in leaves]
    return found[0] if len(found) == 1 else found


# -- windows ---------------------------------------------------------------------------------------------------------


def test_1_max_pool_pads_with_minus_infinity():
    x = np.full((1, 1, 2, 2), -5.0)
    assert tg.max_pool2d(x, 3, stride=1, padding=1).data.ravel().tolist() == [-5] * 4


def test_2_of_equal_numbers_in_a_window_the_first_wins():
    x = np.full((1, 1, 2, 2), -5.0)
    assert gradient(lambda x: tg.max_pool2d(x, 3, stride=1, padding=1), x) == [[[[4, 0], [0, 0]]]]


def test_3_columns_add_up_where_windows_overlap():
    count = [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert gradient(lambda x: tg.im2col(x, 3), np.ones((1, 1, 4, 4))) == [[count]]
    assert tg.col2im(np.ones((1, 9, 4)), 4, 3).data.tolist() == [[count]]


def test_4_writing_to_overlapping_views_or_repeated_indices_adds_up():
    assert gradient(lambda x: tg.im2col(x, (1, 2)), np.ones((1, 1, 1, 5))) == [[[[1, 2, 2, 2, 1]]]]
    assert gradient(lambda x: x[[0, 0, 1]], [1, 2, 3]) == [2, 1, 0]
    assert gradient(lambda x: x[[[0, 0], [1, 0]]], np.ones((3, 2))) == [[3, 3], [1, 1], [0, 0]]


def test_5_a_stride_that_does_not_divide_leaves_the_last_row_and_column_out():
    x, w = leaf(np.ones((1, 1, 6, 6))), np.ones((1, 1, 3, 3))
    y = tg.conv2d(x, w, stride=2)
    y.sum().backward()
    assert y.shape == (1, 1, 2, 2)
    assert not x.grad.data[..., -1, :].any()
    assert not x.grad.data[..., -1].any()
    assert x.grad.data.sum() == 4 * 9


def test_6_ceil_mode_adds_no_window_that_begins_in_the_padding():
    assert tg.max_pool2d(np.zeros((1, 1, 5, 5)), 2, stride=3, padding=1, ceil_mode=True).shape == (1, 1, 2, 2)
    y = tg.max_pool2d(np.arange(25.0).reshape(1, 1, 5, 5), 2, ceil_mode=True)
    assert y.data.tolist() == [[[[6, 8, 9], [16, 18, 19], [21, 23, 24]]]]


def test_7_padding_may_exceed_the_kernel_of_a_convolution_but_not_half_of_a_pool():
    x, w = leaf(np.ones((1, 1, 1, 1))), np.ones((1, 1, 2, 2))
    y = tg.conv2d(x, w, padding=3)
    y.sum().backward()
    assert (y.shape, x.grad.data.item()) == ((1, 1, 6, 6), 4)
    for pool in (tg.max_pool2d, tg.avg_pool2d):
        with pytest.raises(ValueError, match=r"padding .* more than half of the window"):
            pool(np.ones((1, 1, 5, 5)), 3, padding=2)


def test_average_pools_count_the_padding_or_not():
    x = np.ones((1, 1, 2, 2))
    assert tg.avg_pool2d(x, 2, padding=1).data.ravel().tolist() == [0.25] * 4
    assert tg.avg_pool2d(x, 2, padding=1, count_include_pad=False).data.ravel().tolist() == [1] * 4


# -- shapes and arrays -----------------------------------------------------------------------------------------------


def test_8_cotangents_come_back_in_the_shapes_of_broadcast_inputs():
    x, y = np.ones((3, 1)), np.ones((1, 4))
    assert gradient(lambda x, y: x * y, x, y) == [[[4], [4], [4]], [[3, 3, 3, 3]]]
    assert gradient(lambda x: x + np.ones((2, 3, 4)), np.ones(4)) == [6, 6, 6, 6]
    assert gradient(lambda x: x + np.ones((2, 3)), 1.0) == 6


def test_9_a_tensor_used_twice_and_gradients_that_are_changed_in_place():
    assert gradient(lambda x: x + x, 3.0) == 2
    assert gradient(lambda x: x * x + x, 3.0) == 7
    x, y = leaf([1, 2]), leaf([3, 4])
    z = x + y
    (z + z).sum().backward()
    x.grad.data[:] = 99
    assert y.grad.data.tolist() == [2, 2]


def test_10_a_gradient_can_be_written_into_though_it_began_as_a_broadcast_view():
    x = leaf([1, 2])
    x.sum().backward()
    x.grad.data[...] += 1
    assert x.grad.data.tolist() == [2, 2]


def test_11_a_saved_array_cannot_be_changed_and_a_rebound_leaf_is_noticed():
    x = leaf([0, 1])
    y = tg.exp(x)
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 9

    for rebind in (lambda x: setattr(x, "data", [5.0, 6.0]), lambda x: tg.assign(x, [5.0, 6.0])):
        x, w = leaf([1, 2]), leaf([3, 4])
        y = (x * w).sum()
        rebind(w)
        with pytest.raises(RuntimeError, match=r"multiply: its input y, of shape \(2,\), was given a new value"):
            y.backward()
    xs = [leaf([1.0]), leaf([2.0])]
    y = tg.linear(xs[0], tg.reshape(xs[1], (1, 1)), None)
    tg.assign(xs[0], [3.0])
    with pytest.raises(RuntimeError, match="linear: its input x"):
        y.backward()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * np.float64(3),
        lambda x: x / np.sqrt(2),
        lambda x: np.array(3.0) - x,
        lambda x: x + np.int64(3),
        lambda x: x / np.prod(x.shape),
        lambda x: x ** np.float64(2),
        lambda x: x ** np.array(0.5),
        lambda x: np.float64(2) ** x,
        lambda x: tg.maximum(x, np.float64(1)),
        lambda x: tg.minimum(np.array(1.0), x),
        lambda x: tg.where(x > 1, x, np.float64(0)),
        lambda x: tg.clip(x, np.float64(0), np.float64(1)),
        lambda x: tg.dropout(x, np.float64(0.3), rng=np.random.default_rng(0)),
        lambda x: tg.cross_entropy(x, np.eye(3)[[0, 2]], label_smoothing=np.float64(0.1)),
        lambda x: tg.cross_entropy(x, [0, 2], weight=np.linspace(1, 2, 3)),
        lambda x: tg.pad(x, 1, np.float64(3)),
        lambda x: tg.var(x, ddof=np.int64(1)),
        lambda x: tg.std(x, 0),
        lambda x: tg.mean(x),
        lambda x: tg.prod(x, 1),
        lambda x: tg.gelu(x),
        lambda x: tg.softplus(x),
        lambda x: tg.abs(x) + tg.sign(x),
        lambda x: tg.concatenate([x, [[1.0, 2.0, 3.0]]]),
        lambda x: tg.stack([x, [[1, 2, 3.0], [4, 5, 6]]]),
    ],
)
def test_12_numbers_of_numpy_do_not_turn_float32_into_float64(f):
    x = leaf([[0.5, 2.0, 1.5], [3.0, 0.25, 1.0]], F32)
    y = f(x)
    assert y.dtype == F32
    y.sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    assert first.dtype == F32
    if first.requires_grad:
        (first * first).sum().backward()
        assert x.grad is None or x.grad.dtype == F32


def test_13_results_without_axes_are_arrays():
    x = leaf([1, 2], F32)
    x.sum().backward()
    for result in (x.sum(), tg.exp(x.sum()), x[0], -x.sum(), tg.exp(2.0), tg.logsumexp(x), x @ x, tg.max(x)):
        assert type(result.data) is np.ndarray
        assert result.shape == ()
        assert result.dtype == F32


@pytest.mark.parametrize("order", ["C", "F"])
def test_14_long_sums_of_float32_stay_accurate(order):
    # NumPy adds a tenth 2**20 times, one after the other, with an error of a percent; 1e-5 is asked for
    count, tenth = 2**20, float(F32(0.1))
    rows = np.full((count, 3), 0.1, F32, order=order)
    images = np.full((2**10, 3, 32, 32), 0.1, F32)
    images = np.moveaxis(np.moveaxis(images, 0, -1).copy(), -1, 0) if order == "F" else images
    assert abs(np.add.reduce(np.full((count, 3), 0.1, F32), axis=0) / (count * tenth) - 1).max() > 1e-3
    bias = leaf([0, 0, 0], F32)
    sums = {
        "sum": tg.sum(rows, 0).data,
        "mean": tg.mean(rows, 0).data * count,
        "sum of images": tg.sum(images, (0, 2, 3)).data,
    }
    for name, f in {
        "unbroadcast": lambda b: (b + rows, rows),
        "bias of linear": lambda b: (tg.linear(np.zeros((count, 1), F32), np.zeros((3, 1), F32), b), rows),
        "bias of conv2d": lambda b: (tg.conv2d(np.zeros((2**10, 1, 32, 32), F32), np.zeros((3, 1, 1, 1), F32), b), images),
    }.items():
        bias.grad = None
        out, cotangent = f(bias)
        out.backward(cotangent)
        sums[name] = bias.grad.data
    for name, value in sums.items():
        np.testing.assert_allclose(value, [count * tenth] * 3, rtol=1e-5, err_msg=name)


# -- functions at their edges ----------------------------------------------------------------------------------------


def test_15_relu_at_zero_and_at_nan():
    assert gradient(tg.relu, [-1, 0, 1]) == [0, 0, 1]
    assert np.isnan(tg.relu([NAN]).item())
    assert gradient(tg.relu, [NAN]) == [1]


def test_16_cross_entropy_of_large_logits():
    for label, loss, slope in ((0, 0, [0, 0, 0]), (1, 1000, [1, -1, 0])):
        x = leaf([[1000, 0, -1000]])
        y = tg.cross_entropy(x, [label])
        y.backward()
        assert y.item() == pytest.approx(loss)
        np.testing.assert_allclose(x.grad.data, [slope], atol=1e-12)
    assert tg.log_softmax([1000.0, 0.0, -1000.0]).data.tolist() == [0, -1000, -2000]
    assert tg.logsumexp([1000.0, 1000.0]).item() == pytest.approx(1000 + np.log(2))


def test_17_cross_entropy_is_a_mean_over_samples():
    x = leaf(np.zeros((2, 4)))
    y = tg.cross_entropy(x, [0, 3])
    y.backward()
    assert y.item() == pytest.approx(1.3862943611198906, rel=1e-14)
    np.testing.assert_allclose(x.grad.data, [[-0.375, 0.125, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]])


def test_cross_entropy_with_weights_and_with_nothing_that_counts():
    x = np.array([[1.0, 2.0], [3.0, 1.0]])
    assert tg.cross_entropy(x, [0, 1], weight=[1.0, 3.0]).item() == pytest.approx(1.9235114301617853, rel=1e-14)
    with np.errstate(invalid="ignore"):
        assert np.isnan(tg.cross_entropy(x, [7, 7], ignore_index=7).item())


def test_18_saturated_functions_neither_overflow_nor_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (np.float64, F32):
            assert gradient(tg.sigmoid, [-1000, 1000], dtype=dtype) == [0, 0]
            assert gradient(tg.softplus, [-1000, 1000], dtype=dtype) == [0, 1]
            assert gradient(tg.tanh, [-1000, 1000], dtype=dtype) == [0, 0]
            assert gradient(tg.silu, [-1000, 1000], dtype=dtype) == [0, 1]
            assert gradient(tg.gelu, [-1000, 1000], dtype=dtype) == [0, 1]
            assert gradient(tg.erf, [-1000, 1000], dtype=dtype) == [0, 0]
    assert tg.softplus([-1000.0, 1000.0]).data.tolist() == [0, 1000]


def test_slopes_of_gelu_and_silu():
    assert gradient(tg.gelu, 1.0) == pytest.approx(1.0833154705876864, rel=1e-14)
    assert gradient(tg.silu, 1.0) == pytest.approx(0.9276705118714869, rel=1e-14)


def test_19_repeated_and_negative_indices():
    assert gradient(lambda x: x[[0, -3, 1]], [1, 2, 3]) == [2, 1, 0]


def test_20_negative_axes_tuples_of_axes_and_kept_axes():
    weights = np.array([1.0, 2.0, 3.0])
    assert gradient(lambda x: x.sum(-2, keepdims=True) * weights, np.ones((2, 3))) == [[1, 2, 3], [1, 2, 3]]
    assert gradient(lambda x: x.mean((0, -1)), np.ones((2, 3, 4))) == np.full((2, 3, 4), 1 / 8).tolist()
    assert gradient(lambda x: x.var((0, -1), keepdims=True), np.ones((2, 3, 4))) == np.zeros((2, 3, 4)).tolist()


def test_21_variances_of_one_number_and_of_equal_ones():
    assert gradient(lambda x: tg.var(x, ddof=1), [1, 3]) == [-2, 2]
    assert gradient(lambda x: tg.std(x), [3, 3]) == [0, 0]
    with np.errstate(all="ignore"):
        assert np.isnan(tg.std(leaf([3]), ddof=1).item())
        assert np.isnan(gradient(lambda x: tg.std(x, ddof=1), [3])).all()


@pytest.mark.parametrize("exponent", [float, lambda y: np.array([float(y)])], ids=["number", "array"])
def test_22_powers_of_zero_and_of_negative_numbers(exponent):
    with np.errstate(all="ignore"):
        assert gradient(lambda x: x ** exponent(0), [0.0]) == [0]
        assert gradient(lambda x: x ** exponent(1), [0.0]) == [1]
        assert gradient(lambda x: x ** exponent(2), [0.0]) == [0]
        assert gradient(lambda x: x ** exponent(-1), [0.0]) == [-INF]
        assert gradient(lambda x: x ** exponent(3), [-2.0]) == [12]


def test_22_derivatives_with_respect_to_exponents():
    with np.errstate(all="ignore"):
        assert np.isnan(gradient(lambda y: tg.power(-2.0, y), 3.0))
    assert gradient(lambda x: x**x, 2.0) == pytest.approx(6.772588722239782, rel=1e-14)
    assert gradient(lambda y: tg.power([0.0, 0.0], y), [0.0, 2.0]) == [0, 0]


def test_23_roots_and_absolute_values_at_zero_and_the_trap_of_masking_by_where():
    with np.errstate(all="ignore"):
        assert gradient(tg.sqrt, 0.0) == INF
        assert gradient(tg.abs, 0.0) == 0
        np.testing.assert_array_equal(gradient(lambda x: tg.where(x > 0, tg.sqrt(x), 0.0), [0, 4]), [NAN, 0.25])
    assert gradient(lambda x: tg.sqrt(tg.where(x > 0, x, 1.0)) * (x > 0), [0, 4]) == [0, 0.25]


def test_24_products_of_vectors_and_of_stacks_of_matrices():
    x, y = [1, 2], [[1, 2, 3], [4, 5, 6]]
    assert gradient(lambda x, y: x @ y, x, y) == [[6, 15], [[1, 1, 1], [2, 2, 2]]]
    assert gradient(lambda x, y: x @ y, [[1, 2, 3], [4, 5, 6]], [1, 2, 3]) == [[[1, 2, 3]] * 2, [5, 7, 9]]
    assert gradient(lambda x, y: x @ y, [1, 2], [3, 4]) == [[3, 4], [1, 2]]
    stacks = gradient(lambda x, y: x @ y, np.ones((2, 1, 2, 3)), np.ones((4, 3, 2)))
    assert (np.shape(stacks[0]), np.shape(stacks[1])) == ((2, 1, 2, 3), (4, 3, 2))
    assert (set(np.ravel(stacks[0])), set(np.ravel(stacks[1]))) == ({8}, {4})  # 4 matrices x 2 columns; 2 x 2 rows
    empty, other = leaf(np.ones((5, 0))), leaf(np.ones((0, 10)))
    product = empty @ other
    product.sum().backward()
    assert (product.shape, product.data.any(), empty.grad.shape, other.grad.shape) == ((5, 10), False, (5, 0), (0, 10))


def test_25_equal_extrema_share_the_gradient():
    np.testing.assert_allclose(gradient(tg.max, [[2, 2], [2, 1]]), [[1 / 3, 1 / 3], [1 / 3, 0]])
    np.testing.assert_allclose(gradient(tg.min, [[1, 1], [2, 1]]), [[1 / 3, 1 / 3], [0, 1 / 3]])
    assert gradient(tg.maximum, [1, 2], [1, 3]) == [[0.5, 0], [0.5, 1]]
    assert gradient(tg.minimum, [1, 2], [1, 3]) == [[0.5, 1], [0.5, 0]]


def test_26_products_with_zeros_and_a_number_over_or_less_itself():
    assert gradient(tg.prod, [0, 2, 3]) == [6, 0, 0]
    assert gradient(tg.prod, [0, 0, 3]) == [0, 0, 0]
    assert gradient(tg.prod, [[2, 3, 4, 5, 6]]) == [[360, 240, 180, 144, 120]]
    assert gradient(lambda x: x / x, 3.0) == 0
    assert gradient(lambda x: x - x, 3.0) == 0


# -- errors and empty arrays -----------------------------------------------------------------------------------------


def test_27_integers_cannot_require_gradients_and_several_values_need_one_given():
    with pytest.raises(TypeError, match="cannot require a gradient"):
        tg.Tensor([1, 2], requires_grad=True)
    with pytest.raises(ValueError, match="needs a gradient of that shape"):
        (leaf([1, 2]) * 2).backward()


def test_27_empty_batches_and_empty_reductions():
    x, w, b = leaf(np.ones((0, 2, 5, 5))), leaf(np.ones((3, 2, 3, 3))), leaf(np.ones(3))
    y = tg.conv2d(x, w, b)
    y.sum().backward()
    assert (y.shape, x.grad.shape) == ((0, 3, 3, 3), (0, 2, 5, 5))
    assert not w.grad.data.any()
    assert not b.grad.data.any()
    with np.errstate(all="ignore"):
        assert np.isnan(tg.mean(leaf([])).item())
    assert tg.sum(leaf([])).item() == 0
    assert tg.prod(leaf([])).item() == 1
    for extremum in (tg.max, tg.min):
        with pytest.raises(ValueError, match="there is no element along axis"):
            extremum(leaf(np.ones((2, 0))), 1)


# -- depth and memory ------------------------------------------------------------------------------------------------


@pytest.fixture
def without_garbage_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_28_a_chain_of_100000_operations():
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = (y + x) * 1.0
    y.backward()
    assert x.grad.item() == 50_001
    y = x
    for _ in range(100_000):
        y = y + 1.0
    del y  # a graph that no backward pass took apart


@pytest.mark.usefixtures("without_garbage_collector")
def test_28_memory_is_free_at_once_and_nothing_is_cyclic():
    x, w = leaf(np.ones((2, 1, 6, 6))), leaf(np.ones((3, 1, 3, 3)))
    hidden = tg.relu(tg.conv2d(x, w))
    loss = tg.cross_entropy(tg.max_pool2d(hidden, 2).reshape(2, -1), [0, 1])
    reference, array = weakref.ref(hidden), weakref.ref(hidden._data)
    loss.backward()
    del hidden
    assert (reference(), array()) == (None, None)
    del loss
    assert gc.collect() == 0


@pytest.mark.usefixtures("without_garbage_collector")
def test_28_dropping_a_graph_without_a_backward_pass_frees_it_too():
    x = leaf([1, 2])
    hidden = tg.exp(x)
    reference, array = weakref.ref(hidden), weakref.ref(hidden._data)
    y = (hidden * hidden).sum()
    del hidden
    assert reference() is not None  # the product needs it
    del y
    assert (reference(), array()) == (None, None)
    assert gc.collect() == 0


@pytest.mark.usefixtures("without_garbage_collector")
def test_28_second_derivatives_leave_no_cycle_once_the_gradient_is_taken():
    x = leaf([1, 2])
    (tg.exp(x) * x).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    first.sum().backward()
    del first
    x.grad = None
    assert gc.collect() == 0


# -- randomness ------------------------------------------------------------------------------------------------------


def test_29_dropout_keeps_the_mean_and_the_dtype():
    x = np.ones(100_000, F32)
    y = tg.dropout(x, 0.3, rng=np.random.default_rng(0)).data
    assert (y.dtype, set(np.unique(y))) == (F32, {F32(0), F32(1 / 0.7)})
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert not tg.dropout(x, 1.0, rng=np.random.default_rng(0)).data.any()
    assert (tg.dropout(x, 0.0, rng=np.random.default_rng(0)).data == 1).all()
    assert tg.dropout([INF, NAN], 1.0, rng=np.random.default_rng(0)).data.tolist() == [0, 0]
