"""The MNIST CNN."""

import numpy as np
import pytest

import nn


def test_shapes_names_and_first_values():
    model = nn.models.MnistCNN(rng=0)
    shapes = {name: array.shape for name, array in model.state_dict().items()}
    assert shapes == {
        "conv.weight": (30, 1, 3, 3),
        "conv.bias": (30,),
        "hidden.weight": (256, 5070),
        "hidden.bias": (256,),
        "output.weight": (10, 256),
        "output.bias": (10,),
    }
    for name, array in model.state_dict().items():
        assert array.dtype == np.float32
        if name.endswith("bias"):
            assert not array.any()
        else:
            assert abs(array.std() / 0.01 - 1) < 0.15
    logits = model(np.zeros((7, 1, 28, 28), np.float32))
    assert logits.shape == (7, 10) and logits.dtype == np.float32


def test_settings_and_seed():
    small = nn.models.MnistCNN(hidden=16, init_std=0.5, rng=3)
    assert small.output.weight.shape == (10, 16) and abs(small.hidden.weight.data.std() / 0.5 - 1) < 0.05
    twin = nn.models.MnistCNN(hidden=16, init_std=0.5, rng=np.random.default_rng(3))
    for name, array in small.state_dict().items():
        np.testing.assert_array_equal(array, twin.state_dict()[name])
    with pytest.raises(ValueError, match="MnistCNN: hidden must be"):
        nn.models.MnistCNN(hidden=0)


def test_a_training_step_is_pytorchs(rng):
    torch = pytest.importorskip("torch")
    model = nn.models.MnistCNN(hidden=32, rng=0)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 30, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(5070, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, 10),
    )
    with torch.no_grad():
        for parameter, array in zip(theirs.parameters(), model.state_dict().values(), strict=True):
            parameter.copy_(torch.tensor(array))
    images = rng.integers(256, size=(8, 1, 28, 28)).astype(np.float32)
    labels = rng.integers(10, size=8)
    optimizer = nn.optim.SGD(model.parameters(), 1e-3)
    oracle = torch.optim.SGD(theirs.parameters(), 1e-3)
    for _ in range(3):
        loss = nn.cross_entropy(model(images), labels)
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(images)), torch.tensor(labels))
        assert abs(loss.item() - expected.item()) < 1e-5 * abs(expected.item())
        optimizer.zero_grad()
        oracle.zero_grad()
        loss.backward()
        expected.backward()
        optimizer.step()
        oracle.step()
    for parameter, its in zip(model.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.data, its.detach().numpy(), rtol=1e-3, atol=1e-6)
