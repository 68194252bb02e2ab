"""Leaves under replay: who holds their arrays, who shares them, and what they held before."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .helpers import agree, batches, close, mlp, training


def test_a_parameter_that_is_frozen_between_two_replays(rng):
    def make():
        model = mlp()
        return *training(model, nn.optim.SGD(model.parameters(), 0.1, momentum=0.9)), model[0].weight

    (step, state, weight), (plain, expected, other) = make(), make()
    compiled = tg.compile(step)
    for k, (x, t) in enumerate(batches(rng, 14, (8, 12))):
        weight.requires_grad = other.requires_grad = k // 5 != 1
        close(compiled(x, t).data, plain(x, t).data)
        for a, b in zip(state, expected, strict=True):
            close(a.data, b.data)
            assert a.version == b.version and (a.grad is None) == (b.grad is None)
    assert sum(map(len, compiled._kinds.values())) == 2  # the first one is found again


def test_a_rebound_parameter_is_noticed(rng):
    model = mlp()
    compiled = tg.compile(lambda x: model(x))
    x = rng.random((5, 12), dtype=np.float32)
    for _ in range(4):
        compiled(x)
    model.load_state_dict(mlp(rng=3).state_dict())
    close(compiled(x).data, model(x).data)
    model.parameters()[0].data = np.zeros_like(model.parameters()[0].data)
    close(compiled(x).data, model(x).data)


def test_a_rebound_parameter_is_noticed_by_an_update_in_place(rng):
    def make():
        model = mlp()
        inner, state = training(model, nn.optim.SGD(model.parameters(), 0.1))
        count = iter(range(100))

        def step(x, t):
            if next(count) == 5:
                model.load_state_dict(mlp(rng=3).state_dict())
            return compiled(x, t)

        compiled = tg.compile(inner)
        return step, state, inner, model

    step, state, _, _ = make()
    _, expected, eager, model = make()
    for k, (x, t) in enumerate(batches(rng, 8, (8, 12))):
        if k == 5:
            model.load_state_dict(mlp(rng=3).state_dict())
        eager(x, t)
        step(x, t)
        for a, b in zip(state, expected, strict=True):
            close(a.data, b.data)


def test_arrays_that_users_hold_keep_their_values(rng):
    model = mlp()
    step, parameters = training(model, nn.optim.SGD(model.parameters(), 0.1, momentum=0.9))
    compiled = tg.compile(step)
    held = []
    for x, t in batches(rng, 8, (8, 12)):
        result = compiled(x, t)
        arrays = [p.data for p in parameters] + [p.grad.data for p in parameters] + [result.data, parameters[0].data[1:]]
        arrays += [parameters[0].detach().data, parameters[0].grad.data.T]
        held += [(a, a.copy()) for a in arrays]
    for array, then in held:
        assert np.array_equal(array, then)


def test_views_that_users_hold_keep_their_values(rng):
    model = mlp()
    step, parameters = training(model, nn.optim.SGD(model.parameters(), 0.1))
    compiled = tg.compile(step)
    held = []
    for x, t in batches(rng, 8, (8, 12)):
        compiled(x, t)
        views = [parameters[0].data[1:], parameters[0].grad.data.T[2:]]  # and nobody holds the arrays themselves
        held += [(view, view.copy()) for view in views]
    for view, then in held:
        assert np.array_equal(view, then)


def test_gradient_tensors_that_users_hold_keep_their_values(rng):
    model = mlp()
    step, parameters = training(model, nn.optim.SGD(model.parameters(), 0.1))
    compiled = tg.compile(step)
    held = []
    for x, t in batches(rng, 6, (8, 12)):
        compiled(x, t)
        held += [(p.grad, p.grad.numpy()) for p in parameters]
    for gradient, then in held:
        assert np.array_equal(gradient.data, then)


def test_eager_and_compiled_calls_may_alternate(rng):
    def make():
        model = mlp()
        step, state = training(model, nn.optim.Adam(model.parameters(), 0.01))
        return step, state

    (step, state), (eager, expected) = make(), make()
    compiled = tg.compile(step)
    for k, (x, t) in enumerate(batches(rng, 12, (8, 12))):
        (step if k % 3 == 1 else compiled)(x, t)
        eager(x, t)
        for a, b in zip(state, expected, strict=True):
            close(a.data, b.data)


def test_two_compiled_functions_share_parameters(rng):
    def make():
        model = mlp()
        step, state = training(model, nn.optim.SGD(model.parameters(), 0.1))

        @tg.compile
        def evaluate(x):
            with tg.no_grad():
                return model(x)

        compiled = tg.compile(step)

        def both(x, t):
            return compiled(x, t), evaluate(x)

        def plain(x, t):
            return step(x, t), model(x)

        return both, plain, state

    both, _, state = make()
    _, plain, expected = make()
    for x, t in batches(rng, 8, (8, 12)):
        for a, b in zip(both(x, t), plain(x, t), strict=True):
            close(a.data, b.data)
        for a, b in zip(state, expected, strict=True):
            close(a.data, b.data)


def test_two_tensors_that_begin_with_one_array(rng):
    def make():
        array = np.ones(3, np.float32)
        w, fixed = tg.Tensor(array, requires_grad=True), tg.Tensor(array)

        def step(x):
            w.grad = None
            loss = (w * fixed * x).sum()
            loss.backward()
            tg.assign(w, w.detach() - 0.1 * w.grad)
            return loss

        return step, [w]

    agree(make, [(np.full(3, k + 1, np.float32),) for k in range(8)])


def test_two_tensors_that_share_an_array_until_one_is_set(rng):
    array = np.ones(3, np.float32)
    a, b = tg.Tensor(array), tg.Tensor(array)
    compiled = tg.compile(lambda x: a * x + b)
    x = np.full(3, 2, np.float32)
    for _ in range(4):
        assert compiled(x).data.tolist() == [3, 3, 3]
    tg.assign(b, [10.0, 10.0, 10.0])
    for _ in range(4):
        assert compiled(x).data.tolist() == [12, 12, 12]


def test_an_array_that_a_tensor_is_made_of_may_be_written_into():
    table = np.ones(3, np.float32)
    compiled = tg.compile(lambda x: x * (tg.Tensor(table) * 2.0))
    x = np.ones(3, np.float32)
    for k in range(6):
        table[:] = 1 if k < 4 else k
        assert compiled(x).data.tolist() == [2 * table[0]] * 3


OLD_VALUES = {
    "swapped": lambda a, b, old: (tg.assign(a, b), tg.assign(b, old)),
    "kept in another leaf": lambda a, b, old: (tg.assign(a, a * 0.5), tg.assign(b, old)),
    "kept as a gradient": lambda a, b, old: (tg.assign(a, a * 0.5), setattr(b, "grad", old)),
    "transposed": lambda a, b, old: (tg.assign(a, b * 0.5), tg.assign(b, old.T)),
    "returned": lambda a, b, old: tg.assign(a, a * 0.5),
}


@pytest.mark.parametrize("size", [3, 40])  # a small leaf is copied at each run, a large one is read where it lies
@pytest.mark.parametrize("how", OLD_VALUES)
def test_the_value_that_a_leaf_had_before(how, size):
    def make():
        a, b = (tg.Tensor(np.arange(size * size, dtype=np.float64).reshape(size, size) + k) for k in (0, 10))

        def step(x):
            old = a.detach()
            OLD_VALUES[how](a, b, old)
            return old, a + x

        return step, [a, b]

    agree(make, [(np.full((size, size), k),) for k in range(7)])


@pytest.mark.parametrize("stride", [1, 2])  # the images' gradient is gathered, or scattered
@pytest.mark.parametrize("computed", [False, True])
def test_filters_that_do_not_lie_row_by_row(rng, computed, stride):
    array = rng.standard_normal((3, 3, 16, 8)).astype(np.float32)

    def make():
        w = tg.Tensor(array if computed else array.transpose(3, 2, 0, 1), requires_grad=True)
        first = tg.Tensor(np.ones((16, 2, 1, 1), np.float32), requires_grad=True)

        def step(x):
            w.grad = first.grad = None
            filters = tg.permute(w * 2.0, (3, 2, 0, 1)) if computed else w
            y = tg.relu(tg.conv2d(tg.conv2d(x, first), filters, stride=stride))
            (y * y).sum().backward()
            return y

        return step, [w, first]

    def images():
        for k in range(7):
            array[:] *= 1 if k < 5 else 2  # in the memory of the leaf
            yield (rng.standard_normal((2, 2, 7, 7)).astype(np.float32),)

    agree(make, images())


PASSING = {"detach": tg.Tensor.detach, "tensor": tg.Tensor, "variable": lambda w: tg.Tensor(w, requires_grad=True)}


@pytest.mark.parametrize("changed", [0, 5])  # from the first call on, or after the first replays
@pytest.mark.parametrize("how", PASSING)
def test_a_leaf_that_is_only_seen_through_another_tensor(how, changed):
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    compiled = tg.compile(lambda x: PASSING[how](w) * x)
    for k in range(9):
        if k >= changed:
            tg.assign(w, w * 2.0)
        assert np.array_equal(compiled(np.full(2, k, np.float32)).data, w.data * k)
    assert [kind.runs > 5 for kinds in compiled._kinds.values() for kind in kinds] == [True]


def test_a_step_that_detaches_its_leaf_first():
    def make():
        w = tg.Tensor([1.0, 2.0], requires_grad=True)

        def step(x):
            target = w.detach() * x
            w.grad = None
            loss = ((w - target) ** 2).sum()
            loss.backward()
            tg.assign(w, w - 0.1 * w.grad)
            return loss

        return step, [w]

    compiled = agree(make, [(np.full(2, k, np.float32),) for k in range(7)])
    assert [len(kinds) for kinds in compiled._kinds.values()] == [1]


def test_nothing_is_kept_when_the_compiled_function_is_gone(rng):
    def weight():
        model = mlp()
        compiled = tg.compile(training(model, nn.optim.Adam(model.parameters(), 0.01))[0])
        for x, t in batches(rng, 4, (8, 12)):
            compiled(x, t)
        return weakref.ref(model[0].weight)

    gc.disable()
    try:
        assert weight()() is None
    finally:
        gc.enable()


def test_memory_is_flat_over_replays(rng):
    model = mlp()
    step, _ = training(model, nn.optim.Adam(model.parameters(), 0.01))
    compiled = tg.compile(step)
    x, t = batches(rng, 1, (8, 12))[0]
    for _ in range(5):
        compiled(x, t)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(200):  # until the interpreter has kept all the small objects that it likes to keep
            compiled(x, t)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            compiled(x, t)
        assert tracemalloc.get_traced_memory()[0] - before < 20_000  # one more array at each step would be 64,000
    finally:
        tracemalloc.stop()
        gc.enable()
