"""Optimizers: known values, PyTorch step for step, memory orders, live learning rates, groups, saving, mistakes."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.kernels import pieces

SETTINGS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("SGD", {"momentum": 0.9}, [0.8, 0.46, 0.062]),
        ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, [0.601, 0.191101, -0.140468399]),
        ("Adam", {}, [0.9000000005, 0.8004122287, 0.7015862729]),
        ("AdamW", {"weight_decay": 0.1}, [0.8900000005, 0.7815718559, 0.6751012216]),
    ],
)
def test_three_steps_down_a_parabola(name, settings, expected):
    p = nn.Parameter(np.array(1.0))
    optimizer = getattr(nn.optim, name)([p], 0.1, **settings)
    for value in expected:
        optimizer.zero_grad()
        (p * p).backward()
        optimizer.step()
        assert abs(p.item() - value) < 1e-10


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_twenty_steps_are_pytorchs(name, settings, dtype, rng):
    torch = pytest.importorskip("torch")
    shapes = [(3, 4), (5,), (), (2, 3, 2, 2), (0, 3)]
    values = [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    ours = [nn.Parameter(value) for value in values]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in values]
    optimizer, oracle = getattr(nn.optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for step in range(20):
        for k, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
            g = np.asarray(rng.standard_normal(mine.shape), dtype)
            skipped = k == 1 and step % 3 == 0  # a parameter that gets a gradient only sometimes
            mine.grad = None if skipped else tg.Tensor(g)
            its.grad = None if skipped else torch.tensor(g)
        optimizer.step()
        oracle.step()
        for mine, its in zip(ours, theirs, strict=True):
            tolerance = 2e-6 if dtype == np.float32 else 1e-13
            np.testing.assert_allclose(mine.data, its.detach().numpy(), rtol=tolerance, atol=tolerance)
            assert mine.dtype == dtype
    assert all(p.version == (13 if k == 1 else 20) for k, p in enumerate(ours))


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_pieces_and_memory_orders_change_no_bit(name, settings, rng, monkeypatch):
    shape = (7, 5, 3, 4)
    value = rng.standard_normal(shape, np.float32)
    gradients = rng.standard_normal((3, *shape), np.float32)

    def result(arrange):
        p = nn.Parameter(arrange(value))
        strides = [s for s in p.data.strides]
        optimizer = getattr(nn.optim, name)([p], **settings)
        for k, g in enumerate(gradients):
            p.grad = tg.Tensor(g if k == 1 else arrange(g))  # in step 1 the gradient is in another order
            optimizer.step()
        return p.data, strides

    expected, _ = result(np.copy)
    monkeypatch.setattr(pieces, "PIECE", 64)  # several pieces, the last one shorter
    turned = (1, 3, 0, 2)
    orders = {
        "C": np.copy,
        "F": np.asfortranarray,
        "turned": lambda a: np.ascontiguousarray(a.transpose(turned)).transpose(np.argsort(turned)),
    }
    for order in orders.values():
        got, strides = result(order)
        np.testing.assert_array_equal(got, expected)
        assert list(got.strides) == strides
    got, _ = result(lambda a: np.repeat(a, 2, axis=1)[:, ::-2][:, ::-1])  # with gaps
    np.testing.assert_array_equal(got, expected)


def test_an_update_writes_into_no_array_that_others_hold(rng):
    for make in (lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), lambda p: nn.optim.Adam(p, 0.1)):
        p = nn.Parameter(np.ones(3, np.float32))
        optimizer = make([p])
        p.grad = tg.Tensor([1.0, 2.0, 3.0])
        held, gradient = p.data, p.grad.data
        state = [cell for _, cell in optimizer._named_state()]
        arrays = [(cell.data, cell.data.copy()) for cell in state]
        optimizer.step()
        np.testing.assert_array_equal(held, 1)
        np.testing.assert_array_equal(gradient, [1, 2, 3])
        for array, before in arrays:
            np.testing.assert_array_equal(array, before)


# -- the learning rate, groups -------------------------------------------------------------------------------------


def test_the_learning_rate_is_read_at_each_step():
    p = nn.Parameter([0.0])
    optimizer = nn.optim.SGD([p], 0.1)
    for rate in (1.0, 0.25, tg.Tensor(0.5)):
        optimizer.lr = rate
        p.grad = tg.Tensor([-1.0])
        optimizer.step()
    assert p.item() == 1.75 and optimizer.lr == 0.5
    with pytest.raises(ValueError, match="lr: the learning rate must be a number of at least 0"):
        optimizer.lr = -1
    assert optimizer.lr == 0.5


def test_groups_have_settings_of_their_own():
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = nn.optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5, "weight_decay": 1.0}], 0.1)
    a.grad = b.grad = tg.Tensor([1.0])
    optimizer.step()
    assert a.item() == np.float32(0.9) and b.item() == 0.0
    with pytest.raises(ValueError, match="different learning rates"):
        _ = optimizer.lr
    optimizer.groups[1].lr = 0.1
    assert optimizer.lr == 0.1


def test_any_iterable_of_parameters_will_do():
    model = nn.Linear(2, 1)
    for params in (iter(model.parameters()), tuple(model.parameters()), (p for p in model.parameters())):
        optimizer = nn.optim.SGD(params, 0.1)
        model([[1.0, 2.0]]).sum().backward()
        optimizer.zero_grad()
        assert all(p.grad is None for p in model.parameters())


# -- traces --------------------------------------------------------------------------------------------------------


def test_an_update_is_one_node_with_its_settings_from_version_to_version():
    p = nn.Parameter([1.0])
    p.name = "p"
    optimizer = nn.optim.SGD([p], 0.1, momentum=0.9, weight_decay=0.01)
    with tg.trace() as step:
        (p * p).sum().backward()
        optimizer.step()
    updates = [node for node in step.nodes if node.phase == "update"]
    assert [node.primitive for node in updates] == ["momentum_update", "assign", "assign"]
    assert updates[0].attributes == {"momentum": 0.9, "nesterov": False, "weight_decay": 0.01}
    values = [step.values[v] for v in updates[0].inputs]
    assert [value.name for value in values] == ["p", "p.grad", "velocity", "lr"]
    assert [value.dtype for value in values] == ["float32", "float32", "float32", "float64"]
    assert [(v.name, v.version) for v in step.values if v.name == "p"] == [("p", 0), ("p", 1)]


def test_a_method_of_ones_own_is_three_short_methods():
    class SignDescent(nn.optim.Optimizer):
        def checked(self, **settings):
            return settings

        def new_state(self, parameter, **settings):
            return {"steps": tg.Tensor(np.array(0))}

        def update(self, parameter, gradient, rate, cells, *, shrink):
            assert not tg.state.current().builds_graph
            tg.assign(parameter, parameter * shrink - rate * tg.sign(gradient))
            tg.assign(cells["steps"], cells["steps"] + 1)

    p, q = nn.Parameter([1.0, -1.0]), nn.Parameter([1.0])
    optimizer = SignDescent([{"params": [p]}, {"params": [q], "shrink": 0.5}], 0.25, shrink=1.0)
    (p * p).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(p.data, [0.75, -0.75])
    assert p.dtype == np.float32 and q.item() == 1
    assert {name: array.item() for name, array in optimizer.state_dict().items()} == {
        "groups.0.lr": 0.25,
        "groups.1.lr": 0.25,
        "parameters.0.steps": 1,
        "parameters.1.steps": 0,
    }


def test_a_step_builds_no_graph():
    p = nn.Parameter([1.0])
    optimizer = nn.optim.Adam([p])
    (p * p).sum().backward(create_graph=True)
    optimizer.step()
    assert p.is_leaf and p.requires_grad
    assert all(cell.is_leaf and not cell.requires_grad for _, cell in optimizer._named_state())


# -- saving --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_resuming_gives_the_same_bits(name, settings, rng):
    gradients = rng.standard_normal((6, 4), np.float32)

    def steps(p, optimizer, chosen):
        for g in chosen:
            p.grad = tg.Tensor(g)
            optimizer.step()

    p = nn.Parameter(np.ones(4, np.float32))
    optimizer = getattr(nn.optim, name)([p], **settings)
    steps(p, optimizer, gradients[:3])
    optimizer.lr = 0.03
    saved, value = optimizer.state_dict(), p.numpy()
    steps(p, optimizer, gradients[3:])

    q = nn.Parameter(value)
    resumed = getattr(nn.optim, name)([q], **settings)
    resumed.load_state_dict(saved)
    steps(q, resumed, gradients[3:])
    np.testing.assert_array_equal(p.data, q.data)
    assert resumed.lr == 0.03


def test_a_state_of_another_optimizer_is_refused():
    adam = nn.optim.Adam([nn.Parameter([1.0])])
    sgd = nn.optim.SGD([nn.Parameter([1.0, 2.0])], 0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"missing: parameters.0.velocity\n  unexpected: parameters.0.mean"):
        sgd.load_state_dict(adam.state_dict())
    with pytest.raises(ValueError, match=r"parameters.0.velocity has shape \(3,\), needs \(2,\)"):
        sgd.load_state_dict(sgd.state_dict() | {"parameters.0.velocity": np.zeros(3)})


# -- mistakes ------------------------------------------------------------------------------------------------------


def parameter():
    return nn.Parameter([1.0])


WRONG = [
    (lambda: nn.optim.SGD([], 0.1), ValueError, "SGD: there are no parameters"),
    (lambda: nn.optim.SGD([parameter()] * 2, 0.1), ValueError, r"SGD: a parameter of shape \(1,\) is given twice"),
    (lambda: nn.optim.SGD([parameter()], -0.1), ValueError, "SGD: lr must be a number of at least 0, not -0.1"),
    (lambda: nn.optim.SGD([parameter()], "fast"), ValueError, "SGD: lr must be"),
    (lambda: nn.optim.SGD([parameter()], 0.1, momentum=-1), ValueError, "SGD: momentum must be a number from 0 to 1"),
    (lambda: nn.optim.SGD([parameter()], 0.1, nesterov=True), ValueError, "SGD: nesterov=True needs a momentum"),
    (lambda: nn.optim.SGD([parameter()], 0.1, weight_decay=-1), ValueError, "SGD: weight_decay must be"),
    (lambda: nn.optim.SGD(parameter(), 0.1), TypeError, "SGD: takes an iterable of parameters"),
    (lambda: nn.optim.SGD(nn.Linear(1, 1), 0.1), TypeError, r"not a Linear; pass what its parameters\(\) returns"),
    (lambda: nn.optim.SGD([parameter() * 2], 0.1), TypeError, r"parameters must be leaf tensors .* made by a primitive"),
    (lambda: nn.optim.SGD([np.ones(2)], 0.1), TypeError, "parameters must be leaf tensors"),
    (lambda: nn.optim.SGD([tg.Tensor([1, 2])], 0.1), TypeError, "parameters must be leaf tensors of floats"),
    (lambda: nn.optim.SGD([{"params": [parameter()], "betas": 1}], 0.1), ValueError, r"unknown settings \['betas'\]"),
    (lambda: nn.optim.Adam([parameter()], betas=(0.9, 1.0)), ValueError, "Adam: betas must be two numbers"),
    (lambda: nn.optim.Adam([parameter()], betas=0.9), ValueError, "Adam: betas must be two numbers"),
    (lambda: nn.optim.AdamW([parameter()], eps=-1), ValueError, "AdamW: eps must be"),
]


@pytest.mark.parametrize(("make", "kind", "message"), WRONG)
def test_mistakes_are_named(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


# -- clipping ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_is_pytorchs(max_norm, rng):
    torch = pytest.importorskip("torch")
    gradients = [rng.standard_normal(shape, np.float32) for shape in ((3, 4), (5,), ())]
    gradients = [np.asarray(g, np.float32) for g in gradients]
    ours = [nn.Parameter(np.zeros_like(g)) for g in gradients] + [nn.Parameter([0.0])]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape)) for g in gradients]
    for mine, its, g in zip(ours, theirs, gradients, strict=False):
        mine.grad, its.grad = tg.Tensor(g.copy()), torch.tensor(g)
    norm = nn.clip_grad_norm(ours, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    assert abs(norm.item() / float(expected) - 1) < 1e-6
    for mine, its in zip(ours, theirs, strict=False):
        np.testing.assert_allclose(mine.grad.data, its.grad.numpy(), rtol=1e-6)
        assert mine.grad.dtype == np.float32
    assert ours[-1].grad is None


def test_clipping_does_not_hide_what_is_not_finite():
    p = nn.Parameter([1.0, 2.0])
    p.grad = tg.Tensor([1.0, np.nan])
    assert np.isnan(nn.clip_grad_norm([p], 1.0).item())
    assert np.isnan(p.grad.data).all()
    assert nn.clip_grad_norm([nn.Parameter([1.0])], 1.0).item() == 0
