"""NumPy's functions on tensors: ours, with the gradient, or a refusal that names the way out; and lists of tensors."""

from __future__ import annotations

import numpy as np
import pytest

import nn
import tensorgrad as tg

VALUES = np.array([[0.5, 1.5, -2.0], [3.0, 0.25, 1.0]])


def leaf(values=VALUES):
    return tg.Tensor(values, requires_grad=True)


ONE_ARGUMENT = {
    **{name: (getattr(np, name), {}) for name in ("exp", "sin", "cos", "tanh", "negative", "square", "abs", "positive")},
    **{name: (getattr(np, name), {}) for name in ("sum", "mean", "prod", "max", "min", "var", "std", "amax", "amin", "ravel")},
    "sum over an axis": (np.sum, {"axis": 0}),
    "mean, keepdims": (np.mean, {"axis": -1, "keepdims": True}),
    "std, ddof": (np.std, {"axis": 1, "ddof": 1}),
    "transpose": (np.transpose, {}),
    "swapaxes": (np.swapaxes, {"axis1": 0, "axis2": 1}),
    "expand_dims": (np.expand_dims, {"axis": 1}),
    "reshape": (np.reshape, {"shape": (3, 2)}),
    "clip": (np.clip, {"a_min": -1.0, "a_max": 0.9}),
    "pad": (np.pad, {"pad_width": 1}),
    "broadcast_to": (np.broadcast_to, {"shape": (2, 2, 3)}),
    "atleast_1d": (np.atleast_1d, {}),
    "add.reduce": (np.add.reduce, {}),
    "maximum.reduce": (np.maximum.reduce, {"axis": 1}),
    "multiply.reduce": (np.multiply.reduce, {"axis": 1}),
}


@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_functions_of_one_array_keep_the_gradient(name):
    function, settings = ONE_ARGUMENT[name]
    x = leaf()
    y = function(x, **settings)
    assert isinstance(y, tg.Tensor)
    np.testing.assert_allclose(y.data, function(VALUES, **settings))
    y.sum().backward()
    step = 1e-6
    expected = np.zeros_like(VALUES)
    for index in np.ndindex(VALUES.shape):
        ahead, behind = VALUES.copy(), VALUES.copy()
        ahead[index] += step
        behind[index] -= step
        expected[index] = (function(ahead, **settings).sum() - function(behind, **settings).sum()) / (2 * step)
    np.testing.assert_allclose(x.grad.data, expected, atol=1e-6)


TWO_ARGUMENTS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "matmul": lambda x, y: np.matmul(x, y.T),
    "dot": lambda x, y: np.dot(x, y.T),
    "vdot": np.vdot,
    "inner": np.inner,
    "outer": np.outer,
    "where": lambda x, y: np.where(VALUES > 1, x, y),
    "concatenate": lambda x, y: np.concatenate([x, y]),
    "stack": lambda x, y: np.stack([x, y], axis=1),
    "broadcast_arrays": lambda x, y: np.broadcast_arrays(x, y)[0],
}


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("name", TWO_ARGUMENTS)
def test_functions_of_two_arrays_keep_the_gradient(name, left):
    function, other = TWO_ARGUMENTS[name], VALUES[::-1] + 0.1
    x = leaf()
    y = function(x, other) if left else function(other, x)
    expected = function(VALUES, other) if left else function(other, VALUES)
    np.testing.assert_allclose(np.asarray(y), expected)
    if isinstance(y, tg.Tensor):
        y.sum().backward()
        assert x.grad.shape == VALUES.shape
    else:
        assert name == "broadcast_arrays" and not left  # the array among the two


@pytest.mark.parametrize("array", [np.ones(3), np.float32(2), np.float64(2), np.ones((2, 3), np.float32)])
def test_an_array_on_the_left(array):
    x = leaf()
    for result, expected in (
        (array * x, array * VALUES),
        (array - x, array - VALUES),
        (array / x, array / VALUES),
        (array**x, array**VALUES),
        (array < x, array < VALUES),
        (array == x, array == VALUES),
    ):
        assert isinstance(result, tg.Tensor)
        np.testing.assert_allclose(result.data, expected)
    assert isinstance(np.ones((1, 2)) @ x, tg.Tensor)
    assert (np.float32(2) * tg.Tensor(VALUES.astype(np.float32))).dtype == np.float32


