"""What a compiled function does as the function itself does."""

from __future__ import annotations

import copy
import os
import pickle
import signal

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .helpers import agree, batches, close, mlp, training

OPTIMIZERS = {
    "sgd": lambda p: nn.optim.SGD(p, 0.1),
    "momentum": lambda p: nn.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: nn.optim.Adam(p, 0.01),
    "adamw": lambda p: nn.optim.AdamW(p, 0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_step_replays(name, rng):
    def make():
        model = mlp()
        return training(model, OPTIMIZERS[name](model.parameters()))

    agree(make, batches(rng, 7, (8, 12)))


def test_the_mnist_cnn_replays_fused(rng):
    def make():
        model = nn.models.MnistCNN(hidden=16, rng=0)
        return training(model, nn.optim.SGD(model.parameters(), 0.001))

    images = [(x * 255, t) for x, t in batches(rng, 6, (9, 1, 28, 28))]
    compiled = agree(make, images)
    assert "conv2d + relu + max_pool2d" in str(compiled.plan())


def test_inference_without_gradients(rng):
    def make():
        model = nn.models.MnistCNN(hidden=16, rng=0)

        def logits(x):
            with tg.no_grad():
                return model(x)

        return logits, model.parameters()

    agree(make, [(x,) for x, _ in batches(rng, 5, (7, 1, 28, 28))])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_that_is_nothing_but_rounding(name, dtype, rng):
    def make():
        layers = [nn.Conv2D(2, 4, 3, rng=0, dtype=dtype), nn.BatchNorm2D(4, dtype=dtype), nn.ReLU(), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(64, 3, rng=1, dtype=dtype))
        optimizer = OPTIMIZERS[name](model.parameters())
        step, state = training(model, optimizer)

        def clipped(x, t):
            loss = step(x, t)
            norm = nn.clip_grad_norm(state, 100.0)
            optimizer.step()
            optimizer.zero_grad()
            return loss, norm

        return clipped, [p for p in state if p is not model[0].bias]  # which is what Adam makes of rounding

    agree(make, [(x.astype(dtype), t) for x, t in batches(rng, 6, (8, 2, 6, 6), 3)], 1e-4 if dtype is np.float32 else 1e-11)


def test_shapes_are_told_apart(rng):
    def make():
        model = mlp()
        return training(model, nn.optim.Adam(model.parameters(), 0.01))

    sizes = [4, 4, 4, 4, 3, 4, 3, 3, 3, 4, 4, 3, 1, 1, 1, 1]
    agree(make, [batches(rng, 1, (n, 12))[0] for n in sizes])


def test_a_learning_rate_may_change(rng):
    def make():
        model = mlp()
        optimizer = nn.optim.SGD(model.parameters(), 0.1)
        inner, state = training(model, optimizer)
        compiled = tg.compile(inner)
        rates = iter([0.1, 0.1, 0.1, 0.05, 0.2, 0.01])

        def step(x, t):
            optimizer.lr = next(rates)
            return compiled(x, t)

        return step, state

    plain, state = make()
    model = mlp()
    optimizer = nn.optim.SGD(model.parameters(), 0.1)
    eager, expected = training(model, optimizer)
    rates = iter([0.1, 0.1, 0.1, 0.05, 0.2, 0.01])
    for x, t in batches(rng, 6, (8, 12)):
        optimizer.lr = next(rates)
        eager(x, t)
        plain(x, t)
        for a, b in zip(state, expected, strict=True):
            close(a.data, b.data)


def test_gradients_add_up_where_the_step_does_not_clear_them(rng):
    def make():
        w = tg.Tensor(np.ones((3, 2), np.float32), requires_grad=True)

        def step(x):
            loss = ((x @ w) ** 2).sum()
            loss.backward()
            return loss

        return step, [w]

    agree(make, [(rng.random((4, 3), dtype=np.float32),) for _ in range(8)])


def test_dropout_draws_what_it_would_draw_itself(rng):
    def make():
        model = nn.Sequential(nn.Linear(12, 32, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=7), nn.Linear(32, 10, rng=1))
        return training(model, nn.optim.SGD(model.parameters(), 0.1))

    agree(make, batches(rng, 8, (8, 12)))


def test_containers_settings_and_plain_values_pass_through():
    @tg.compile
    def step(pair, scale, *, names):
        return {"sum": pair[0] * scale + pair[1]["b"], "names": names, "none": None}

    for k in range(5):
        a = np.full(3, k, np.float32)
        for scale in (2.0, 3.0):
            out = step((a, {"b": a}), scale, names=("x", "y"))
            assert out["names"] == ("x", "y") and out["none"] is None
            assert np.array_equal(out["sum"].data, a * scale + a)


def test_settings_are_told_apart_to_the_sign_of_zero():
    compiled = tg.compile(lambda x, factor: x * factor)
    x = np.ones(1, np.float32)
    for factor in [0.0, 0.0, 0.0, -0.0, -0.0, -0.0, 0.0, np.nan, np.nan, float("nan"), float("nan")]:
        assert compiled(x, factor).data.tobytes() == tg.multiply(x, factor).data.tobytes()
    assert compiled.recordings == 2


def test_what_else_is_returned_comes_back():
    model, table = mlp(), np.arange(3)
    compiled = tg.compile(lambda x: ({"loss": x.sum(), "model": model, "none": None}, [table, "a", (1, float("nan"))]))
    for k in range(5):
        found, (array, text, (one, nan)) = compiled(np.full(3, k, np.float32))
        assert found["loss"].item() == 3 * k and found["model"] is model and found["none"] is None
        assert array is table and text == "a" and one == 1 and np.isnan(nan)


def test_a_method_may_be_compiled(rng):
    class Scaled:
        def __init__(self, factor):
            self.factor = tg.Tensor(factor)

        @tg.compile
        def __call__(self, x, *, twice=False):
            """factor x"""
            y = self.factor * x
            return y * 2.0 if twice else y

    small, large = Scaled(2.0), Scaled(10.0)
    for k in range(6):
        x = rng.random(4, dtype=np.float32)
        assert np.array_equal(small(x).data, x * 2) and np.array_equal(large(x, twice=k > 2).data, x * 10 * (1 + (k > 2)))
    assert Scaled.__call__.__doc__ == "factor x" and "multiply" in str(small.__call__.plan())


class Doubling(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter([2.0])
        self.fast = tg.compile(self.slow)

    def slow(self, x):
        return self.weight * x


def test_a_copy_of_an_object_compiles_the_copys_own_method():
    model = Doubling()
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        tg.assign(made.weight, [3.0])
        for k in range(4):
            assert made.fast(np.full(1, k, np.float32)).item() == 3 * k and model.fast(np.ones(1)).item() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_replays_what_its_parent_has_compiled(everything_is_large, rng):
    compiled = tg.compile(mlp())
    x = rng.random((8, 12), dtype=np.float32)
    expected = [compiled(x).data for _ in range(4)][-1]
    child = os.fork()
    if not child:
        signal.alarm(20)  # instead of waiting forever for a thread that only the parent has
        os._exit(0 if np.array_equal(compiled(x).data, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_users_own_primitive_replays(registry):
    @tg.primitive
    def cube(x):
        return x**3

    cube.vjp(x=lambda g, x: g * x * x * 3.0)

    def make():
        w = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)

        def step(x):
            w.grad = None
            loss = cube(w * x).sum()
            loss.backward()
            return loss

        return step, [w]

    agree(make, [(np.full(3, k, np.float32),) for k in range(6)])


def test_a_gradient_with_respect_to_an_argument(rng):
    @tg.compile
    def saliency(x):
        x = tg.Tensor(x, requires_grad=True)
        (x * x * x).sum().backward()
        return x.grad

    for _ in range(5):
        x = rng.random(4, dtype=np.float32)
        close(saliency(x).data, 3 * x * x)


def test_second_derivatives_replay(rng):
    def make():
        w = tg.Tensor(rng.random(4), requires_grad=True)

        def step(x):
            w.grad = None
            (w * w * w * x).sum().backward(create_graph=True)
            first, w.grad = w.grad, None
            (first * first).sum().backward()
            return first

        return step, [w]

    state = rng.bit_generator.state
    first = make()
    rng.bit_generator.state = state
    second = make()
    compiled = tg.compile(second[0])
    for k in range(5):
        x = np.full(4, k + 1.0)
        close(compiled(x).data, first[0](x).data)
        close(second[1][0].grad.data, first[1][0].grad.data)


def test_an_outer_trace_sees_the_step_itself(rng):
    model = mlp()
    compiled = tg.compile(lambda x: model(x).sum())
    x = rng.random((3, 12), dtype=np.float32)
    for _ in range(4):
        compiled(x)
    with tg.trace() as graph:
        compiled(x)
    assert [node.primitive for node in graph.nodes] == ["linear", "tanh", "linear", "sum"]


def test_results_belong_to_the_caller(rng):
    w = tg.Tensor([1.0], requires_grad=True)
    compiled = tg.compile(lambda x: w * x)
    results = [compiled(np.full(1, k, np.float32)) for k in range(5)]
    assert [r.item() for r in results] == [0, 1, 2, 3, 4]


def test_numbers_may_vanish_in_replays_whatever_numpy_shall_do_about_it(rng):
    model = nn.Sequential(nn.Linear(8, 400, rng=0), nn.Tanh(), nn.Linear(400, 600, rng=1))
    optimizer = nn.optim.Adam(model.parameters())

    @tg.compile
    def step(x, t):
        optimizer.zero_grad()
        nn.cross_entropy(model(x) * 40.0, t).backward()
        optimizer.step()

    with np.errstate(all="raise"):
        for _ in range(6):
            step(5 * rng.standard_normal((400, 8)).astype(np.float32), rng.integers(0, 600, 400))
    assert step.replays == 4
