"""Public functions beside their primitives: those made of several, methods, values at kinks, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.testing import gradcheck, transpose_check

F32 = np.float32
IMAGES = np.zeros((2, 4, 6, 6))
X = np.arange(24.0).reshape(2, 3, 4)


# -- functions made of several primitives -----------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_prod_is_numpys_with_gradients_to_second_order(axis, keepdims, rng):
    x = rng.uniform(0.5, 1.5, (3, 1, 5))
    np.testing.assert_allclose(tg.prod(x, axis, keepdims).data, np.prod(x, axis=axis, keepdims=keepdims), rtol=1e-12)
    x[1] = 0
    gradcheck(lambda x: tg.prod(x, axis, keepdims), x)


@pytest.mark.parametrize("parts", [1, 2, 4, [1], [1, 3], [0, 2, 2]])
def test_split_is_numpys_and_its_parts_have_gradients(parts):
    x = tg.Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    ours, numpys = tg.split(x, parts, axis=-1), np.split(x.numpy(), parts, axis=-1)
    for mine, theirs in zip(ours, numpys, strict=True):
        np.testing.assert_array_equal(mine.data, theirs)
    sum((k + 1) * part.sum() for k, part in enumerate(ours)).backward()
    expected = [np.full_like(part, k + 1) for k, part in enumerate(numpys)]
    np.testing.assert_array_equal(x.grad.data, np.concatenate(expected, axis=-1))


def test_transpose_reverses_axes_or_takes_an_order():
    np.testing.assert_array_equal(tg.transpose(X).data, X.T)
    np.testing.assert_array_equal(tg.transpose(X, (1, -1, 0)).data, X.transpose(1, 2, 0))


def test_vectors_in_products_are_rows_on_the_left_and_columns_on_the_right(rng):
    for shapes in (((3,), (3,)), ((3,), (3, 2)), ((3,), (4, 3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3,)), ((0,), (0, 2))):
        x, y = (rng.standard_normal(shape) for shape in shapes)
        np.testing.assert_allclose(tg.matmul(x, y).data, x @ y, rtol=1e-12)
        gradcheck(tg.matmul, x, y)


def test_pairs_of_transposes(rng):
    columns = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 1), "dilation": (1, 2)}
    x, cols = rng.standard_normal((2, 3, 7, 6)), tg.im2col(np.zeros((2, 3, 7, 6)), **columns).shape
    transpose_check(lambda x: tg.im2col(x, **columns), lambda y: tg.col2im(y, (7, 6), **columns), x, rng.standard_normal(cols))
    settings = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 3}
    w, y = rng.standard_normal((6, 1, 3, 2)), rng.standard_normal((2, 6, 4, 4))
    back = tg.PRIMITIVES["conv2d_input_grad"]
    transpose_check(lambda x: tg.conv2d(x, w, **settings), lambda y: back(y, w, shape=x.shape, **settings), x, y)
    transpose_check(
        lambda x: x.sum(1), lambda y: tg.broadcast_to(y[:, None], (4, 3, 2)), rng.random((4, 3, 2)), np.ones((4, 2))
    )


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


METHODS = {
    "exp": (), "log": (), "sqrt": (), "abs": (), "sin": (), "cos": (), "tanh": (), "sigmoid": (), "relu": (),
    "clip": (1, 5), "sum": (1,), "mean": ((0, 2), True), "max": (0,), "min": (), "var": (1,), "std": (-1, True),
    "flatten": (1,), "squeeze": (), "unsqueeze": (1,), "broadcast_to": ((5, 2, 3, 4),), "astype": (F32,),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_functions_of_the_same_name(name):
    x, arguments = tg.Tensor(X + 1), METHODS[name]
    np.testing.assert_array_equal(getattr(x, name)(*arguments).data, getattr(tg, name)(x, *arguments).data)


def test_methods_that_take_a_shape_or_axes_take_them_either_way():
    x = tg.Tensor(X)
    for shape in ((6, 4), (-1, 2), (24,)):
        assert x.reshape(*shape).shape == x.reshape(shape).shape == X.reshape(shape).shape
    assert x.permute(2, 0, 1).shape == x.permute((2, 0, 1)).shape == x.transpose(2, 0, 1).shape == (4, 2, 3)
    assert x.T.shape == x.transpose().shape == (4, 3, 2)
    assert x.var(ddof=1).item() == pytest.approx(X.var(ddof=1))
    assert x.std(ddof=1).item() == pytest.approx(X.std(ddof=1))


# -- at kinks, where the table of primitives keeps away ----------------------------------------------------------------

KINKS = {
    "relu": lambda lib, x: lib.relu(x),
    "abs": lambda lib, x: lib.abs(x),
    "clip": lambda lib, x: lib.clip(x, -1, 1),
    "maximum": lambda lib, x: lib.maximum(x, x * x),
    "minimum": lambda lib, x: lib.minimum(x * x, x),
    "max": lambda lib, x: x.max() if lib is tg else x.amax(),
    "min over axes": lambda lib, x: tg.min(x, (1, 3)) if lib is tg else x.amin((1, 3)),
    "max_pool2d": lambda lib, x: pooling(lib)(x, 2, stride=1, padding=1),
    "overlapping max_pool2d": lambda lib, x: pooling(lib)(x, 3, stride=2, padding=1, ceil_mode=True),
}


def pooling(lib):
    return tg.max_pool2d if lib is tg else lib.nn.functional.max_pool2d


@pytest.mark.parametrize("name", KINKS)
def test_slopes_at_kinks_and_ties_are_pytorchs(name, rng):
    torch = pytest.importorskip("torch")
    values = rng.integers(-1, 2, (2, 3, 5, 6)).astype(float)  # many zeros and ties
    ours, theirs = tg.Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    out, expected = KINKS[name](tg, ours), KINKS[name](torch, theirs)
    np.testing.assert_array_equal(out.data, expected.detach().numpy())
    g = rng.standard_normal(out.shape)
    out.backward(g)
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


# -- refusals: each names the function, what is wrong with which shapes, and what to do ----------------------------------

REFUSALS = [
    (lambda: tg.add(X, np.zeros(3)), ValueError, r"add: .*\n.*x \(2, 3, 4\) float64, y \(3,\) float64.*\n.*broadcast when"),
    (lambda: tg.reshape(X, (5, -1)), ValueError, r"reshape: 24 elements of shape \(2, 3, 4\) do not fit the shape \(5, -1\)"),
    (lambda: tg.reshape(X, (-1, -1)), ValueError, r"reshape: .* must multiply to 24"),
    (lambda: tg.reshape(X, (25,)), ValueError, r"reshape: .* must multiply to 24"),
    (lambda: tg.reshape(np.zeros((0, 3)), (-1, 0)), ValueError, "reshape: 0 elements"),
    (lambda: tg.permute(X, (0, 1)), ValueError, r"permute: axes=\(0, 1\) must name each of the 3 axes .* once"),
    (lambda: tg.permute(X, (0, 1, 1)), ValueError, "permute: .* once"),
    (lambda: tg.permute(X, (0, 1, 3)), ValueError, "permute: axis 3 is out of range for 3 axes; choose one from -3 to 2"),
    (lambda: tg.squeeze(X, 1), ValueError, r"squeeze: axis 1 of the shape \(2, 3, 4\) is not of size 1"),
    (lambda: tg.unsqueeze(X, 5), ValueError, "unsqueeze: axis 5 is out of range"),
    (lambda: tg.flatten(X, 3), ValueError, "flatten: axis 3 is out of range"),
    (lambda: tg.broadcast_to(X, (2, 3)), ValueError, r"broadcast_to: .*\n.*x \(2, 3, 4\).*shape=\(2, 3\)"),
    (lambda: tg.concatenate([]), ValueError, "concatenate: there is nothing to join"),
    (lambda: tg.concatenate([X, X[0]]), ValueError, r"concatenate: .*\n.*xs\[0\] \(2, 3, 4\) float64, xs\[1\] \(3, 4\)"),
    (lambda: tg.concatenate([X], 3), ValueError, "concatenate: axis 3 is out of range"),
    (lambda: tg.stack([X, X[0]]), ValueError, r"stack: .*\n.*xs\[1\] \(3, 4\)"),
    (lambda: tg.split(X, 2, 1), ValueError, "split: axis 1 of the shape .* cannot be parted into 2 equal parts; pass indices"),
    (lambda: tg.split(X, 0), ValueError, "split: .* cannot be parted into 0"),
    (lambda: tg.pad(X, ((1, 1), (2, 2))), ValueError, "pad: .* does not give a pair .* for each of 3 axes"),
    (lambda: tg.pad(X, -1), ValueError, "pad: .* not negative; to cut off, index"),
    (lambda: tg.pad(X, 0.5), ValueError, "pad: .* must hold integers"),
    (lambda: tg.astype(X, complex), TypeError, "astype: .* choose a dtype"),
    (lambda: tg.sum(X, 3), ValueError, "sum: axis 3 is out of range for 3 axes; choose one from -3 to 2"),
    (lambda: tg.mean(X, (0, -3)), ValueError, "mean: an axis stands twice"),
    (lambda: tg.max(np.zeros((2, 0))), ValueError, r"max: there is no element along axis None of the shape \(2, 0\)"),
    (lambda: tg.clip(X), TypeError, "clip: both bounds are missing"),
    (lambda: tg.clip(X, X, X), TypeError, "clip: low and high must be numbers; .* use maximum and minimum"),
    (lambda: tg.softmax(X, 3), ValueError, "softmax: axis 3 is out of range"),
    (lambda: tg.log_softmax(X, -4), ValueError, "log_softmax: axis -4 is out of range"),
    (lambda: tg.matmul(X, X), ValueError, r"matmul: rows of 4 elements cannot be multiplied with columns of 3.*\n.*\(2, 3, 4"),
    (lambda: tg.matmul(X, 2.0), ValueError, r"matmul: shapes \(2, 3, 4\) and \(\): .* multiply by it with \*"),
    (lambda: tg.matmul(X, np.zeros((3, 4, 1))), ValueError, r"matmul: .*\n.*\(2, 3, 4\)"),
    (lambda: tg.linear(X, np.zeros((5, 3))), ValueError, r"linear: the last axis of x .*\n.*w \(5, 3\)"),
    (lambda: tg.linear(X, np.zeros((5, 4)), np.zeros(4)), ValueError, "linear: the bias b must have one element for each of"),
    (lambda: tg.dropout(X, 1.5, rng=np.random.default_rng()), ValueError, "dropout: the rate is a probability from 0 to 1"),
    (lambda: tg.dropout(X, 0.5, rng=0), TypeError, r"dropout: rng must be a numpy.random.Generator, e.g. .* not int"),
    # images
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
    # losses
    (lambda: tg.cross_entropy(X, [0]), ValueError, r"cross_entropy: logits must have the shape \(samples, classes\)"),
    (lambda: tg.cross_entropy(X[0], [0, 1]), ValueError, r"cross_entropy: targets of shape \(2,\) do not fit logits"),
    (lambda: tg.cross_entropy(X[0], [0, 1, 4]), ValueError, "cross_entropy: a label is 4, but with 4 classes .* from 0 to 3"),
    (lambda: tg.cross_entropy(X[0], [0, -1, 3]), ValueError, "cross_entropy: a label is -1"),
    (lambda: tg.cross_entropy(X[0], [0.0, 1.0, 3.0]), TypeError, "cross_entropy: labels must be integers, not float32"),
    (lambda: tg.cross_entropy([[1, 2]], [0]), TypeError, "cross_entropy: logits must be floats, not int64"),
    (lambda: tg.cross_entropy(X[0], [0, 1, 2], reduction="max"), ValueError, "cross_entropy: reduction must be one of"),
    (lambda: tg.cross_entropy(X[0], [0, 1, 2], label_smoothing=2), ValueError, "cross_entropy: label_smoothing .* from 0 to 1"),
    (lambda: tg.cross_entropy(X[0], [0, 1, 2], weight=[1.0]), ValueError, r"cross_entropy: weight has shape \(1,\); .* 4"),
    (lambda: tg.cross_entropy(X[0], X[0], ignore_index=0), ValueError, "cross_entropy: ignore_index goes with integer labels"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), REFUSALS, ids=[message[:30] for _, _, message in REFUSALS])
def test_bad_arguments_are_refused_with_the_cure(call, kind, message):
    with pytest.raises(kind, match=rf"(?s)^{message}"):
        call()
