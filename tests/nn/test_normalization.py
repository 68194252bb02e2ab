"""Batch norm and local response norm as layers: the same as PyTorch's over several steps, running statistics, replay."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

SETTINGS = [
    {},
    {"eps": 1e-2, "momentum": 0.4},
    {"momentum": None},
    {"affine": False},
    {"track_running_stats": False},
    {"affine": False, "track_running_stats": False, "momentum": 1.0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_batch_norm_is_pytorchs_in_training_and_in_use(settings, rng):
    torch = pytest.importorskip("torch")
    layer, oracle = nn.BatchNorm2D(3, **settings), torch.nn.BatchNorm2d(3, **settings)
    assert {name: a.shape for name, a in layer.state_dict().items()} == {
        n: tuple(a.shape) for n, a in oracle.state_dict().items()
    }
    if layer.weight is not None:
        tg.assign(layer.weight, rng.standard_normal(3))
        tg.assign(layer.bias, rng.standard_normal(3))
    oracle.load_state_dict({name: torch.tensor(a) for name, a in layer.state_dict().items()})
    for step in range(5):
        if step == 3:
            layer.eval()
            oracle.eval()
        x = rng.standard_normal((4, 3, 5, 6), np.float32) * 2 + 1
        given, theirs = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out, expected = layer(given), oracle(theirs)
        g = rng.standard_normal(x.shape, np.float32)
        out.backward(g)
        expected.backward(torch.tensor(g))
        np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(given.grad.data, theirs.grad.numpy(), rtol=1e-5, atol=1e-5)
        for name, array in layer.state_dict().items():
            np.testing.assert_allclose(array, oracle.state_dict()[name].numpy(), rtol=1e-5, atol=1e-6)
            assert array.dtype == (np.int64 if name == "num_batches_tracked" else np.float32)
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(
            parameter.grad.data, dict(oracle.named_parameters())[name].grad.numpy(), rtol=1e-4, atol=1e-5
        )


def test_running_statistics_of_the_trap():
    layer = nn.BatchNorm2D(1)
    layer(np.array([1, 3], np.float32).reshape(2, 1, 1, 1))
    state = layer.state_dict()
    np.testing.assert_allclose(state["running_mean"], [0.2], rtol=1e-6)
    np.testing.assert_allclose(state["running_var"], [1.1], rtol=1e-6)  # 0.9 and 0.1 times 2, the unbiased variance
    assert state["num_batches_tracked"] == 1


def test_a_single_number_is_refused_and_changes_nothing():
    layer = nn.BatchNorm2D(2)
    before = layer.state_dict()
    for shape in ((1, 2, 1, 1), (0, 2, 3, 3)):
        with pytest.raises(ValueError, match="batch"):
            layer(np.ones(shape, np.float32))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert layer.eval()(np.ones((1, 2, 1, 1), np.float32)).shape == (1, 2, 1, 1)


def test_statistics_are_no_part_of_the_graph(rng):
    layer = nn.BatchNorm2D(2)
    x = tg.Tensor(rng.standard_normal((3, 2, 4, 4)), requires_grad=True)
    layer(x)
    assert all(buffer.is_leaf and not buffer.requires_grad for buffer in layer.buffers())
    with tg.no_grad():
        assert layer(x).is_leaf


def test_in_use_nothing_changes(rng):
    layer = nn.BatchNorm2D(2).eval()
    before = layer.state_dict()
    layer(rng.standard_normal((3, 2, 4, 4)))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_replayed_steps_move_the_running_statistics_as_steps_run_at_once_do(rng):
    batches = [rng.standard_normal((6, 1, 8, 8), np.float32) for _ in range(5)]
    found = []
    for prepare in (lambda f: f, tg.compile):
        model = nn.Sequential(
            nn.Conv2D(1, 4, 3, bias=False, rng=0), nn.BatchNorm2D(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3, rng=1)
        )
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1)

        def step(x, model=model, optimizer=optimizer):
            loss = nn.cross_entropy(model(x), [0, 1, 2, 0, 1, 2])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = prepare(step)
        for x in batches:
            run(tg.Tensor(x))
        found.append(model.state_dict())
    eager, replayed = found
    assert eager["1.num_batches_tracked"] == replayed["1.num_batches_tracked"] == 5
    for name, array in eager.items():
        np.testing.assert_allclose(replayed[name], array, rtol=1e-4, atol=1e-6)


def test_local_response_norm_is_pytorchs(rng):
    torch = pytest.importorskip("torch")
    for settings in ({}, {"alpha": 0.1, "beta": 0.5, "k": 2.0}):
        x = rng.standard_normal((2, 7, 3, 4), np.float32) * 3
        given, theirs = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out = nn.LocalResponseNorm(4, **settings)(given)
        expected = torch.nn.LocalResponseNorm(4, **settings)(theirs)
        out.backward(np.ones_like(x))
        expected.sum().backward()
        np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(given.grad.data, theirs.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_repr_shows_what_is_not_usual():
    assert repr(nn.BatchNorm2D(8)) == "BatchNorm2D(8)"
    text = repr(nn.BatchNorm2D(8, eps=0.1, momentum=None, affine=False, track_running_stats=False))
    assert text == "BatchNorm2D(8, eps=0.1, momentum=None, affine=False, track_running_stats=False)"


WRONG = [
    (lambda: nn.BatchNorm2D(0), "BatchNorm2D: num_features must be"),
    (lambda: nn.BatchNorm2D(3, momentum=1.5), "BatchNorm2D: momentum must be a number from 0 to 1"),
    (lambda: nn.BatchNorm2D(3, eps=-1), "BatchNorm2D: eps must be"),
    (lambda: nn.BatchNorm2D(3)(np.ones((2, 4, 5, 5))), r"BatchNorm2D: takes images of 3 channels, .* not \(2, 4, 5, 5\)"),
    (lambda: nn.BatchNorm2D(3)(np.ones((2, 3))), r"BatchNorm2D: takes images of 3 channels, .* not \(2, 3\)"),
    (lambda: nn.LocalResponseNorm(0), "LocalResponseNorm: size must be"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
