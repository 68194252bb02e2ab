"""Products of matrices and of stacks of them, cut in two where they are large."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.kernels.matrix import halves
from tensorgrad.replay import work

from .helpers import agree

PRODUCTS = {
    "stack": lambda x, w: x @ w,
    "turned stack": lambda x, w: x @ w.transpose(0, 2, 1),
    "one for all": lambda x, w: x @ w[0],
    "linear": lambda x, w: tg.linear(x, w[0], w[0, 0]),
    "linear of a turned stack": lambda x, w: tg.linear(x.transpose(1, 0, 2), w[0]),
    "heads": lambda x, w: x.reshape(4, 6, 2, 3).transpose(0, 2, 1, 3) @ w.reshape(4, 6, 2, 3).transpose(0, 2, 3, 1),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_products_and_their_gradients(name, threads, rng, monkeypatch):
    monkeypatch.setattr(work, "LARGE_PRODUCT", 8 if threads == 2 else 1 << 40)

    def make():
        w = tg.Tensor(np.random.default_rng(0).standard_normal((4, 6, 6)).astype(np.float32), requires_grad=True)

        def step(x):
            w.grad = None
            y = PRODUCTS[name](x, w)
            (y * y).sum().backward()
            tg.assign(w, w.detach() - w.grad * 1e-3)
            return y

        return step, [w]

    compiled = agree(make, [(rng.standard_normal((4, 6, 6), np.float32),) for _ in range(5)])
    products = [line for line in str(compiled.plan()).splitlines() if " matmul " in line or " linear " in line]
    assert products and (threads == 1 or any(line.endswith("  2") for line in products))


def test_a_linear_layer_of_no_inputs(rng):
    linear = tg.compile(lambda x, w, b: tg.linear(x, w, b))
    for _ in range(4):
        y = linear(np.zeros((2, 5, 0), np.float32), np.zeros((3, 0), np.float32), np.arange(3, dtype=np.float32))
        assert y.shape == (2, 5, 3) and (y.data == [0, 1, 2]).all()


def test_halves_of_a_stack_have_the_bits_of_the_whole(rng, monkeypatch):
    x, w = rng.standard_normal((5, 20, 30), np.float32), rng.standard_normal((5, 30, 10), np.float32)
    found = []
    for least in (8, 1 << 40):
        monkeypatch.setattr(work, "LARGE_PRODUCT", least)
        product = tg.compile(lambda x, w: x @ w)
        found.append([product(x, w).data for _ in range(4)][-1])
    np.testing.assert_array_equal(*found)


def test_products_too_small_to_be_cut_run_beside_each_other(rng, monkeypatch):
    monkeypatch.setattr(work, "PRODUCT_BESIDE", 8)
    v = tg.Tensor(rng.standard_normal((6, 6), np.float32))
    compiled = tg.compile(lambda x, y: (x @ v, y @ v, (x @ v) @ v))
    x, y = rng.standard_normal((2, 5, 6), np.float32)
    for _ in range(5):
        found = [t.data for t in compiled(x, y)]
        for a, b in zip(found, [x @ v.data, y @ v.data, x @ v.data @ v.data], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    widths = [len(stage) for _, stages in compiled.plan()._runner.groups for stage in stages]
    assert 2 in widths  # two that do not depend on each other


@pytest.mark.parametrize("shape", [(2, 300), (300, 2), (200, 300), (127, 300), (1, 2)])
def test_halves_of_a_matrix_cover_it_once(shape):
    covered = np.zeros(shape, int)
    parts = halves(shape)
    for rows, columns in parts:
        covered[rows, columns] += 1
    assert (covered == 1).all() and len(parts) == 2
    sizes = [covered[part].size for part in parts]
    assert max(sizes) - min(sizes) <= max(shape)
