"""Cross entropy in all its combinations, softmax and its relatives at their limits, and dropout."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.testing import gradcheck

WEIGHT = np.array([0.5, 2.0, 0.0, 1.5])
SETTINGS = list(itertools.product(["mean", "sum", "none"], [None, WEIGHT], [0.0, 0.3, 1.0]))


def both(torch, logits, targets, **settings):
    """Loss, gradients and second derivatives of ours and of PyTorch's; targets of floats are differentiated too."""
    weight, ignore_index = settings.get("weight"), settings.get("ignore_index")
    theirs = settings | {
        "weight": None if weight is None else torch.tensor(weight),
        "ignore_index": -100 if ignore_index is None else ignore_index,
    }
    has_rows = targets.dtype.kind == "f"
    xs = [tg.Tensor(logits, requires_grad=True), tg.Tensor(targets, requires_grad=has_rows)]
    ys = [torch.tensor(logits, requires_grad=True), torch.tensor(targets, requires_grad=has_rows)]
    ours, expected = tg.cross_entropy(*xs, **settings), torch.nn.functional.cross_entropy(*ys, **theirs)
    variables, their_variables = (xs, ys) if has_rows else (xs[:1], ys[:1])

    g = np.random.default_rng(1).standard_normal(ours.shape)
    ours.backward(g, create_graph=True)
    first = [x.grad for x in variables]
    their_first = torch.autograd.grad(expected, their_variables, torch.tensor(g), create_graph=True)
    for x in variables:
        x.grad = None
    sum((d * d).sum() for d in first).backward()
    their_second = torch.autograd.grad(sum((d * d).sum() for d in their_first), their_variables)
    second = [x.grad for x in variables]
    return [ours, *first, *second], [expected, *their_first, *their_second]


def assert_equal_to_pytorch(torch, *inputs, **settings):
    for ours, theirs in zip(*both(torch, *inputs, **settings), strict=True):
        assert ours.shape == tuple(theirs.shape)
        np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ignore_index", [None, 1, -100])
@pytest.mark.parametrize(("reduction", "weight", "label_smoothing"), SETTINGS)
def test_labels_as_in_pytorch(rng, reduction, weight, label_smoothing, ignore_index):
    torch = pytest.importorskip("torch")
    labels = rng.integers(0, 4, 7)
    if ignore_index is not None:
        labels[[0, 3]] = ignore_index
    settings = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    assert_equal_to_pytorch(torch, 3 * rng.standard_normal((7, 4)), labels, **settings)


@pytest.mark.parametrize(("reduction", "weight", "label_smoothing"), SETTINGS)
def test_rows_as_in_pytorch(rng, reduction, weight, label_smoothing):
    torch = pytest.importorskip("torch")
    rows = rng.uniform(0, 2, (7, 4))  # which do not sum to 1
    settings = {"weight": weight, "label_smoothing": label_smoothing, "reduction": reduction}
    assert_equal_to_pytorch(torch, 3 * rng.standard_normal((7, 4)), rows, **settings)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_single_sample_as_in_pytorch(rng, reduction, weight):
    torch = pytest.importorskip("torch")
    for targets in (np.array(3), rng.uniform(0, 2, 4)):
        assert_equal_to_pytorch(torch, rng.standard_normal(4), targets, reduction=reduction, weight=weight)


def test_derivatives_of_every_order_hold(rng):
    rows, labels = rng.uniform(0, 2, (3, 4)), np.array([0, 3, 1])
    settings = {"weight": WEIGHT, "label_smoothing": 0.2}
    gradcheck(lambda x, q: tg.cross_entropy(x, q, **settings), rng.standard_normal((3, 4)), rows, order=3, directions=1)
    gradcheck(lambda x: tg.cross_entropy(x, labels, **settings), rng.standard_normal((3, 4)), order=3, directions=1)


def test_mean_loss_and_gradient_of_equal_logits():
    logits = tg.Tensor(np.zeros((2, 4)), requires_grad=True)
    loss = tg.cross_entropy(logits, [0, 3])
    loss.backward()
    assert loss.item() == pytest.approx(1.3862943611198906, rel=1e-15)
    np.testing.assert_allclose(logits.grad.data, [[-0.375, 0.125, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]], rtol=1e-15)


