"""Products of all shapes, their memory order, and their count of operations."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (4, 3, 2)),
    ((4, 1, 2, 3), (1, 5, 3, 2)),
    ((3,), (5, 3, 2)),
    ((5, 2, 3), (3,)),
    ((5, 0), (0, 10)),
    ((0, 3), (3, 2)),
]


def check_bilinear(f, x, y, expected):
    """f against its definition, and its cotangents against <g, f(dx, y)> = <f'x(g), dx>, which holds to rounding."""
    rng = np.random.default_rng(2)
    tensors = [tg.Tensor(x, requires_grad=True), tg.Tensor(y, requires_grad=True)]
    out = f(*tensors)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-12)
    g = rng.standard_normal(out.shape)
    out.backward(g)
    for k, (tensor, value) in enumerate(zip(tensors, (x, y), strict=True)):
        assert tensor.grad.shape == value.shape
        direction = rng.standard_normal(value.shape)
        moved = f(*[direction if j == k else v for j, v in enumerate((x, y))]).data
        np.testing.assert_allclose((tensor.grad.data * direction).sum(), (g * moved).sum(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_products_of_all_shapes(rng, shapes):
    x, y = (rng.standard_normal(s) for s in shapes)
    check_bilinear(tg.matmul, x, y, x @ y)
    check_bilinear(tg.matmul, np.asfortranarray(x), np.asfortranarray(y), x @ y)


@pytest.mark.parametrize("flags", [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("shapes", [s for s in SHAPES if len(s[0]) > 1 and len(s[1]) > 1], ids=str)
def test_products_of_transposed_matrices(rng, shapes, flags):
    x, y = (rng.standard_normal(s) for s in shapes)
    given = [np.ascontiguousarray(a.swapaxes(-1, -2)) if flag else a for a, flag in zip((x, y), flags, strict=True)]
    product = tg.PRIMITIVES["matmul"]
    check_bilinear(lambda a, b: product(a, b, transpose_x=flags[0], transpose_y=flags[1]), *given, x @ y)


def test_second_derivatives_of_a_product_of_stacks(rng):
    torch = pytest.importorskip("torch")
    x, y = rng.standard_normal((2, 1, 2, 3)), rng.standard_normal((4, 3, 2))
    ours = [tg.Tensor(a, requires_grad=True) for a in (x, y)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, y)]
    ((ours[0] @ ours[1]) ** 2).sum().backward(create_graph=True)
    first = [a.grad for a in ours]
    for a in ours:
        a.grad = None
    sum((d * d).sum() for d in first).backward()
    their_first = torch.autograd.grad(((theirs[0] @ theirs[1]) ** 2).sum(), theirs, create_graph=True)
    their_second = torch.autograd.grad(sum((d * d).sum() for d in their_first), theirs)
    for a, second in zip(ours, their_second, strict=True):
        np.testing.assert_allclose(a.grad.data, second.numpy(), rtol=1e-10)


@pytest.mark.parametrize("batch", [(), (4,), (2, 4), (0,)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_linear_as_in_pytorch(rng, batch, biased):
    torch = pytest.importorskip("torch")
    values = [rng.standard_normal(s) for s in ((*batch, 3), (5, 3), (5,))][: 2 + biased]
    ours = [tg.Tensor(a, requires_grad=True) for a in values]
    theirs = [torch.tensor(a, requires_grad=True) for a in values]
    out, expected = tg.linear(*ours), torch.nn.functional.linear(*theirs)
    assert out.shape == tuple(expected.shape)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-12)
    out.backward(np.ones(out.shape))
    expected.sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_batch_that_lies_innermost_stays_so_and_weights_get_their_own_order(rng, layout):
    x = tg.Tensor(np.array(rng.standard_normal((8, 3)), order=layout), requires_grad=True)
    w = tg.Tensor(rng.standard_normal((5, 3)), requires_grad=True)
    v = tg.Tensor(rng.standard_normal((5, 4)), requires_grad=True)
    hidden = tg.linear(x, w, np.ones(5))
    out = hidden @ v
    contiguous = "f_contiguous" if layout == "F" else "c_contiguous"
    assert getattr(hidden.data.flags, contiguous)
    assert getattr(out.data.flags, contiguous)
    out.backward(np.array(np.ones(out.shape), order=layout))
    assert getattr(x.grad.data.flags, contiguous)
    assert w.grad.data.flags.c_contiguous
    assert v.grad.data.flags.c_contiguous


def test_a_weight_shared_by_a_stack_gets_one_product(rng):
    x, w = tg.Tensor(rng.standard_normal((6, 4, 3))), tg.Tensor(rng.standard_normal((3, 2)), requires_grad=True)
    (x @ w).sum().backward()
    np.testing.assert_allclose(w.grad.data, np.repeat(x.data.sum((0, 1))[:, None], 2, axis=1), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "shapes", "expected"),
    [
        ("matmul", ((2, 4), (2, 3), (3, 4)), 2 * 2 * 3 * 4),
        ("matmul", ((5, 2, 4), (5, 2, 3), (3, 4)), 5 * 2 * 2 * 3 * 4),
        ("matmul", ((3, 4), (2, 3), (2, 4)), 2 * 3 * 2 * 4),  # x transposed
        ("matmul", ((2, 4), (2, 3), (4, 3)), 2 * 2 * 3 * 4),  # y transposed
        ("matmul", ((0, 4), (0, 3), (3, 4)), 0),
        ("linear", ((200, 256), (200, 5070), (256, 5070), (256,)), 2 * 200 * 5070 * 256),
        ("linear", ((256,), (5070,), (256, 5070), None), 2 * 5070 * 256),
    ],
)
def test_operations_are_counted_two_for_a_multiply_add(name, shapes, expected):
    assert tg.PRIMITIVES[name].flops(*shapes) == expected
