"""Pooling beside PyTorch and by definition: padding, ties, nans and infinities, ceil_mode, dtypes, memory order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tensorgrad as tg

INF, NAN = np.inf, np.nan
MAX_POOL, AVG_POOL = tg.PRIMITIVES["max_pool2d"], tg.PRIMITIVES["avg_pool2d"]
SCATTER, GATHER = tg.PRIMITIVES["scatter_winners"], tg.PRIMITIVES["gather_winners"]

# (N, C, H, W) and settings
CASES = [
    ((2, 3, 6, 8), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}),
    ((2, 1, 7, 5), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (1, 1), "ceil_mode": False}),
    ((3, 2, 7, 7), {"kernel_size": (3, 3), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": True}),
    ((1, 2, 5, 9), {"kernel_size": (2, 3), "stride": (2, 3), "padding": (0, 1), "dilation": (1, 2), "ceil_mode": True}),
    ((2, 2, 7, 9), {"kernel_size": (2, 2), "stride": (3, 4), "padding": (1, 0), "dilation": (2, 1), "ceil_mode": True}),
    ((2, 1, 6, 6), {"kernel_size": (3, 1), "stride": (1, 1), "padding": (1, 0), "dilation": (1, 1), "ceil_mode": False}),
    ((0, 2, 5, 5), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}),
]
every_case = pytest.mark.parametrize(("shape", "settings"), CASES)
every_case_but_the_empty_one = pytest.mark.parametrize(("shape", "settings"), CASES[:-1])


def without(settings: dict, *names: str) -> dict:
    return {name: value for name, value in settings.items() if name not in names}


# -- the largest -----------------------------------------------------------------------------------------------------


@every_case_but_the_empty_one
@pytest.mark.parametrize("values", ["few, hence ties", "distinct"])
def test_maxima_and_where_their_gradient_goes_are_pytorchs(shape, settings, values, rng):
    torch = pytest.importorskip("torch")
    array = rng.integers(0, 3, shape).astype(float) if values.startswith("few") else rng.standard_normal(shape)
    x, theirs = tg.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, expected = tg.max_pool2d(x, **settings), torch.nn.functional.max_pool2d(theirs, **settings)
    np.testing.assert_array_equal(y.data, expected.detach())
    g, u = rng.standard_normal(y.shape), rng.standard_normal(shape)

    (y * y * g).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    (wanted,) = torch.autograd.grad((expected * expected * torch.tensor(g)).sum(), theirs, create_graph=True)
    np.testing.assert_allclose(first.data, wanted.detach(), rtol=1e-12, atol=1e-12)

    (first * u).sum().backward()
    np.testing.assert_allclose(
        x.grad.data, torch.autograd.grad((wanted * torch.tensor(u)).sum(), theirs)[0], rtol=1e-12, atol=1e-12
    )


def test_of_nans_in_a_window_the_last_one_gets_the_gradient_as_in_pytorch(rng):
    torch = pytest.importorskip("torch")
    for values in itertools.product([NAN, 0.0, 1.0, -INF], repeat=4):
        array = np.array(values).reshape(1, 1, 2, 2)
        for settings in ({"kernel_size": 2}, {"kernel_size": 2, "stride": 1, "padding": 1}):
            x, theirs = tg.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
            y, expected = tg.max_pool2d(x, **settings), torch.nn.functional.max_pool2d(theirs, **settings)
            np.testing.assert_array_equal(y.data, expected.detach())
            g = rng.integers(1, 9, y.shape).astype(float)
            y.backward(g)
            expected.backward(torch.tensor(g))
            np.testing.assert_array_equal(x.grad.data, theirs.grad)


def test_a_nan_spoils_only_the_windows_that_hold_it(rng):
    array = rng.standard_normal((2, 3, 40, 40))  # several blocks
    array[1, 2, 7, 9] = NAN
    y = tg.max_pool2d(array, 3, stride=2).data
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 2, 3, 4]]
    clean = np.nan_to_num(array, nan=-INF)
    np.testing.assert_array_equal(np.where(np.isnan(y), 0, y), np.where(np.isnan(y), 0, tg.max_pool2d(clean, 3, stride=2).data))


def test_windows_of_minus_infinity_give_their_gradient_to_a_place_in_the_image():
    x = tg.Tensor(np.full((1, 1, 3, 3), -INF), requires_grad=True)
    y = tg.max_pool2d(x, 3, stride=2, padding=1)
    y.backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert (y.data == -INF).all()
    assert x.grad.data.tolist() == [[[[1, 2, 0], [3, 4, 0], [0, 0, 0]]]]  # the first of each window that is no padding


def test_an_infinite_cotangent_stays_with_its_winner():
    x = tg.Tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)
    for stride, expected in (
        (2, {5: INF, 7: NAN, 13: -INF, 15: 1}),
        (1, {5: INF, 6: NAN, 7: -INF, 9: 1, 10: 1, 11: 1, 13: 1, 14: 1, 15: 1}),
    ):
        x.grad = None
        y = tg.max_pool2d(x, 2, stride=stride)
        y.backward(np.resize([*list(expected.values())], y.shape))
        wanted = np.zeros(16)
        wanted[list(expected)] = list(expected.values())
        np.testing.assert_array_equal(x.grad.data.ravel(), wanted)


def test_an_infinite_number_that_did_not_win_is_not_gathered():
    array = np.array([[[[INF, 1.0], [2.0, 3.0]]]])
    settings = without(CASES[0][1])
    won = MAX_POOL.outputs(np.arange(4.0).reshape(1, 1, 2, 2), **settings)[1]
    assert GATHER(array, won, **settings).data.tolist() == [[[[3]]]]


@every_case
def test_scattering_is_the_transpose_of_gathering(shape, settings, rng):
    x = rng.standard_normal(shape)
    y, winners = MAX_POOL.outputs(x, **settings)
    np.testing.assert_array_equal(GATHER(x, winners, **settings).data, y.data)
    u = rng.standard_normal(y.shape)
    there, back = GATHER(x, winners, **settings).data, SCATTER(u, winners, shape=shape, **settings).data
    np.testing.assert_allclose(np.vdot(u, there), np.vdot(back, x), rtol=1e-12, atol=1e-12)
    assert np.count_nonzero(back) <= u.size


def test_a_window_larger_than_the_image_is_one_window_in_ceil_mode():
    torch = pytest.importorskip("torch")
    array = np.arange(6.0).reshape(1, 1, 2, 3)
    settings = {"kernel_size": (3, 2), "stride": (2, 2), "ceil_mode": True}
    expected = torch.nn.functional.max_pool2d(torch.tensor(array), **settings)
    np.testing.assert_array_equal(tg.max_pool2d(array, **settings).data, expected)
    with pytest.raises(ValueError, match="max_pool2d: the window, 3 x 2, is larger than the padded image, 2 x 3"):
        tg.max_pool2d(array, (3, 2), stride=2)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int8, np.bool_, np.float16, np.float32, np.longdouble])
def test_maxima_of_any_dtype(dtype, rng):
    array = rng.integers(0, 2 if dtype == np.bool_ else 100, (2, 2, 5, 5)).astype(dtype)
    if np.dtype(dtype).kind in "if":
        array -= dtype(101)  # all below zero, which padding with zeros would show
    y = tg.max_pool2d(array, 3, stride=2, padding=1)
    assert y.dtype == dtype
    for i, j in np.ndindex(3, 3):
        window = array[:, :, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2]
        np.testing.assert_array_equal(y.data[:, :, i, j], window.max((2, 3)))


def test_winners_of_windows_of_more_than_256_positions(rng):
    x = tg.Tensor(rng.standard_normal((2, 1, 34, 20)), requires_grad=True)
    tg.max_pool2d(x, (17, 20)).sum().backward()
    halves = x.data.reshape(2, 1, 2, 340)
    expected = (halves == halves.max(3, keepdims=True)).astype(float)
    np.testing.assert_array_equal(x.grad.data.reshape(halves.shape), expected)


# -- the mean --------------------------------------------------------------------------------------------------------


@every_case_but_the_empty_one
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_means_and_their_gradients_are_pytorchs(shape, settings, count_include_pad, rng):
    torch = pytest.importorskip("torch")
    settings = without(settings, "dilation") | {"count_include_pad": count_include_pad}
    array = rng.standard_normal(shape)
    x, theirs = tg.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, expected = tg.avg_pool2d(x, **settings), torch.nn.functional.avg_pool2d(theirs, **settings)
    np.testing.assert_allclose(y.data, expected.detach(), rtol=1e-12, atol=1e-14)
    g, u = rng.standard_normal(y.shape), rng.standard_normal(shape)

    (y * y * g).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    (wanted,) = torch.autograd.grad((expected * expected * torch.tensor(g)).sum(), theirs, create_graph=True)
    np.testing.assert_allclose(first.data, wanted.detach(), rtol=1e-12, atol=1e-14)

    (first * u).sum().backward()
    np.testing.assert_allclose(
        x.grad.data, torch.autograd.grad((wanted * torch.tensor(u)).sum(), theirs)[0], rtol=1e-12, atol=1e-14
    )


@every_case
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_the_mean_and_its_gradient_are_transposes(shape, settings, count_include_pad, rng):
    settings = without(settings, "dilation") | {"count_include_pad": count_include_pad}
    x = rng.standard_normal(shape)
    y = AVG_POOL(x, **settings).data
    u = rng.standard_normal(y.shape)
    back = tg.PRIMITIVES["avg_pool2d_input_grad"](u, shape=shape, **settings).data
    np.testing.assert_allclose(np.vdot(u, y), np.vdot(back, x), rtol=1e-12, atol=1e-12)


def test_the_mean_of_everything_is_a_pool_too(rng):
    x = rng.standard_normal((2, 3, 30, 40)).astype(np.float32)
    y = tg.avg_pool2d(x, (30, 40))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data[:, :, 0, 0], x.astype(float).mean((2, 3)), rtol=1e-5, atol=1e-7)


# -- memory order ----------------------------------------------------------------------------------------------------

LAYOUTS = {
    "batch innermost": lambda a: np.ascontiguousarray(a.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2),
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "every other": lambda a: np.repeat(np.repeat(a, 2, axis=3), 2, axis=0)[::2, :, :, ::2],
    "read-only": lambda a: np.broadcast_to(a, a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_case
def test_any_memory_order_gives_the_same(shape, settings, layout, rng):
    lay_out = LAYOUTS[layout]
    x = rng.standard_normal(shape)
    y, winners = (t.data for t in MAX_POOL.outputs(x, **settings))
    found, found_winners = (t.data for t in MAX_POOL.outputs(lay_out(x), **settings))
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(found_winners, winners)
    u = rng.standard_normal(y.shape)
    expected = SCATTER(u, winners, shape=shape, **settings).data
    np.testing.assert_allclose(SCATTER(lay_out(u), lay_out(winners), shape=shape, **settings).data, expected, rtol=1e-12)
    np.testing.assert_array_equal(GATHER(lay_out(x), lay_out(winners), **settings).data, y)

    means = {"count_include_pad": False} | without(settings, "dilation")
    np.testing.assert_allclose(AVG_POOL(lay_out(x), **means).data, AVG_POOL(x, **means).data, rtol=1e-12, atol=1e-14)
