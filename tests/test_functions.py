"""Public functions beside their primitives: those made of several, methods, transposes, and slopes at kinks."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.testing import gradcheck, transpose_check

F32 = np.float32
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


def test_the_argument_may_be_given_by_name():
    def f(x, y=2.0, *, scale=1.0):
        return (x * x * y * scale).sum()

    assert tg.grad(f)(x=3.0).item() == 12 and tg.grad(f)(x=3.0, y=1.0, scale=2.0).item() == 12
    assert tg.grad(f, 1)(3.0).item() == 9 and tg.grad(f, 1)(y=5.0, x=3.0).item() == 9
    assert [g.item() for g in tg.grad(f, (0, 1))(3.0, y=1.0)] == [6, 9]
    with pytest.raises(TypeError, match="no argument 2"):
        tg.grad(f, 2)(3.0)
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        tg.grad(f)(y=1.0)


def test_a_tensor_in_the_place_of_the_function():
    x = tg.Tensor(3.0, requires_grad=True)
    with pytest.raises(TypeError, match=r"take a function.*loss.backward\(\)"):
        tg.grad(x * x, x)
