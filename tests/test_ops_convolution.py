"""Convolution beside loops over its definition and beside PyTorch; dtypes, memory order, memory, and counted operations."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest

import tensorgrad as tg

F32 = np.float32
INPUT_GRAD, WEIGHT_GRAD = tg.PRIMITIVES["conv2d_input_grad"], tg.PRIMITIVES["conv2d_weight_grad"]

# (N, C, H, W), (F, C/groups, KH, KW), settings: strides that leave something over, unlike settings for height and width
CASES = [
    ((2, 3, 6, 7), (4, 3, 3, 3), {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}),
    ((2, 4, 7, 8), (6, 2, 3, 2), {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 2), "groups": 2}),
    ((1, 3, 5, 6), (3, 1, 2, 3), {"stride": (1, 2), "padding": (3, 1), "dilation": (2, 1), "groups": 3}),
    ((3, 2, 4, 4), (5, 2, 1, 1), {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}),
    ((3, 2, 5, 4), (2, 2, 1, 1), {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1}),
    ((2, 3, 4, 3), (4, 3, 4, 3), {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}),
    ((2, 1, 9, 9), (2, 1, 3, 3), {"stride": (4, 3), "padding": (2, 0), "dilation": (3, 4), "groups": 1}),
    ((0, 2, 5, 5), (4, 1, 2, 3), {"stride": (1, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 2}),
]
every_case = pytest.mark.parametrize(("x_shape", "w_shape", "settings"), CASES)
every_case_but_the_empty_one = pytest.mark.parametrize(("x_shape", "w_shape", "settings"), CASES[:-1])


def by_loops(x, w, b, stride, padding, dilation, groups):
    """The definition, one multiplication after the other: also which numbers of x and w are multiplied for each output."""
    (n, _, height, width), (filters, per_group, kh, kw) = x.shape, w.shape
    oh, ow = (
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, p, d, k, t in zip(x.shape[2:], padding, dilation, (kh, kw), stride, strict=True)
    )
    y, terms = np.zeros((n, filters, oh, ow)), []
    for f, i, j, q, k, m in itertools.product(*map(range, (filters, oh, ow, per_group, kh, kw))):
        row, column = i * stride[0] + k * dilation[0] - padding[0], j * stride[1] + m * dilation[1] - padding[1]
        if 0 <= row < height and 0 <= column < width:
            channel = f // (filters // groups) * per_group + q
            y[:, f, i, j] += x[:, channel, row, column] * w[f, q, k, m]
            terms.append(((f, i, j), (channel, row, column), (f, q, k, m)))
    return y + (0 if b is None else b[:, None, None]), terms


@every_case
def test_values_and_gradients_by_loops_over_the_definition(x_shape, w_shape, settings, rng):
    x, w, b = (tg.Tensor(rng.standard_normal(s), requires_grad=True) for s in (x_shape, w_shape, w_shape[:1]))
    y = tg.conv2d(x, w, b, **settings)
    expected, terms = by_loops(x.data, w.data, b.data, **settings)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-12)

    g = rng.standard_normal(y.shape)
    y.backward(g)
    dx, dw = np.zeros(x_shape), np.zeros(w_shape)
    for (f, i, j), (c, row, column), of_w in terms:
        dx[:, c, row, column] += g[:, f, i, j] * w.data[of_w]
        dw[of_w] += g[:, f, i, j] @ x.data[:, c, row, column]
    for found, wanted in zip((x.grad, w.grad, b.grad), (dx, dw, g.sum((0, 2, 3))), strict=True):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-11, atol=1e-11)


@every_case_but_the_empty_one
def test_values_gradients_and_second_derivatives_are_pytorchs(x_shape, w_shape, settings, rng):
    torch = pytest.importorskip("torch")
    arrays = [rng.standard_normal(s) for s in (x_shape, w_shape, w_shape[:1])]
    ours = [tg.Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = tg.conv2d(*ours, **settings), torch.nn.functional.conv2d(*theirs, **settings)
    u = rng.standard_normal(y.shape)
    directions = [rng.standard_normal(a.shape) for a in arrays]
    np.testing.assert_allclose(y.data, expected.detach(), rtol=1e-12, atol=1e-12)

    (y * y * u).sum().backward(create_graph=True)
    first = [v.grad for v in ours]
    wanted = torch.autograd.grad((expected * expected * torch.tensor(u)).sum(), theirs, create_graph=True)
    for found, right in zip(first, wanted, strict=True):
        np.testing.assert_allclose(found.data, right.detach(), rtol=1e-10, atol=1e-10)

    along = sum((g * d).sum() for g, d in zip(first, directions, strict=True))
    for v in ours:
        v.grad = None
    along.backward()
    right_along = sum((g * torch.tensor(d)).sum() for g, d in zip(wanted, directions, strict=True))
    for v, right in zip(ours, torch.autograd.grad(right_along, theirs), strict=True):
        np.testing.assert_allclose(v.grad.data, right, rtol=1e-10, atol=1e-10)


@every_case
def test_the_three_maps_are_transposes_of_each_other(x_shape, w_shape, settings, rng):
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    forward = tg.conv2d(x, w, **settings).data
    y = rng.standard_normal(forward.shape)
    values = [
        np.vdot(y, forward),
        np.vdot(INPUT_GRAD(y, w, shape=x_shape, **settings).data, x),
        np.vdot(WEIGHT_GRAD(y, x, shape=w_shape, **settings).data, w),
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-10, atol=1e-10)


@every_case
def test_im2col_and_col2im_are_transposes_of_each_other(x_shape, w_shape, settings, rng):
    form = {"kernel_size": w_shape[2:]} | {name: value for name, value in settings.items() if name != "groups"}
    x = rng.standard_normal(x_shape)
    columns = tg.im2col(x, **form).data
    y = rng.standard_normal(columns.shape)
    np.testing.assert_allclose(np.vdot(y, columns), np.vdot(tg.col2im(y, x_shape[2:], **form).data, x), rtol=1e-10, atol=1e-10)


# -- memory ----------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "batch innermost": lambda a: np.ascontiguousarray(a.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2),
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "every other": lambda a: np.repeat(np.repeat(a, 2, axis=3), 2, axis=0)[::2, :, :, ::2],
    "read-only": lambda a: np.broadcast_to(a, a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_case
def test_any_memory_order_gives_the_same(x_shape, w_shape, settings, layout, rng):
    lay_out = LAYOUTS[layout]
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    y = rng.standard_normal(tg.conv2d(x, w, **settings).shape)
    calls = [
        (lambda x, w: tg.conv2d(x, w, **settings), (x, w)),
        (lambda y, w: INPUT_GRAD(y, w, shape=x_shape, **settings), (y, w)),
        (lambda y, x: WEIGHT_GRAD(y, x, shape=w_shape, **settings), (y, x)),
    ]
    for call, arrays in calls:
        found, expected = call(*map(lay_out, arrays)), call(*arrays)
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-12, atol=1e-12)


def test_a_broadcast_image_and_a_broadcast_cotangent(rng):
    w = tg.Tensor(rng.standard_normal((2, 3, 3, 3)), requires_grad=True)
    x = np.broadcast_to(rng.standard_normal((1, 3, 5, 5)), (4, 3, 5, 5))
    tg.conv2d(x, w).sum().backward()  # the cotangent is a single 1, seen many times
    once, w.grad = w.grad.data, None
    tg.conv2d(x.copy(), w).backward(np.ones((4, 2, 3, 3)))
    np.testing.assert_allclose(once, w.grad.data, rtol=1e-12)


def test_results_are_stored_with_the_batch_innermost_and_gradients_of_weights_as_weights(rng):
    x = tg.Tensor(rng.standard_normal((3, 2, 6, 6)), requires_grad=True)
    w = tg.Tensor(rng.standard_normal((4, 2, 3, 3)), requires_grad=True)
    y = tg.conv2d(x, w)
    y.backward(rng.standard_normal(y.shape))
    for images in (y, x.grad):
        assert images.data.transpose(1, 2, 3, 0).flags.c_contiguous
    assert w.grad.data.flags.c_contiguous


@pytest.mark.parametrize(("shape", "filters"), [((3, 3, 220, 220), (64, 3, 5, 5)), ((4, 16, 12, 1600), (16, 16, 3, 3))])
def test_memory_beyond_the_output_is_that_of_a_few_tiles(shape, filters, rng):
    x, w = rng.standard_normal(shape, F32), rng.standard_normal(filters, F32)
    tg.conv2d(x[:, :, :8, :8], w)
    tracemalloc.start()
    y = tg.conv2d(x, w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrix_of_windows = y.size // filters[0] * np.prod(filters[1:]) * 4
    assert peak - y.data.nbytes < 2 * x.nbytes + 6e6 < matrix_of_windows / 2  # a tile for each of two threads


# -- dtypes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_x", "of_w", "of_y"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.uint8, np.float32, np.float32),
        (np.int64, np.float32, np.float64),
        (np.float16, np.float16, np.float16),
        (np.longdouble, np.float64, np.longdouble),
    ],
)
def test_dtypes_promote_as_numpys(of_x, of_w, of_y, rng):
    x, w, b = rng.integers(0, 4, (2, 2, 5, 5)), rng.integers(-2, 3, (3, 2, 2, 2)), np.arange(3)
    y = tg.conv2d(x.astype(of_x), w.astype(of_w), b.astype(of_w))
    assert y.dtype == of_y
    np.testing.assert_array_equal(y.data, by_loops(x, w, b, (1, 1), (0, 0), (1, 1), 1)[0])  # small integers: exact in all


def test_half_precision_is_computed_in_single(rng):
    x, w = (tg.Tensor(rng.standard_normal(s).astype(np.float16), requires_grad=True) for s in ((4, 8, 9, 9), (8, 8, 3, 3)))
    y = tg.conv2d(x, w, padding=1)
    y.backward(np.ones(y.shape, np.float16))
    exact = [tg.Tensor(t.data.astype(np.float64), requires_grad=True) for t in (x, w)]
    right = tg.conv2d(*exact, padding=1)
    right.backward(np.ones(y.shape))
    found, wanted = (y, x.grad, w.grad), (right, exact[0].grad, exact[1].grad)
    for half, double in zip(found, wanted, strict=True):
        assert half.dtype == np.float16
        np.testing.assert_allclose(half.data, double.data, rtol=2e-3, atol=1e-3)


# -- operations ------------------------------------------------------------------------------------------------------


@every_case
def test_a_multiply_add_counts_two_operations(x_shape, w_shape, settings):
    y_shape = tg.conv2d(np.zeros(x_shape), np.zeros(w_shape), **settings).shape
    n, f, oh, ow = y_shape
    count = 2 * n * f * oh * ow * (x_shape[1] // settings["groups"]) * w_shape[2] * w_shape[3]
    assert tg.PRIMITIVES["conv2d"].flops(y_shape, x_shape, w_shape, None) == count
    assert tg.PRIMITIVES["conv2d"].flops(y_shape, x_shape, w_shape, w_shape[:1]) == count
    assert INPUT_GRAD.flops(x_shape, y_shape, w_shape) == count
    assert WEIGHT_GRAD.flops(w_shape, y_shape, x_shape) == count
