"""Where a module holds its parts: found in any container, or refused by name."""

from __future__ import annotations

import copy
import dataclasses
import functools
import pickle
from collections import OrderedDict, UserDict, UserList, deque, namedtuple
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

import nn
import tensorgrad as tg

Pair = namedtuple("Pair", ["one", "other"])


@dataclasses.dataclass
class Parts:
    layer: nn.Module
    width: int = 3


def objects(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


FOUND = {
    "list": (lambda a: [a], "held.0.weight"),
    "tuple in a list": (lambda a: [(1, a)], "held.0.1.weight"),
    "deque": (lambda a: deque([a]), "held.0.weight"),
    "namedtuple": (lambda a: Pair(3, a), "held.1.weight"),
    "OrderedDict": (lambda a: OrderedDict(x=a), "held.x.weight"),
    "UserDict": (lambda a: UserDict(x=a), "held.x.weight"),
    "UserList": (lambda a: UserList([a]), "held.0.weight"),
    "mappingproxy": (lambda a: MappingProxyType({"x": a}), "held.x.weight"),
    "dict's values": (lambda a: list({"x": a}.values()), "held.0.weight"),
    "array of objects": (lambda a: objects(None, a), "held.1.weight"),
    "SimpleNamespace": (lambda a: SimpleNamespace(x=a), "held.x.weight"),
    "dataclass": (lambda a: Parts(a), "held.layer.weight"),
    "nested": (lambda a: {"deep": [SimpleNamespace(x=(a,))]}, "held.deep.0.x.0.weight"),
}


class Holder(nn.Module):
    def __init__(self, held, layer=None):
        self.held = held
        if layer is not None:
            self.layer = layer


@pytest.mark.parametrize("kind", FOUND)
def test_parts_are_found_in_containers(kind):
    make, name = FOUND[kind]
    layer = nn.Linear(2, 2, bias=False, rng=0)
    model = Holder(make(layer))
    assert [found for found, _ in model.named_parameters()] == [name]
    assert model.parameters()[0] is layer.weight
    values = model.state_dict()
    values[name] = values[name] * 0 + 5
    model.load_state_dict(values)
    assert (layer.weight.data == 5).all()
    model.eval()
    assert not layer.training


class Plain:
    """A helper that its author forgot to make a module."""

    def __init__(self, layer):
        self.layer = layer

    def call(self, x):
        return self.layer(x)


REFUSED = {
    "generator": lambda a: (layer for layer in [a]),
    "map": lambda a: map(lambda layer: layer, [a]),
    "zip": lambda a: zip([a], [1], strict=True),
    "set": lambda a: {a},
    "frozenset": lambda a: frozenset([a]),
    "dict's keys": lambda a: {a: 1}.keys(),
}
HIDDEN = {
    "object": Plain,
    "object in a list": lambda a: [Plain(a)],
    "list in an object": lambda a: Plain([a]),
    "method": lambda a: Plain(a).call,
    "partial": lambda a: functools.partial(tg.relu, a),
    "closure": lambda a: lambda x: a(x),
    "bare parameter": lambda a: Plain(a.weight),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_order_or_gives_its_items_once_is_refused_at_once(kind):
    with pytest.raises(TypeError, match=r"held is a .*make it a list"):
        Holder(REFUSED[kind](nn.Linear(2, 2, rng=0)))


@pytest.mark.parametrize("kind", HIDDEN)
def test_what_would_not_be_trained_is_refused_by_name(kind):
    layer = nn.Linear(2, 2, rng=0)
    model = nn.Sequential(Holder(HIDDEN[kind](layer)))
    with pytest.raises(TypeError, match=r"0\.held is a .*not be found there and not trained"):
        model.parameters()
    assert Holder(HIDDEN[kind](layer), layer).parameters()  # found elsewhere
    for parameter in layer.parameters():
        parameter.requires_grad = False
    assert model.parameters() == []  # a frozen one


def test_what_holds_no_parts_is_left_alone():
    model = nn.Linear(2, 2, rng=0)
    for value in (
        3,
        "x",
        [1, 2],
        {"a": None},
        np.arange(3),
        lambda x: x,
        SimpleNamespace(a=1),
        iter([1]),
        tg.compile(tg.exp),
        {1},
    ):
        model.extra = value
        assert len(model.parameters()) == 2
    model.again = model  # a module inside itself
    assert len(model.parameters()) == 2


SHADOWS = {
    "modules": [],
    "parameters": (),
    "train": True,
    "eval": 1,
    "state_dict": {},
    "named_children": nn.ReLU(),
    "forward": None,
}


@pytest.mark.parametrize("name", SHADOWS)
def test_attributes_that_would_hide_methods_are_refused_by_name(name):
    model = nn.ReLU()
    with pytest.raises(TypeError, match=rf"ReLU\.{name} is a method, and an attribute of this name would hide it"):
        setattr(model, name, SHADOWS[name])
    assert callable(getattr(model, name))


def test_a_function_may_take_the_place_of_a_method():
    model = nn.ReLU()
    model.forward = tg.compile(model.forward)
    assert model(np.array([-1.0, 2.0])).data.tolist() == [0, 2]


class Remembering(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(2, 3, rng=0)

    def forward(self, x):
        self.last = self.layer(x)
        return self.last


def test_a_module_that_keeps_its_last_output_can_be_copied_and_pickled():
    model = Remembering()
    x = np.ones((1, 2), np.float32)
    expected = model(x).data
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(made.last.data, expected) and made.last.is_leaf
        assert np.array_equal(made(x).data, expected)
        made(x).sum().backward()
        assert made.layer.weight.grad is not None and model.layer.weight.grad is None


class Inner(nn.Module):
    def __init__(self):
        self.features = nn.Sequential(nn.Linear(4, 5, rng=0), nn.ReLU(), nn.Linear(6, 2, rng=0))

    def forward(self, x):
        return self.features(x)


def test_an_error_says_in_which_module_it_happened():
    for model, place in ((Inner(), "features.2 (Linear)"), (nn.Sequential(nn.ReLU(), Inner()), "1.features.2 (Linear)")):
        with pytest.raises(ValueError, match="linear") as caught:
            model(np.ones((3, 4), np.float32))
        assert caught.value.__notes__ == [f"This was in the module {place}"]
    with pytest.raises(ValueError, match="linear") as caught:
        nn.Linear(4, 5, rng=0)(np.ones((3, 3), np.float32))
    assert caught.value.__notes__ == ["This was in the module (Linear)"]


def test_images_with_the_channels_last_are_told():
    with pytest.raises(ValueError, match=r"look like \(N, H, W, C\), with their 3 channels last.*\(0, 3, 1, 2\)"):
        nn.Conv2D(3, 4, 3, rng=0)(np.ones((2, 8, 8, 3), np.float32))


def test_lenet5_says_what_images_it_takes():
    with pytest.raises(ValueError, match=r"must be 32x32, and these are 28x28 with a padding of 0.*padding=2"):
        nn.models.LeNet5(rng=0)(np.ones((2, 1, 28, 28), np.float32))
    assert nn.models.LeNet5(padding=2, rng=0)(np.ones((2, 1, 28, 28), np.float32)).shape == (2, 10)


class Descent(nn.optim.Optimizer):
    def update(self, parameter, gradient, rate, cells):
        tg.assign(parameter, parameter - rate * gradient)


def test_an_optimizer_is_its_update_and_says_so():
    p = nn.Parameter([1.0, 2.0])
    p.grad = tg.Tensor([1.0, 1.0])
    Descent([p], 0.5).step()
    assert p.data.tolist() == [0.5, 1.5] and p.dtype == np.float32
    with pytest.raises(NotImplementedError, match="Nameless defines no update"):
        type("Nameless", (nn.optim.Optimizer,), {})([p], 0.1).step()


@pytest.mark.parametrize("make", [nn.optim.SGD, nn.optim.Adam, nn.optim.AdamW])
def test_optimizers_let_small_numbers_vanish(make):
    p = nn.Parameter(np.array([1.0, 1e-20, 0.0, 1e-38], np.float32))
    optimizer = make([p], 1e-3, **({"momentum": 0.9, "weight_decay": 1e-4} if make is nn.optim.SGD else {}))
    with np.errstate(all="raise"):
        for gradient in ([1e-25, 1e-30, 0, 1e-22], [1e-38, 1, 1e-12, 0]):
            p.grad = tg.Tensor(np.array(gradient, np.float32))
            optimizer.step()
    assert np.isfinite(p.data).all()
