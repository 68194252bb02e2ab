"""Indexing: values against NumPy, and gradients against np.add.at, which is slow and right."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

ROWS = np.array([0, -1, 0, 1])
COLUMN = np.array([[1], [0]])
MASK = np.array([True, False, True, True])

BASIC = [
    0,
    -1,
    (0, -1),
    slice(1, 3),
    ...,
    (),
    None,
    (..., 1),
    (None, slice(None), 1),
    (slice(None, None, -1), slice(4, None), None, 0),
    (slice(3, 1),),
    (slice(None, None, 2), slice(None, None, -2)),
]
ADVANCED = [
    ROWS,
    ROWS.tolist(),
    COLUMN,
    [],
    (slice(None), ROWS),
    (ROWS, ROWS),
    (COLUMN, ROWS, 1),
    (ROWS, slice(None), ROWS),  # apart: their axes come first
    (0, slice(1, 3), ROWS),  # so does that of an integer next to arrays
    (1, ROWS),
    (slice(None), 1, ROWS),
    (..., ROWS),
    (ROWS, ..., ROWS),
    (ROWS, None, ROWS),
    (None, ROWS, slice(0, 2)),
    (slice(None), ROWS, None, COLUMN),
    MASK,
    (MASK, slice(None), 0),
    (slice(None), [True, False, False, True, True]),
    (MASK, [0, 0, 1]),  # a mask counts as its indices, one for one
    np.arange(20).reshape(4, 5) % 3 == 0,
    np.zeros((4, 5, 3), bool),
]


def check(x, index, ours):
    expected = x[index]
    tensor = tg.Tensor(x, requires_grad=True)
    out = tensor[ours]
    assert out.shape == expected.shape
    np.testing.assert_array_equal(out.data, expected)

    values = np.random.default_rng(0).standard_normal(expected.shape)
    g = tg.Tensor(values, requires_grad=True)
    out.backward(g, create_graph=True)
    added = np.zeros_like(x)
    np.add.at(added, index, values)
    np.testing.assert_allclose(tensor.grad.data, added, rtol=1e-13, atol=1e-13)

    weights = np.random.default_rng(1).standard_normal(x.shape)
    (tensor.grad * weights).sum().backward()
    np.testing.assert_array_equal(g.grad.data, weights[index])  # the transpose of adding up is picking out


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5, 3, 2)])
@pytest.mark.parametrize("index", [*BASIC, *ADVANCED], ids=str)
def test_as_in_numpy(rng, index, shape):
    numpy_index = np.array(index, int) if isinstance(index, list) else index
    check(rng.standard_normal(shape), numpy_index, index)
    check(np.asfortranarray(rng.standard_normal(shape)), numpy_index, index)


def test_tensors_as_indices(rng):
    x = rng.standard_normal((4, 5))
    check(x, ROWS, tg.Tensor(ROWS))
    check(x, (slice(None), ROWS), (slice(None), tg.Tensor(ROWS)))
    check(x, x > 0, tg.Tensor(x) > 0)
    check(x, 2, tg.Tensor(2))
    check(x, (2, ROWS), (np.int64(2), ROWS))


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((0, 3), (slice(None), np.array([0, 0]))),
        ((3, 0), np.array([0, 0])),
        ((2, 0), (slice(None), np.array([], int))),
        ((0, 3), np.zeros((0, 3), bool)),
    ],
    ids=str,
)
def test_axes_of_size_zero(shape, index):
    check(np.zeros(shape), index, index)


def test_duplicates_and_negatives_add_up():
    x = tg.Tensor(np.zeros(3), requires_grad=True)
    x[[0, -3, 1]].sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 1, 0])


def test_many_duplicates_add_up_accurately_in_float32():
    x = tg.Tensor(np.zeros(3, np.float32), requires_grad=True)
    x[np.full(2_000_000, 1)].backward(np.full(2_000_000, 0.1, np.float32))
    assert x.grad.dtype == np.float32
    assert x.grad.data[1] == pytest.approx(2_000_000 * float(np.float32(0.1)), rel=1e-6)


def test_a_basic_index_shares_memory_and_its_gradient_keeps_the_memory_order(rng):
    x = tg.Tensor(np.asfortranarray(rng.standard_normal((4, 6))), requires_grad=True)
    out = x[1:, ::2]
    assert np.shares_memory(out.data, x.data)
    out.backward(np.asfortranarray(np.ones(out.shape)))
    assert x.grad.data.flags.f_contiguous


def test_iteration_runs_over_the_first_axis():
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    (first * second).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[3, 4], [1, 2]])
