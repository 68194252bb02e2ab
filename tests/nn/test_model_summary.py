"""nn.summary: shapes, counts, memory, operations, the table, and a model left as it was."""

import numpy as np
import pytest

import nn
import tensorgrad as tg


def test_the_table_of_the_mnist_cnn():
    text = str(nn.summary(nn.models.MnistCNN(), (200, 1, 28, 28)))
    lines = [line.split() for line in text.splitlines()]
    assert ["conv", "Conv2D", "(200,", "30,", "26,", "26)", "300", "16.2", "MB", "73.0", "M"] in lines
    assert ["hidden", "Linear", "(200,", "256)", "1,298,176", "205", "kB", "519", "M"] in lines
    assert ["flatten", "Flatten", "(200,", "5070)"] in lines
    assert lines[-4][:2] == ["total", "1,301,046"]
    assert ["parameters:", "5.20", "MB"] in lines


def test_numbers_are_fields():
    summary = nn.summary(nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Tanh(), nn.Linear(3, 2))), (5, 4))
    assert [(row.name, row.kind, row.output_shape, row.parameters) for row in summary.rows] == [
        ("0", "Linear", (5, 3), 15),
        ("1.0", "Tanh", (5, 3), 0),
        ("1.1", "Linear", (5, 2), 8),
    ]
    assert summary.total_parameters == summary.trainable_parameters == 23 and summary.total_bytes == 92


def test_operations_and_memory_of_a_narrow_vgg16_as_counted_by_hand():
    model = nn.models.VGG16(width=4, hidden=256, image_size=224, rng=0)
    summary = nn.summary(model, (1, 3, 224, 224))
    plan = [(224, 4, 4), (112, 4, 8), (112, 8, 8), (56, 8, 16), (56, 16, 16), (56, 16, 16), (28, 16, 32), (28, 32, 32)]
    plan += [(28, 32, 32), (14, 32, 32), (14, 32, 32), (14, 32, 32)]
    products = [224**2 * 27 * 4, *(size**2 * 9 * channels * filters for size, channels, filters in plan)]
    products += [49 * 32 * 256, 256 * 256, 256 * 1000]
    assert [row.flops for row in summary.rows if row.kind in ("Conv2D", "Linear")] == [2 * count for count in products]
    assert sum(row.flops for row in summary.rows) == summary.flops
    assert sum(row.bytes for row in summary.rows) == summary.activation_bytes
    assert [row.bytes for row in summary.rows[:3]] == [4 * 4 * 224**2] * 3


def test_what_is_kept_for_the_backward_pass_counts_shared_memory_once():
    summary = nn.summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (1, 4))
    assert summary.saved_bytes == 4 * 4 + 8 * 4  # the input, and what the ReLU made for itself and the next layer


def test_what_a_module_computes_itself_is_its_own():
    class Net(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(3, 5, rng=0)

        def forward(self, x):
            return self.layer(x * 2) + self.layer(x + 1)

    rows = nn.summary(Net(), (1, 3)).rows
    assert [(row.name, row.flops, row.bytes) for row in rows] == [
        ("layer", 30, 20),
        ("layer", 30, 20),
        ("", 3 + 3 + 5, 12 + 12 + 20),
    ]


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
