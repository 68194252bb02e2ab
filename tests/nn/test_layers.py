"""Layers: the same outputs as PyTorch from the same weights, checked arguments, kept dtypes, dropout."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

LAYERS = [
    (lambda: nn.Linear(12, 5), lambda t: t.nn.Linear(12, 5), (3, 12)),
    (lambda: nn.Linear(12, 5, bias=False), lambda t: t.nn.Linear(12, 5, bias=False), (2, 3, 12)),
    (lambda: nn.Conv2D(4, 6, 3), lambda t: t.nn.Conv2d(4, 6, 3), (2, 4, 8, 7)),
    (
        lambda: nn.Conv2D(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
        lambda t: t.nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
        (2, 4, 8, 7),
    ),
    (lambda: nn.MaxPool2D(2), lambda t: t.nn.MaxPool2d(2), (2, 3, 6, 5)),
    (
        lambda: nn.MaxPool2D((3, 2), stride=2, padding=1, dilation=(1, 2), ceil_mode=True),
        lambda t: t.nn.MaxPool2d((3, 2), stride=2, padding=1, dilation=(1, 2), ceil_mode=True),
        (2, 3, 6, 8),
    ),
    (lambda: nn.AvgPool2D(2), lambda t: t.nn.AvgPool2d(2), (2, 3, 6, 5)),
    (
        lambda: nn.AvgPool2D(3, stride=(2, 1), padding=1, ceil_mode=True, count_include_pad=False),
        lambda t: t.nn.AvgPool2d(3, stride=(2, 1), padding=1, ceil_mode=True, count_include_pad=False),
        (2, 3, 6, 5),
    ),
    (nn.ReLU, lambda t: t.nn.ReLU(), (3, 4)),
    (nn.Sigmoid, lambda t: t.nn.Sigmoid(), (3, 4)),
    (nn.Tanh, lambda t: t.nn.Tanh(), (3, 4)),
    (nn.Flatten, lambda t: t.nn.Flatten(), (3, 4, 2)),
    (lambda: nn.Flatten(2), lambda t: t.nn.Flatten(2), (3, 4, 2, 5)),
]


@pytest.mark.parametrize(("ours", "theirs", "shape"), LAYERS)
def test_layers_compute_what_pytorchs_do(ours, theirs, shape, rng):
    torch = pytest.importorskip("torch")
    layer, oracle = ours(), theirs(torch)
    layer.load_state_dict(oracle.state_dict())
    x = rng.standard_normal(shape, np.float32)
    expected_x = torch.tensor(x, requires_grad=True)
    given = tg.Tensor(x, requires_grad=True)
    out, expected = layer(given), oracle(expected_x)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert out.dtype == np.float32

    g = rng.standard_normal(out.shape, np.float32)
    out.backward(g)
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(given.grad.data, expected_x.grad.numpy(), rtol=1e-5, atol=1e-5)
    for name, parameter in oracle.named_parameters():
        mine = dict(layer.named_parameters())[name].grad
        np.testing.assert_allclose(mine.data, parameter.grad.numpy(), rtol=1e-5, atol=1e-5)
        assert mine.dtype == np.float32


def test_float64_layers_stay_float64(rng):
    x = rng.standard_normal((2, 1, 6, 6))
    model = nn.Sequential(nn.Conv2D(1, 2, 3, dtype=np.float64), nn.Flatten(), nn.Linear(32, 3, dtype=np.float64))
    out = model(x)
    out.sum().backward()
    assert out.dtype == np.float64 and all(p.grad.dtype == np.float64 for p in model.parameters())


WRONG = [
    (lambda: nn.Linear(0, 3), "Linear: in_features must be a whole number of at least 1, not 0"),
    (lambda: nn.Linear(3, 2.5), "Linear: out_features must be a whole number"),
    (lambda: nn.Linear(3, True), "Linear: out_features must be a whole number"),
    (lambda: nn.Linear(3, 2, rng="seed"), "Linear: rng must be a numpy.random.Generator, a seed"),
    (lambda: nn.Linear(3, 2, rng=-1), "Linear: rng must be"),
    (lambda: nn.Linear(3, 2, init=lambda shape, rng: np.zeros(3)), r"Linear: init returned .* shape \(3,\).* \(2, 3\)"),
    (lambda: nn.Conv2D(3, 0, 3), "Conv2D: out_channels must be"),
    (lambda: nn.Conv2D(3, 4, (3, 3, 3)), "Conv2D: kernel_size must be an int or a pair"),
    (lambda: nn.Conv2D(3, 4, 3, stride=0), "Conv2D: stride must be a whole number of at least 1"),
    (lambda: nn.Conv2D(3, 4, 3, padding=-1), "Conv2D: padding must be a whole number of at least 0"),
    (lambda: nn.Conv2D(3, 4, 3, dilation=(1, 0)), "Conv2D: dilation must be"),
    (lambda: nn.Conv2D(3, 4, 3, groups=2), "Conv2D: groups=2 must divide in_channels=3 and out_channels=4"),
    (lambda: nn.MaxPool2D(2, padding=2), "MaxPool2D: padding=2 is more than half of a window"),
    (lambda: nn.AvgPool2D(0), "AvgPool2D: kernel_size must be"),
    (lambda: nn.Flatten(-1), "Flatten: start_axis must be"),
    (lambda: nn.Dropout(1.5), "Dropout: rate must be a number from 0 to 1, not 1.5"),
    (lambda: nn.Dropout("half"), "Dropout: rate must be a number"),
    (lambda: nn.Dropout(float("nan")), "Dropout: rate must be a number"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_wrong_arguments_are_refused_when_a_layer_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_that_are_not_the_usual_ones_are_shown():
    assert repr(nn.Conv2D(4, 8, (3, 5), stride=2, padding=(1, 2), groups=4, bias=False)) == (
        "Conv2D(4, 8, kernel_size=(3, 5), stride=2, padding=(1, 2), groups=4, bias=False)"
    )
    assert repr(nn.MaxPool2D(3, stride=2, ceil_mode=True)) == "MaxPool2D(3, stride=2, ceil_mode=True)"
    assert repr(nn.AvgPool2D(2, count_include_pad=False)) == "AvgPool2D(2, count_include_pad=False)"
    assert repr(nn.Dropout(0.25)) == "Dropout(0.25)"


# -- dropout -------------------------------------------------------------------------------------------------------


def test_dropout_scales_what_it_keeps():
    out = nn.Dropout(0.3, rng=0)(np.ones(100_000, np.float32)).data
    np.testing.assert_array_equal(np.unique(out), np.array([0, 1 / 0.7], np.float32))
    assert abs(out.mean() - 1) < 0.01
    assert out.dtype == np.float32


def test_dropout_of_everything_is_zero_and_has_a_gradient():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    out = nn.Dropout(1.0, rng=0)(x)
    out.sum().backward()
    np.testing.assert_array_equal(out.data, [0, 0])
    np.testing.assert_array_equal(x.grad.data, [0, 0])


def test_dropout_in_use_is_the_identity():
    x = tg.Tensor([1.0, 2.0])
    np.testing.assert_array_equal(nn.Dropout(0.9, rng=0).eval()(x).data, x.data)


def test_dropout_draws_from_its_generator_alone():
    x = np.ones(50, np.float32)
    first, second = nn.Dropout(0.5, rng=7), nn.Dropout(0.5, rng=np.random.default_rng(7))
    for _ in range(2):
        np.testing.assert_array_equal(first(x).data, second(x).data)
    assert (first(x).data != first(x).data).any()


def test_the_gradient_of_dropout_has_the_same_mask():
    x = tg.Tensor(np.ones(50, np.float32), requires_grad=True)
    out = nn.Dropout(0.5, rng=0)(x)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.data, out.data)
