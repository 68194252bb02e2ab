"""Convolution and pooling by their definitions, in pieces of any size, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.kernels import columns, pool, products
from tensorgrad.testing import transpose_check

X = np.zeros((2, 3, 4))
IMAGES = np.zeros((2, 4, 6, 6))

# -- definitions -----------------------------------------------------------------------------------------------------


def test_a_convolution_is_a_product_with_the_matrix_of_windows(rng):
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 2, 3))
    product = w.reshape(4, -1) @ tg.im2col(x, (2, 3), padding=1).data
    np.testing.assert_allclose(tg.conv2d(x, w, padding=1).data, product.reshape(2, 4, 7, 5), rtol=1e-12, atol=1e-12)


def test_convolution_by_its_definition(rng):
    x, w, b = rng.standard_normal((1, 2, 5, 6)), rng.standard_normal((4, 1, 2, 3)), rng.standard_normal(4)
    y = tg.conv2d(x, w, b, stride=(2, 1), padding=(1, 0), dilation=(2, 1), groups=2).data
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    for f in range(4):
        for i in range(3):
            for j in range(4):
                window = padded[0, f // 2, 2 * i : 2 * i + 3 : 2, j : j + 3]
                assert y[0, f, i, j] == pytest.approx((window * w[f, 0]).sum() + b[f])
    assert y.shape == (1, 4, 3, 4)


# -- in pieces -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["as they are", "small"])
def pieces(request, monkeypatch):
    """Work is cut into pieces that fit in cache; small ones show whether their borders are right."""
    if request.param == "small":
        monkeypatch.setattr(columns, "TILE_BYTES", 1)
        monkeypatch.setattr(products, "PIECE", 10_000)
        monkeypatch.setattr(pool, "BLOCK_BYTES", 1)


SHAPES = [
    # images, filters, settings; with more windows than a tile has, of several rows or of a piece of one row
    ((3, 2, 21, 22), (4, 2, 3, 3), {"padding": 1}),
    ((70, 1, 6, 9), (2, 1, 2, 3), {"stride": (1, 2), "padding": (0, 1)}),
    ((400, 2, 4, 5), (2, 1, 3, 2), {"groups": 2, "dilation": (1, 2)}),
    ((5, 3, 20, 20), (2, 3, 1, 1), {}),
    ((300, 1, 3, 3), (7, 1, 3, 3), {}),
]


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("x_shape", "w_shape", "settings"), SHAPES)
def test_convolutions_of_many_windows(x_shape, w_shape, settings, rng):
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    groups = settings.get("groups", 1)
    y = tg.conv2d(x, w, **settings).data
    by_columns = {name: value for name, value in settings.items() if name != "groups"}
    windows = tg.im2col(x, w_shape[2:], **by_columns).data  # (N, C * KH * KW, OH * OW)
    windows = windows.reshape(len(x), groups, -1, windows.shape[2])
    expected = np.einsum("gfk,ngkp->ngfp", w.reshape(groups, w_shape[0] // groups, -1), windows)
    np.testing.assert_allclose(y, expected.reshape(y.shape), rtol=1e-10, atol=1e-10)

    g = rng.standard_normal(y.shape)
    form = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    form |= {
        name: value if name == "groups" or isinstance(value, tuple) else (value, value) for name, value in settings.items()
    }
    input_grad, weight_grad = tg.PRIMITIVES["conv2d_input_grad"], tg.PRIMITIVES["conv2d_weight_grad"]
    transpose_check(lambda x: tg.conv2d(x, w, **settings), lambda g: input_grad(g, w, shape=x_shape, **form), x, g)
    transpose_check(lambda w: tg.conv2d(x, w, **settings), lambda g: weight_grad(g, x, shape=w_shape, **form), w, g)


@pytest.mark.usefixtures("pieces")
def test_pools_of_many_windows(rng):
    x = rng.standard_normal((3, 2, 9, 8))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), (2, 3))[:, :, ::2]
    settings = {"kernel_size": (3, 2), "stride": (2, 1)}
    np.testing.assert_array_equal(tg.max_pool2d(x, **settings).data, windows.max((4, 5)))
    np.testing.assert_allclose(tg.avg_pool2d(x, **settings).data, windows.mean((4, 5)), rtol=1e-12)
    pooled, winners = tg.PRIMITIVES["max_pool2d"].outputs(
        x, kernel_size=(3, 2), stride=(2, 1), padding=(0, 0), dilation=(1, 1), ceil_mode=False
    )
    np.testing.assert_array_equal(winners.data, windows.reshape(*pooled.shape, 6).argmax(-1))
    variable, g = tg.Tensor(x, requires_grad=True), rng.standard_normal(pooled.shape)
    tg.max_pool2d(variable, **settings).backward(g)
    expected = np.zeros_like(x)
    n, c, i, j = np.indices(pooled.shape)
    np.add.at(expected, (n, c, 2 * i + winners.data // 2, j + winners.data % 2), g)
    np.testing.assert_allclose(variable.grad.data, expected, rtol=1e-12, atol=1e-12)


# -- refusals: each names the function, what is wrong with which shapes, and what to do ------------------------------

REFUSED = [
    (lambda: tg.conv2d(X, np.zeros((1, 3, 2, 2))), ValueError, r"conv2d: .* have 3 and 4 axes; add an axis"),
    (lambda: tg.conv2d(IMAGES, np.zeros((1, 3, 2, 2))), ValueError, r"conv2d: the weights take 3 channels .* give weights"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 2, 2, 2)), groups=2), ValueError, "conv2d: groups=2 must divide .* the 3 filters"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 2, 2)), groups=0), ValueError, "conv2d: groups must be an integer"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 7, 2))), ValueError, r"conv2d: .*7.*6"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 3, 3)), dilation=3), ValueError, r"conv2d: .*7.*6"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 0, 2))), ValueError, "conv2d: the kernel has no positions"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 2, 2)), np.zeros(4)), ValueError, r"conv2d: the bias must have .* shape \(3,\)"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 2, 2), int)), TypeError, "conv2d: the weights must be floats"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 2, 2)), stride=0), ValueError, "conv2d: stride must be at least 1, and is 0"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 2, 2)), padding=-1), ValueError, "conv2d: padding must be at least 0"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 2, 2)), stride=1.5), TypeError, "conv2d: stride must be an integer or a pair"),
    (lambda: tg.conv2d(IMAGES, np.zeros((3, 4, 2, 2)), stride=(1, 1, 1)), TypeError, "conv2d: stride must be .* a pair"),
    (lambda: tg.im2col(X, 2), ValueError, "im2col: the images must have shape"),
    (lambda: tg.im2col(IMAGES, 7), ValueError, "im2col: .*7.*6"),
    (lambda: tg.col2im(np.zeros((1, 9, 5)), 4, 3), ValueError, r"col2im: the columns must have shape \(N, C \* 9, 4\)"),
    (lambda: tg.col2im(np.zeros((1, 8, 4)), 4, 3), ValueError, "col2im: .* give the settings that im2col was given"),
    (lambda: tg.max_pool2d(X, 2), ValueError, "max_pool2d: the images must have shape"),
    (lambda: tg.max_pool2d(IMAGES, 7), ValueError, "max_pool2d: .*7.*6"),
    (lambda: tg.max_pool2d(IMAGES, 2, padding=2), ValueError, "max_pool2d: the padding .* take less padding"),
    (lambda: tg.avg_pool2d(IMAGES, True), TypeError, "avg_pool2d: kernel_size must be an integer or a pair"),
    (lambda: tg.avg_pool2d(IMAGES.astype(int), 2), TypeError, "avg_pool2d: a mean needs floats"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[message[:30] for _, _, message in REFUSED])
def test_bad_arguments_are_refused_with_the_cure(call, kind, message):
    with pytest.raises(kind, match=rf"(?s)^{message}"):
        call()