LOST = {
    "np.percentile": lambda x: np.percentile(x, 50),
    "np.linalg.norm": np.linalg.norm,
    "np.cumsum": np.cumsum,
    "np.add.accumulate": np.add.accumulate,
    "np.expm1": np.expm1,
    "np.hypot": lambda x: np.hypot(x, x),
}


@pytest.mark.parametrize("name", LOST)
def test_what_would_lose_the_gradient_is_refused_by_name(name):
    with pytest.raises(TypeError, match=rf"{name} would lose the gradient.*np.asarray"):
        LOST[name](leaf() * 1.0)
    values = tg.Tensor(VALUES)
    np.testing.assert_allclose(LOST[name](values), LOST[name](VALUES))
    with tg.no_grad():
        assert isinstance(LOST[name](leaf()), np.ndarray | np.floating)


def test_arguments_that_tensors_do_not_take_are_named():
    with pytest.raises(TypeError, match=r"np\.sum of a tensor does not take dtype="):
        np.sum(leaf(), dtype=np.float32)
    with pytest.raises(TypeError, match=r"np.exp cannot write a tensor into an array.*new"):
        np.exp(leaf(), out=np.zeros_like(VALUES))
    array = np.zeros_like(VALUES)
    with pytest.raises(TypeError, match="y = y \\+ x"):
        array += leaf()


def test_what_only_looks_goes_on_working(tmp_path):
    x = leaf() * 1.0
    assert np.shape(x) == (2, 3) and np.ndim(x) == 2 and np.size(x) == 6
    assert np.allclose(x, VALUES) and np.array_equal(x, VALUES) and np.isfinite(x).all() and np.argmax(x) == 3
    np.testing.assert_allclose(x, VALUES)
    np.testing.assert_array_equal(x, x)
    np.save(tmp_path / "x.npy", x)
    assert np.array_equal(np.load(tmp_path / "x.npy"), VALUES)
    for read in (np.asarray(x), np.array(x), np.asarray(x, np.float32)):
        assert type(read) is np.ndarray
    assert np.round(x, 1).tolist() == VALUES.round(1).tolist()


def test_plots_take_tensors():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    x = tg.Tensor(np.linspace(0, 1, 9), requires_grad=True)
    y, image = tg.sin(x), leaf() * 1.0
    axes.plot(x, y)
    axes.scatter(x, y, c=y)
    axes.bar(x, y)
    axes.hist(y)
    axes.imshow(image)
    axes.fill_between(x, y)
    axes.errorbar(x, y, yerr=tg.abs(y))


def test_in_a_compiled_step_they_are_primitives_too():
    step = tg.compile(lambda x: np.mean(np.exp(x) * np.float32(2)) * (np.ndim(x) - 1) * len(np.shape(x)) / 2 * np.size(x) / 6)
    for k in range(5):
        x = np.full((2, 3), k, np.float32)
        assert step(x).item() == pytest.approx(2 * np.exp(k), rel=1e-6)


# -- lists of tensors where an array is expected -------------------------------------------------------------------------

LISTS = {
    "Tensor": lambda a, b: tg.Tensor([a, b]),
    "nested": lambda a, b: tg.Tensor([[a], [b]]),
    "concatenate": lambda a, b: tg.concatenate([[a], [b]]),
    "times": lambda a, b: a * [a, b],
    "where": lambda a, b: tg.where([True, False], [a, b], 0.0),
    "loss": lambda a, b: nn.mse_loss(tg.Tensor([1.0, 2.0]), [a, b]),
    "parameter": lambda a, b: nn.Parameter((a, b)),
    "assign": lambda a, b: tg.assign(tg.Tensor([1.0, 2.0]), [a, b]),
}


@pytest.mark.parametrize("how", LISTS)
def test_a_list_of_tensors_is_refused_where_it_would_lose_gradients(how):
    a, b = tg.Tensor(1.0, requires_grad=True), tg.Tensor(2.0)
    with pytest.raises(TypeError, match=r"tg\.stack"):
        LISTS[how](a, b)
    with tg.no_grad():
        LISTS[how](a, b)
    LISTS[how](a.detach(), b)