def test_weighted_mean_divides_by_the_weights_of_the_labels():
    loss = tg.cross_entropy(np.array([[1.0, 2.0], [3.0, 1.0]]), [0, 1], weight=[1.0, 3.0])
    assert loss.item() == pytest.approx(1.9235114301617853, rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_stay_finite(dtype):
    for label, expected, slope in ((0, 0.0, [0, 0, 0]), (1, 1000.0, [1, -1, 0])):
        logits = tg.Tensor(np.array([[1000.0, 0.0, -1000.0]], dtype), requires_grad=True)
        loss = tg.cross_entropy(logits, [label])
        loss.backward()
        assert loss.item() == expected
        np.testing.assert_array_equal(logits.grad.data, [slope])


@pytest.mark.parametrize("targets", [[1, 2], np.eye(3)[[1, 2]]], ids=["labels", "rows"])
def test_classes_ruled_out_by_minus_infinity_do_no_harm(targets):
    logits = tg.Tensor([[-np.inf, 0.0, 0.0], [-np.inf, 0.0, 0.0]], requires_grad=True)
    loss = tg.cross_entropy(logits, targets)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    np.testing.assert_array_equal(logits.grad.data, [[0, -0.25, 0.25], [0, 0.25, -0.25]])


def test_ignored_samples_may_hold_anything():
    logits = tg.Tensor([[-np.inf, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = tg.cross_entropy(logits, [-1, 0], ignore_index=-1)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    np.testing.assert_array_equal(logits.grad.data, [[0, 0], [-0.5, 0.5]])


def test_the_mean_of_nothing_is_nan():
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(tg.cross_entropy(np.zeros((2, 3)), [1, 1], ignore_index=1).item())
        assert np.isnan(tg.cross_entropy(np.zeros((0, 3)), np.zeros(0, int)).item())
    assert tg.cross_entropy(np.zeros((2, 3)), [1, 1], ignore_index=1, reduction="sum").item() == 0


@pytest.mark.parametrize("dtype", [np.float64, int, bool])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_one_hot_rows_of_any_dtype_equal_labels_and_keep_float32(rng, dtype, reduction):
    values = rng.standard_normal((4, 3)).astype(np.float32)
    labels = np.array([2, 0, 1, 1], np.uint8)
    gradients = []
    for targets in (labels, np.eye(3, dtype=dtype)[labels]):
        logits = tg.Tensor(values, requires_grad=True)
        loss = tg.cross_entropy(logits, targets, weight=np.array([1.0, 2.0, 3.0]), reduction=reduction)
        loss.backward(np.ones(loss.shape))
        assert loss.dtype == logits.grad.dtype == np.float32
        gradients.append(logits.grad.data)
    np.testing.assert_allclose(*gradients, rtol=1e-6, atol=1e-7)


def test_softmax_and_its_relatives_do_not_overflow():
    x = tg.Tensor([1000.0, 0.0, -1000.0])
    np.testing.assert_array_equal(tg.softmax(x).data, [1, 0, 0])
    np.testing.assert_array_equal(tg.log_softmax(x).data, [0, -1000, -2000])
    assert tg.logsumexp(x).item() == 1000
    assert tg.logsumexp([np.inf, 0.0]).item() == np.inf


# -- dropout -------------------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_the_dtype(rng):
    x = tg.Tensor(np.ones((200, 500), np.float32), requires_grad=True)
    y = tg.dropout(x, 0.3, rng=rng)
    y.backward(np.ones(y.shape))
    assert y.dtype == x.grad.dtype == np.float32
    assert set(np.unique(y.data)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert abs(y.data.mean() - 1) < 0.01  # six standard deviations
    np.testing.assert_array_equal(x.grad.data, y.data)  # of ones


@pytest.mark.parametrize("value", [1.0, np.inf, np.nan])
def test_dropout_of_everything_gives_zeros(rng, value):
    x = tg.Tensor(np.full((3, 4), value), requires_grad=True)
    y = tg.dropout(x, 1, rng=rng)
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(y.data, np.zeros((3, 4)))
    np.testing.assert_array_equal(x.grad.data, np.zeros((3, 4)))


def test_dropout_draws_the_same_mask_for_any_memory_order():
    x = np.ones((3, 4, 5))
    rows, columns = (tg.dropout(a, 0.5, rng=np.random.default_rng(3)).data for a in (x, np.asfortranarray(x)))
    np.testing.assert_array_equal(rows, columns)
    assert columns.flags.f_contiguous


def test_dropout_is_linear_for_the_mask_drawn(rng):
    x = tg.Tensor(rng.standard_normal((3, 4)), requires_grad=True)
    (tg.dropout(x, 0.5, rng=rng) ** 3).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    first.sum().backward()
    kept = first.data != 0
    np.testing.assert_allclose(x.grad.data, kept * 6 * x.data * 2**3, rtol=1e-12)  # of (2 x)^3
