"""What a compiled function returns can be differentiated: its backward pass replays too, and agrees with eager."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn.training import evaluate

from .helpers import batches, close, mlp
from .random_networks import Drawn


def cnn():
    layers = [nn.Conv2D(1, 4, 3, bias=False, rng=0), nn.BatchNorm2D(4), nn.ReLU(), nn.MaxPool2D(2), nn.Dropout(0.3, rng=3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 9, 10, rng=1))


def deep():
    return nn.Sequential(nn.Linear(12, 16, rng=0), nn.Dropout(0.5, rng=5), nn.ReLU(), nn.Linear(16, 10, rng=1))


def train(model, called, optimizer, x, t):
    optimizer.zero_grad()
    loss = nn.cross_entropy(called(x), t)
    loss.backward()
    optimizer.step()
    return loss


MODELS = {"mlp": (mlp, (8, 12)), "dropout": (deep, (8, 12)), "cnn": (cnn, (6, 1, 8, 8))}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("optimizer", [lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), lambda p: nn.optim.Adam(p, 0.01)])
def test_a_compiled_model_trains(name, optimizer, rng):
    make, shape = MODELS[name]
    plain, model = make(), make()
    compiled = tg.compile(model)
    ours, theirs = optimizer(model.parameters()), optimizer(plain.parameters())
    for k, (x, t) in enumerate(batches(rng, 14, shape)):
        if k % 5 == 4:
            with tg.no_grad():
                model.eval(), plain.eval()
                close(compiled(x).data, plain(x).data, 1e-4)
                model.train(), plain.train()
        close(train(model, compiled, ours, x, t).data, train(plain, plain, theirs, x, t).data, 1e-4)
        for a, b in zip([*model.parameters(), *model.buffers()], [*plain.parameters(), *plain.buffers()], strict=True):
            close(a.data, b.data, 1e-3 if name == "cnn" else 1e-5)
            assert a.version == b.version
            if b.grad is not None and np.linalg.norm(b.grad.data) > 1e-5:  # a bias before a batch norm has none
                close(a.grad.data, b.grad.data, 1e-3 if name == "cnn" else 1e-5)
    assert compiled.recordings == 4 and compiled.replays == 12


def test_gradients_with_respect_to_arguments(rng):
    compiled = tg.compile(lambda x, y: (x * y).sum(axis=1) * 2.0)
    for _ in range(6):
        x, y = (tg.Tensor(rng.random((3, 4), dtype=np.float32), requires_grad=True) for _ in range(2))
        z = x * 3.0
        compiled(z, y.detach()).sum().backward()
        close(x.grad.data, 6 * y.data)
        assert y.grad is None
    assert compiled.replays == 4


def test_gradients_with_respect_to_parameters_and_arguments_of_a_chain(rng):
    first, second = mlp(), nn.Linear(10, 3, rng=5)
    parameters = [*first.parameters(), *second.parameters()]
    one, two = tg.compile(first), tg.compile(second)
    for _ in range(6):
        x = rng.random((4, 12), dtype=np.float32)
        (second(first(x)) ** 2).sum().backward()
        expected = [p.grad.data for p in parameters]
        first.zero_grad(), second.zero_grad()
        (two(one(x)) ** 2).sum().backward()
        for p, g in zip(parameters, expected, strict=True):
            close(p.grad.data, g)
            p.grad = None
    assert one.replays == two.replays == 4


def test_several_results_with_gradients_and_without(rng):
    w = tg.Tensor(rng.random(4, dtype=np.float32), requires_grad=True)
    b = tg.Tensor(rng.random(4), requires_grad=True)

    def heads(x):
        y = w * x
        return {"a": y, "list": [y * b, x * 2.0], "sum": (y * y).sum(), "leaf": w, "name": "heads"}

    compiled = tg.compile(heads)

    def loss(out):
        return (out["a"] * 3.0).sum() + (out["list"][0] ** 2).sum() + out["sum"] * 0.5 + out["leaf"].sum()

    for _ in range(6):
        x = rng.random(4, dtype=np.float32)
        loss(heads(tg.Tensor(x))).backward()
        expected = w.grad.data, b.grad.data
        w.grad = b.grad = None
        out = compiled(x)
        assert not out["list"][1].requires_grad and out["name"] == "heads"
        loss(out).backward()
        close(w.grad.data, expected[0])
        close(b.grad.data, expected[1], 1e-6)
        assert b.grad.dtype == np.float64
        w.grad = b.grad = None
        compiled(x)["a"].sum().backward()
        close(w.grad.data, x)
        w.grad = b.grad = None
    assert compiled.replays == 10


def test_two_calls_before_one_backward_pass(rng):
    plain, model = deep(), deep()
    compiled = tg.compile(model)
    for _ in range(7):
        x, y = (rng.random((5, 12), dtype=np.float32) for _ in range(2))
        for called, network in ((compiled, model), (plain, plain)):
            network.zero_grad()
            a, b = called(x), called(y)
            (a * b + called(x)).sum().backward()
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            close(p.grad.data, q.grad.data)
    assert compiled.replays == 19


def test_backward_twice_with_retain_graph(rng):
    model = mlp()
    compiled = tg.compile(model)
    for _ in range(5):
        x = rng.random((5, 12), dtype=np.float32)
        loss = (compiled(x) ** 2).sum()
        loss.backward(retain_graph=True)
        once = [p.grad.numpy() for p in model.parameters()]
        loss.backward()
        for p, g in zip(model.parameters(), once, strict=True):
            close(p.grad.data, 2 * g)
        model.zero_grad()
        with pytest.raises(RuntimeError, match="freed"):
            loss.backward()


def test_a_value_and_its_gradient_by_functions(rng):
    compiled = tg.compile(lambda x: (tg.tanh(x) ** 2).sum())
    for _ in range(5):
        x = rng.random(4)
        value, gradient = tg.value_and_grad(compiled)(x)
        close(gradient.data, 2 * np.tanh(x) * (1 - np.tanh(x) ** 2))
        assert value.item() == pytest.approx((np.tanh(x) ** 2).sum())
    assert compiled.replays == 3


def test_a_parameter_that_has_changed_before_backward_is_refused(rng):
    model = mlp()
    compiled = tg.compile(model)
    for _ in range(5):
        loss = compiled(rng.random((5, 12), dtype=np.float32)).sum()
        tg.assign(model[2].weight, model[2].weight.detach() * 2.0)
        with pytest.raises(RuntimeError, match="was given a new value after the forward pass"):
            loss.backward()


def test_a_parameter_that_the_function_itself_changes():
    def make():
        w = tg.Tensor([1.0, 2.0], requires_grad=True)
        v = tg.Tensor([3.0, 4.0], requires_grad=True)

        def step(x):
            old = w.detach()
            y = v * old * x
            tg.assign(w, w.detach() * 2.0)
            return y

        return w, v, step

    (w, v, step), (other, theirs, plain) = make(), make()
    compiled = tg.compile(step)
    for k in range(6):
        x = np.full(2, k + 1, np.float32)
        compiled(x).sum().backward()
        plain(tg.Tensor(x)).sum().backward()
        close(v.grad.data, theirs.grad.data)
        close(w.data, other.data)
    assert compiled.replays == 4


def test_what_eager_refuses_is_refused_with_what_to_do():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def step(x):
        y = w * w * x
        tg.assign(w, w.detach() * 0.5)
        return y

    for _ in range(5):
        y = step(np.ones(2, np.float32))
        with pytest.raises(RuntimeError, match=r"new value after multiply has used the old one.*differentiate inside"):
            y.sum().backward()


def test_a_second_derivative_says_what_to_do():
    compiled = tg.compile(lambda x: (x * x * x).sum())
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(5):
        x.grad = None
        compiled(x).backward(create_graph=True)
        close(x.grad.data, 3 * x.data**2)
        with pytest.raises(RuntimeError, match="first derivatives only: take the inner derivative inside"):
            x.grad.sum().backward()
    x.grad = None
    inside = tg.compile(lambda x: tg.grad(lambda x: (x * x * x).sum())(x))
    for _ in range(5):
        x.grad = None
        inside(x).sum().backward()
        close(x.grad.data, 6 * x.data)
    assert inside.replays == 3


def test_a_penalty_on_what_comes_before_and_behind_says_what_to_do(rng):
    body, head = tg.compile(lambda x: (tg.tanh(x), x * 2.0)), nn.Linear(3, 1, rng=0)
    for _ in range(5):
        x = tg.Tensor(rng.random((2, 3), dtype=np.float32), requires_grad=True)
        a, _ = body(x)
        slope = tg.grad(lambda a: (head(a) ** 2).sum())(a)  # not through what was compiled
        slope.sum().backward()
        assert x.grad is not None and head.weight.grad is not None
        head.zero_grad()
        x.grad = None
        a, b = body(x)
        head(a * b).sum().backward(create_graph=True)
        with pytest.raises(RuntimeError, match="first derivatives only"):
            (x.grad * x.grad).sum().backward()
        head.zero_grad()


def test_a_gradient_by_a_function_through_a_model_with_parameters(rng):
    model = mlp()
    compiled = tg.compile(model)
    for _ in range(5):
        x = rng.random((2, 12), dtype=np.float32)
        close(tg.grad(lambda x: compiled(x).sum())(x).data, tg.grad(lambda x: model(x).sum())(x).data)
    assert compiled.replays == 3


def test_one_cotangent_twice(rng):
    model = mlp()
    compiled = tg.compile(model)
    g = tg.Tensor(np.ones((2, 10), np.float32))
    for _ in range(5):
        out = compiled(rng.random((2, 12), dtype=np.float32))
        out.backward(g, retain_graph=True)
        once = model[0].weight.grad.numpy()
        out.backward(g)
        close(model[0].weight.grad.data, 2 * once)
        model.zero_grad()


def test_a_step_that_walks_back_through_what_another_returned_is_refused():
    model = mlp()
    compiled = tg.compile(model)
    x = np.ones((2, 12), np.float32)
    outputs = [compiled(x).sum() for _ in range(4)]
    step = tg.compile(lambda k: outputs[k].backward())
    with pytest.raises(tg.ReplayError, match="returned outside of it"):
        step(3)


def test_inside_a_trace_and_inside_another_compiled_function(rng):
    model = mlp()
    compiled = tg.compile(model)
    x = rng.random((4, 12), dtype=np.float32)
    for _ in range(4):
        compiled(x)
    with tg.trace() as graph:
        compiled(x).sum().backward()
    assert "linear" in [node.primitive for node in graph.nodes] and graph.gradients()
    outer = tg.compile(lambda x: compiled(x).sum())
    for _ in range(4):
        model.zero_grad()
        outer(x).backward()
    found = [p.grad.numpy() for p in model.parameters()]
    model.zero_grad()
    model(x).sum().backward()
    for p, g in zip(model.parameters(), found, strict=True):
        close(p.grad.data, g)
    assert outer.replays == 2


def test_the_graph_shows_one_node(rng):
    model = mlp()
    compiled = tg.compile(model)
    for _ in range(4):
        out = compiled(rng.random((4, 12), dtype=np.float32))
    assert [node.primitive for node in tg.graph((out * 2.0).sum()).nodes] == ["Sequential", "multiply", "sum"]


def test_frozen_parameters_get_no_gradient(rng):
    model = mlp()
    compiled = tg.compile(model)
    for k in range(10):
        model[0].weight.requires_grad = k < 5
        model.zero_grad()
        compiled(rng.random((4, 12), dtype=np.float32)).sum().backward()
        assert (model[0].weight.grad is None) == (k >= 5) and model[2].weight.grad is not None
    assert compiled.replays == 6


def test_without_a_graph_nothing_is_kept(rng):
    model = mlp()
    compiled = tg.compile(model)
    for _ in range(4):
        with tg.no_grad():
            out = compiled(rng.random((4, 12), dtype=np.float32))
        assert out.is_leaf and not out.requires_grad


def test_a_step_that_has_walked_back_itself_returns_no_graph(rng):
    model = mlp()

    @tg.compile
    def step(x):
        loss = model(x).sum()
        loss.backward()
        model.zero_grad()
        return loss

    for _ in range(5):
        assert step(rng.random((4, 12), dtype=np.float32)).is_leaf


def test_memory_comes_back_with_the_graph(rng):
    model = mlp()
    compiled = tg.compile(model)
    x = rng.random((4, 12), dtype=np.float32)
    for _ in range(4):
        compiled(x).sum().backward()
    gc.disable()
    try:
        kept = [compiled(x) for _ in range(6)]
        runners = {id(out._node.residuals[0]._runner) for out in kept}
        assert len(runners) == 6
        last = weakref.ref(kept[-1]._node.residuals[0]._runner)
        del kept
        for _ in range(3):
            compiled(x).sum().backward()
        assert last() is None or len(compiled._latest._runners._free) <= 2
        assert len(compiled._latest._runners._free) <= 2
    finally:
        gc.enable()


def test_a_check_leaves_what_waits_for_its_backward_pass(rng):
    model, plain = mlp(), mlp()
    compiled = tg.compile(model).check(every=2)
    for _ in range(6):
        x = rng.random((4, 12), dtype=np.float32)
        outs = [compiled(x * k) for k in range(5)]
        expected = [plain(x * k) for k in range(5)]
        for out, other in zip(outs, expected, strict=True):
            model.zero_grad(), plain.zero_grad()
            out.sum().backward()
            other.sum().backward()
            for p, q in zip(model.parameters(), plain.parameters(), strict=True):
                close(p.grad.data, q.grad.data)


def test_large_ones_on_two_threads(everything_is_large, rng):
    plain, model = cnn(), cnn()
    compiled = tg.compile(model)
    for x, t in batches(rng, 7, (6, 1, 8, 8)):
        for called, network in ((compiled, model), (plain, plain)):
            network.zero_grad()
            nn.cross_entropy(called(x), t).backward()
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            if np.linalg.norm(q.grad.data) > 1e-5:
                close(p.grad.data, q.grad.data, 1e-3)
    names = [step.name for step in compiled._latest.runner.program.steps]
    assert any("backward of" in name for name in names)


def test_a_compiled_model_has_what_the_model_has(rng):
    model = deep()
    compiled = tg.compile(model)
    optimizer = nn.optim.SGD(compiled.parameters(), 0.1)
    for x, t in batches(rng, 5, (8, 12)):
        train(compiled, compiled, optimizer, x, t)
    assert compiled.training and not compiled.eval().training
    x = rng.random((4, 12), dtype=np.float32)
    close(compiled(x).data, model(x).data)
    compiled.training = True
    assert model.training and "training" not in vars(compiled)
    assert list(compiled.state_dict()) == list(model.state_dict())
    with pytest.raises(AttributeError, match="nothing"):
        compiled.nothing  # noqa: B018


class Pair(nn.Module):
    def __init__(self, prepare):
        self.body = prepare(deep())
        self.heads = [prepare(nn.Linear(10, 3, rng=7)), nn.Linear(3, 2, rng=8)]

    def forward(self, x):
        return self.heads[1](self.heads[0](self.body(x)))


def test_a_model_of_compiled_modules_trains(rng):
    plain, model = Pair(lambda m: m), Pair(tg.compile)
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    ours, theirs = (nn.optim.Adam(m.parameters(), 0.01) for m in (model, plain))
    for x, t in batches(rng, 8, (8, 12), 2):
        close(train(model, model, ours, x, t).data, train(plain, plain, theirs, x, t).data)
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        close(a.data, b.data)
    assert model.body.replays == model.heads[0].replays == 6
    x = rng.random((4, 12), dtype=np.float32)
    close(model.eval()(x).data, plain.eval()(x).data)


def test_a_compiled_model_is_evaluated_as_in_use(rng):
    model = deep()
    data = batches(rng, 4, (8, 12))
    assert evaluate(tg.compile(model), data) == evaluate(model, data) and model.training


def test_a_result_that_depends_on_a_leaf_made_inside_replays(rng):
    w = tg.Tensor(rng.random(4, dtype=np.float32), requires_grad=True)

    @tg.compile
    def step(x):
        inner = tg.Tensor(w, requires_grad=True)
        return inner * x * w

    held = []
    for _ in range(6):
        x = rng.random(4, dtype=np.float32)
        held.append(step(x))
        held[-1].sum().backward()
        close(w.grad.data, w.data * x)
        w.grad = None
        tg.assign(w, w.detach() * 1.5)
    assert step.replays == 4


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(seed):
    drawn = Drawn(seed, np.float64)
    model, plain = drawn.model(), drawn.model()
    compiled = tg.compile(model)
    for x, t in drawn.data(5):
        for called, network in ((compiled, model), (plain, plain)):
            network.zero_grad()
            nn.cross_entropy(called(x), t).backward()
        largest = max(np.linalg.norm(q.grad.data) for q in plain.parameters())
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            assert np.linalg.norm(p.grad.data - q.grad.data) <= 1e-9 * largest
        for a, b in zip(model.buffers(), plain.buffers(), strict=True):
            close(a.data, b.data, 1e-10)
    assert compiled.replays == 3