def test_stack_and_concatenate_take_lists_of_tensors():
    a, b = tg.Tensor(1.0, requires_grad=True), tg.Tensor(2.0, requires_grad=True)
    (tg.stack([a, b]) * np.array([3.0, 4.0], np.float32)).sum().backward()
    assert (a.grad.item(), b.grad.item()) == (3.0, 4.0)


# -- arrays of other libraries, dtypes --------------------------------------------------------------------------------


class Foreign:
    """An array of another library."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def test_arrays_of_other_libraries_keep_their_dtype():
    assert tg.Tensor(Foreign(np.zeros(2))).dtype == np.float64
    assert tg.Tensor(Foreign(np.zeros(2, np.float16))).dtype == np.float16
    assert tg.Tensor([np.zeros(2), np.ones(2)]).dtype == np.float64
    assert tg.Tensor([0.5, 1.0]).dtype == tg.Tensor(0.5).dtype == tg.Tensor([np.float64(0.5)]).dtype == np.float32


def test_tensors_of_pytorch_keep_their_dtype():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float64, torch.float32, torch.int32):
        assert str(tg.Tensor(torch.zeros(2, dtype=dtype)).dtype) == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4"])
def test_arrays_in_the_other_byte_order(dtype):
    array = np.array([[1, 3], [2, 0]], dtype)
    x = tg.Tensor(array)
    assert x.dtype.isnative and x.dtype == array.dtype.newbyteorder("=")
    for function in (tg.max, tg.min, tg.sum, tg.prod, tg.sign, tg.mean):
        assert np.array_equal(function(array).data, function(array.astype(x.dtype)).data)
    assert (x * array).data.tolist() == (array * array).tolist()


def test_small_integers_do_not_wrap_in_sums_products_and_losses():
    x = np.array([200, 100, 250], np.uint8)
    assert tg.sum(x).item() == 550 and tg.prod(x).item() == 5_000_000 and tg.mean(x).item() == pytest.approx(550 / 3)
    assert tg.prod(np.array([-100, 100], np.int8)).item() == -10_000 and tg.prod(np.array([True, True])).item() == 1
    loss = nn.mse_loss(np.array([1, 2], np.uint8), np.array([250, 3], np.uint8))
    assert loss.item() == pytest.approx((249**2 + 1) / 2) and loss.dtype == np.float32
    windows = tg.im2col(np.full((1, 1, 3, 3), 200, np.uint8), 2)
    assert tg.col2im(windows, (3, 3), 2).data[0, 0, 1, 1] == 800


def test_means_in_float16_do_not_overflow():
    x = tg.Tensor(np.full(100_000, 3, np.float16), requires_grad=True)
    assert tg.mean(x).item() == 3 and tg.mean(x).dtype == np.float16
    assert tg.var(x * 100).item() == 0 and tg.std(x * 100).item() == 0
    assert tg.logsumexp(x).item() == pytest.approx(3 + np.log(1e5), rel=1e-3)
    assert tg.softmax(x).data[0] == pytest.approx(1e-5, rel=0.01)
    assert nn.mse_loss(x * 50, x * 0).item() == 22_500 - 4  # the nearest there is in float16
    tg.mean(x).backward()
    assert x.grad.data[0] == pytest.approx(1e-5, rel=0.01)


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1}])
def test_no_gradient_comes_from_a_mean_over_no_samples(settings):
    logits = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    loss = nn.cross_entropy(logits, np.array([-1, -1]), ignore_index=-1, **settings)
    assert np.isnan(loss.item())  # as PyTorch 2.13 has it
    loss.backward(create_graph=True)
    assert logits.grad.data.tolist() == [[0, 0], [0, 0]]
    torch = pytest.importorskip("torch")
    theirs = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    torch.nn.functional.cross_entropy(theirs, torch.tensor([-1, -1]), ignore_index=-1, **settings).backward()
    assert theirs.grad.tolist() == [[0, 0], [0, 0]]
