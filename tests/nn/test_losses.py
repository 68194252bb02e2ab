"""Losses and accuracy."""

import numpy as np
import pytest

import nn
import tensorgrad as tg


def test_cross_entropy_is_tensorgrads():
    assert nn.cross_entropy is tg.cross_entropy


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss_is_pytorchs(reduction, rng):
    torch = pytest.importorskip("torch")
    p, t = rng.standard_normal((3, 4), np.float32), rng.standard_normal((3, 4), np.float32)
    ours, theirs = tg.Tensor(p, requires_grad=True), torch.tensor(p, requires_grad=True)
    loss = nn.mse_loss(ours, t, reduction=reduction)
    expected = torch.nn.functional.mse_loss(theirs, torch.tensor(t), reduction=reduction)
    np.testing.assert_allclose(loss.data, expected.detach().numpy(), rtol=1e-6)
    loss.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-6)


def test_mse_loss_keeps_float32_whatever_the_target():
    prediction = tg.Tensor([1.0, 2.0])
    for target in (np.array([0.0, 1.0]), [0, 1], np.array([0, 1])):
        loss = nn.mse_loss(prediction, target)
        assert loss.dtype == np.float32 and loss.item() == 1.0


def test_mse_loss_refuses_what_would_broadcast():
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3,\)"):
        nn.mse_loss(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="reduction must be"):
        nn.mse_loss([1.0], [1.0], reduction="average")


def test_accuracy():
    logits = np.array([[0.1, 0.9, 0], [0.8, 0.2, 0], [0.3, 0.3, 0.1], [0, 0, 1]])
    labels = np.array([1, 1, 0, 2])
    for scores in (logits, tg.Tensor(logits), logits.tolist()):
        for truth in (labels, tg.Tensor(labels), labels.tolist(), np.eye(3)[labels]):
            got = nn.accuracy(scores, truth)
            assert type(got) is float and got == 0.75
    assert nn.accuracy([0.1, 0.9], 1) == 1.0


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((3, 2)), [0, 1]),
        (np.zeros((3, 2)), [0.0, 1.0, 1.0]),
        (np.zeros((3, 2)), np.zeros((2, 3))),
        (np.zeros((0, 2)), []),
    ],
)
def test_accuracy_refuses_what_does_not_fit(logits, labels):
    with pytest.raises(ValueError, match="accuracy: "):
        nn.accuracy(logits, labels)
