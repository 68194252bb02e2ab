"""nn.summary: shapes, counts, the table, and a model left as it was."""

import numpy as np
import pytest

import nn
import tensorgrad as tg


def test_the_table_of_the_mnist_cnn():
    text = str(nn.summary(nn.models.MnistCNN(), (200, 1, 28, 28)))
    lines = [line.split() for line in text.splitlines()]
    assert ["conv", "Conv2D", "(200,", "30,", "26,", "26)", "300"] in lines
    assert ["pool", "MaxPool2D", "(200,", "30,", "13,", "13)"] in lines
    assert ["hidden", "Linear", "(200,", "256)", "1,298,176"] in lines
    assert ["total", "1,301,046"] in lines


def test_numbers_are_fields():
    summary = nn.summary(nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Tanh(), nn.Linear(3, 2))), (5, 4))
    assert [(row.name, row.kind, row.output_shape, row.parameters) for row in summary.rows] == [
        ("0", "Linear", (5, 3), 15),
        ("1.0", "Tanh", (5, 3), 0),
        ("1.1", "Linear", (5, 2), 8),
    ]
    assert summary.total_parameters == summary.trainable_parameters == 23 and summary.total_bytes == 92


def test_the_batch_axis_may_be_left_out():
    with_batch = nn.summary(nn.models.MnistCNN(), (1, 1, 28, 28))
    assert nn.summary(nn.models.MnistCNN(), (1, 28, 28)) == with_batch


def test_an_input_that_does_not_fit_is_the_layers_error():
    with pytest.raises(ValueError, match=r"(?s)conv2d.*x \(3, 3, 28, 28\)"):
        nn.summary(nn.models.MnistCNN(), (3, 3, 28, 28))


def test_shared_and_frozen_parameters_are_counted_once():
    class Net(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)
            self.scale = nn.Parameter(np.ones(2, np.float32), requires_grad=False)
            self.mean = nn.Buffer(np.zeros(2))

        def forward(self, x):
            return self.layer(self.layer(x)) * self.scale, x

    summary = nn.summary(Net(), (1, 2))
    assert [row.parameters for row in summary.rows] == [6, 0, 2]
    assert summary.rows[-1].output_shape == ((1, 2), (1, 2))
    assert summary.total_parameters == 8 and summary.trainable_parameters == 6
    assert summary.total_bytes == 8 * 4 + 2 * 8
    assert "2 parameters are frozen" in str(summary)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5, rng=0), nn.Sequential(nn.Tanh()))
    model[2].eval()
    state = model[1].rng.bit_generator.state
    nn.summary(model, (1, 2))
    assert [module.training for module in model.modules()] == [True, True, True, False, False]
    assert model[1].rng.bit_generator.state == state
    assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(ValueError):
        nn.summary(model, (1, 3))
    assert model.training and tg.state.current().builds_graph
