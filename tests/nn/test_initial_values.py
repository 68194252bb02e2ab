"""First values: their spread, their dtype, PyTorch's defaults, and that generators decide everything."""

import math

import numpy as np
import pytest

import nn

SHAPE = (200, 30, 3, 3)  # fan-in 270, fan-out 1800

SPREADS = [
    (nn.init.normal(0.02), 0.02, np.inf),
    (nn.init.uniform(-0.3, 0.3), 0.3 / math.sqrt(3), 0.3),
    (nn.init.kaiming_normal(), math.sqrt(2 / 270), np.inf),
    (nn.init.kaiming_normal(mode="fan_out"), math.sqrt(2 / 1800), np.inf),
    (nn.init.kaiming_normal(negative_slope=1.0), math.sqrt(1 / 270), np.inf),
    (nn.init.kaiming_uniform(), math.sqrt(2 / 270), math.sqrt(6 / 270)),
    (nn.init.xavier_normal(), math.sqrt(2 / 2070), np.inf),
    (nn.init.xavier_normal(gain=5 / 3), 5 / 3 * math.sqrt(2 / 2070), np.inf),
    (nn.init.xavier_uniform(), math.sqrt(2 / 2070), math.sqrt(6 / 2070)),
]


@pytest.mark.parametrize(("init", "std", "bound"), SPREADS)
def test_spread_is_the_papers(init, std, bound):
    values = init(SHAPE, np.random.default_rng(0))
    assert values.shape == SHAPE and values.dtype == np.float32
    assert abs(values.std() / std - 1) < 0.01  # 54,000 values: a standard error of 0.3 %
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    if np.isfinite(bound):
        assert np.abs(values).max() > 0.99 * bound


def test_mean_and_constants():
    assert abs(nn.init.normal(1.0, mean=10.0)((10_000,), np.random.default_rng(0)).mean() - 10) < 0.05
    np.testing.assert_array_equal(nn.init.zeros()((2, 3), None), np.zeros((2, 3)))
    np.testing.assert_array_equal(nn.init.constant(0.5)((2,), None), [0.5, 0.5])
    assert nn.init.constant(0.5)((2,), None).dtype == np.float32


def test_the_default_is_pytorchs():
    bound = 1 / math.sqrt(270)
    conv = nn.Conv2D(30, 200, 3, rng=0)
    linear = nn.Linear(270, 500, rng=0)
    for values in (conv.weight.data, conv.bias.data, linear.weight.data, linear.bias.data):
        assert 0.95 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
        assert abs(values.std() / (bound / math.sqrt(3)) - 1) < 0.1


def test_pytorch_draws_its_defaults_from_the_same_range():
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Conv2D(30, 200, 3, rng=0), torch.nn.Conv2d(30, 200, 3)
    for name, expected in theirs.state_dict().items():
        got = getattr(ours, name).data
        assert abs(np.abs(got).max() / float(expected.abs().max()) - 1) < 0.05


def test_with_init_the_bias_is_zero_and_the_dtype_float32():
    layer = nn.Linear(3, 4, init=lambda shape, rng: rng.normal(size=shape), rng=0)
    assert not layer.bias.data.any() and layer.weight.data.all()
    assert layer.weight.dtype == layer.bias.dtype == np.float32


def test_seeds_and_generators_decide():
    shape = (3, 4)
    same = [nn.Linear(*shape, rng=5).weight.data, nn.Linear(*shape, rng=np.random.default_rng(5)).weight.data]
    np.testing.assert_array_equal(*same)
    rng = np.random.default_rng(5)
    first, second = nn.Linear(*shape, rng=rng), nn.Linear(*shape, rng=rng)
    assert (first.weight.data != second.weight.data).all()
    assert (nn.Linear(*shape).weight.data != nn.Linear(*shape).weight.data).any()
    before = np.random.get_state()[1].copy()
    nn.Linear(*shape)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_mistakes():
    with pytest.raises(ValueError, match="no fans"):
        nn.init.kaiming_normal()((5,), np.random.default_rng(0))
    with pytest.raises(ValueError, match="mode must be"):
        nn.init.kaiming_uniform(mode="in")
