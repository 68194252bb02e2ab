"""What changes around a compiled function after it was recorded: eager and compiled agree at once, or it is said."""

from __future__ import annotations

import functools
import gc
import itertools
import sys
import types
import warnings
import weakref
from dataclasses import dataclass, field

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .helpers import batches, close, mlp, training

X = np.array([1.0, 2.0, 3.0], np.float32)
RATE = 2.0


class Config:
    rate = 2.0


@dataclass
class Settings:
    rate: float = 2.0
    inner: dict = field(default_factory=lambda: {"rate": 2.0})


class Slotted:
    __slots__ = ("rate",)

    def __init__(self):
        self.rate = 2.0


class Scale(nn.Module):
    factor = 2.0

    def __init__(self):
        self.rate = 2.0
        self.scales = [2.0, 1.0]
        self.skip = False

    def forward(self, x):
        y = x * self.rate * self.scales[0] * self.factor
        return y + x if self.skip else y


def scaled_by(rate):
    return lambda x: x * rate


def helper(x):
    return x * RATE


def with_default(x, rate=2.0, *, other=[2.0]):  # noqa: B006
    return x * rate * other[0]


def global_number():
    def change():
        global RATE
        RATE = 5.0

    return lambda x: x * RATE, change


def global_in_a_helper():
    def change():
        global RATE
        RATE = 7.0

    return lambda x: helper(x) + helper(x), change


def cell():
    rate = 2.0

    def step(x):
        return x * rate

    def change():
        nonlocal rate
        rate = 5.0

    return step, change


def of(holder, change, read):
    return lambda: (lambda x: x * read(holder), lambda: change(holder))


def instance(make):
    def made():
        config = make()
        return lambda x: x * config.rate, lambda: setattr(config, "rate", 5.0)

    return made


def entry(make, key):
    def made():
        holder = make()

        def change():
            holder[key] = 5.0

        return lambda x: x * holder[key], change

    return made


def user_module():
    config = types.ModuleType("config_of_a_test")
    config.rate = 2.0
    return lambda x: x * config.rate, lambda: setattr(config, "rate", 5.0)


def shadowed():
    config = Config()
    return lambda x: x * config.rate, lambda: setattr(config, "rate", 5.0)


def class_attribute():
    class Own:
        rate = 2.0

    own = Own()
    return lambda x: x * own.rate + Own.rate, lambda: setattr(Own, "rate", 5.0)


def nested():
    settings = Settings()
    return lambda x: x * settings.inner["rate"], lambda: settings.inner.update(rate=5.0)


def defaults():
    def change():
        with_default.__defaults__ = (5.0,)

    with_default.__defaults__ = (2.0,)
    return lambda x: with_default(x), change


def default_list():
    with_default.__kwdefaults__ = {"other": [2.0]}
    return lambda x: with_default(x), lambda: with_default.__kwdefaults__["other"].__setitem__(0, 5.0)


def function_attribute():
    def step(x):
        return x * step.rate

    step.rate = 2.0
    return step, lambda: setattr(step, "rate", 5.0)


def another_helper():
    inner = scaled_by(2.0)

    def change():
        nonlocal inner
        inner = scaled_by(5.0)

    return lambda x: inner(x), change


def partial():
    settings = {"y": [2.0]}
    function = functools.partial(lambda x, y: x * y[0], **settings)
    return function, lambda: settings["y"].__setitem__(0, 5.0)


def inner_partial():
    function = functools.partial(lambda x, y: x * y, y=2.0)
    return lambda x: function(x), lambda: function.keywords.update(y=5.0)


def method():
    class Own:
        def __init__(self):
            self.rate = 2.0

        def scaled(self, x):
            return x * self.rate

        def __call__(self, x):
            return self.scaled(x) * self.rate

    own = Own()
    return own, lambda: setattr(own, "rate", 5.0)


def bound_method():
    step, change = method()
    return step.scaled, change


def new_method():
    class Own:
        def scaled(self, x):
            return x * 2.0

    own = Own()
    return lambda x: own.scaled(x), lambda: setattr(Own, "scaled", lambda self, x: x * 5.0)


def by_name():
    config = Config()
    return lambda x: x * getattr(config, "rate"), lambda: setattr(config, "rate", 5.0)  # noqa: B009


def grown_list():
    scales = [2.0]
    return lambda x: sum(x * s for s in scales), lambda: scales.append(5.0)


def written_array():
    scales = np.array([2.0, 3.0])
    return lambda x: x * float(scales[0]), lambda: scales.__setitem__(0, 5.0)


def another_array():
    scales = np.full(3, 2.0, np.float32)

    def change():
        nonlocal scales
        scales = np.full(3, 5.0, np.float32)

    return lambda x: x * scales, change


def another_tensor():
    w = tg.Tensor([2.0])

    def change():
        nonlocal w
        w = tg.Tensor([5.0])

    return lambda x: x * w, change


def long_list():
    scales = [float(k + 2) for k in range(100)]
    return lambda x: x * scales[50], lambda: scales.__setitem__(50, 5.0)


def tuple_in_a_dict():
    scales = {"pair": (1.0, 2.0)}
    return lambda x: x * scales["pair"][1], lambda: scales.update(pair=(1.0, 5.0))


def names():
    chosen = {"a"}
    return lambda x: x * (5.0 if "b" in chosen else 2.0), lambda: chosen.add("b")


def compiled_inside():
    rate = 2.0

    def change():
        nonlocal rate
        rate = 5.0

    inner = tg.compile(lambda x: x * rate)
    return lambda x: inner(x), change


def module(change):
    def made():
        layer = Scale()
        return lambda x: layer(x), lambda: change(layer)

    return made


def module_itself():
    layer = Scale()
    return layer, lambda: setattr(layer, "rate", 5.0)


CHANGES = {
    "a global": global_number,
    "a helper's global": global_in_a_helper,
    "a cell": cell,
    "a class": class_attribute,
    "shadowed": shadowed,
    "a dataclass": instance(Settings),
    "a namespace": instance(lambda: types.SimpleNamespace(rate=2.0)),
    "slots": instance(Slotted),
    "a module of Python": user_module,
    "a dict": entry(lambda: {"rate": 2.0}, "rate"),
    "a list": entry(lambda: [1.0, 2.0], 1),
    "nested": nested,
    "defaults": defaults,
    "a default's list": default_list,
    "an attribute of the function": function_attribute,
    "another helper": another_helper,
    "a partial's list": partial,
    "a partial's keyword": inner_partial,
    "a callable object": method,
    "a bound method": bound_method,
    "a method": new_method,
    "getattr": by_name,
    "a longer list": grown_list,
    "a long list": long_list,
    "a tuple in a dict": tuple_in_a_dict,
    "a written array": written_array,
    "another array": another_array,
    "another tensor": another_tensor,
    "a set": names,
    "a compiled function inside": compiled_inside,
    "a module's number": module(lambda layer: setattr(layer, "rate", 5.0)),
    "a module's flag": module(lambda layer: setattr(layer, "skip", True)),
    "a module's list": module(lambda layer: layer.scales.__setitem__(0, 5.0)),
    "a module's class": module(lambda layer: setattr(layer, "factor", 5.0)),
    "a deleted attribute": module(lambda layer: (setattr(layer, "factor", 5.0), delattr(layer, "skip"))[:0]),
    "the module itself": module_itself,
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("calls", [1, 2, 3, 6])
def test_what_changes_is_noticed_at_once(what, calls):
    if what == "a deleted attribute":
        Scale.skip = False
    try:
        function, change = CHANGES[what]()
        compiled = tg.compile(function)
        for _ in range(calls):
            close(compiled(X).data, function(tg.Tensor(X)).data)
        replays = compiled.replays
        assert replays == max(calls - 2, 0)
        before = function(tg.Tensor(X)).data
        change()
        assert not np.array_equal(function(tg.Tensor(X)).data, before)
        for _ in range(5):
            close(compiled(X).data, function(tg.Tensor(X)).data)
        assert compiled.replays == replays + 3
    finally:
        global RATE
        RATE = 2.0
        if "skip" in vars(Scale):
            del Scale.skip


def setting(name, value):
    return lambda model, optimizer: optimizer.groups[0].settings.__setitem__(name, value)


LATER = {
    "momentum": ("momentum", setting("momentum", 0.5)),
    "weight decay": ("momentum", setting("weight_decay", 0.3)),
    "nesterov": ("momentum", setting("nesterov", True)),
    "betas": ("adam", setting("betas", (0.5, 0.6))),
    "eps": ("adam", setting("eps", 0.1)),
    "settings": ("adam", lambda m, o: setattr(o.groups[0], "settings", o.groups[0].settings | {"eps": 0.1})),
    "fewer parameters": ("adam", lambda m, o: o.groups[0].params.pop()),
    "dropout": ("momentum", lambda m, o: setattr(m[1], "rate", 0.9)),
    "another layer": ("adam", lambda m, o: setattr(m, "1", nn.Tanh())),
    "a frozen layer": ("adam", lambda m, o: setattr(m[0].weight, "requires_grad", False)),
    "another weight": ("momentum", lambda m, o: setattr(m[2], "bias", nn.Parameter(np.ones(10, np.float32)))),
    "a layer more": ("momentum", lambda m, o: m.append(nn.ReLU())),
    "a mode": ("momentum", lambda m, o: m[1].eval()),
}
OPTIMIZERS = {
    "momentum": lambda p: nn.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: nn.optim.Adam(p, 0.01),
}


@pytest.mark.parametrize("what", LATER)
def test_a_training_step_notices_what_is_set_later(what, rng):
    name, change = LATER[what]

    def make():
        model = nn.Sequential(nn.Linear(12, 16, rng=0), nn.Dropout(0.5, rng=5), nn.Linear(16, 10, rng=1))
        optimizer = OPTIMIZERS[name](model.parameters())
        return model, optimizer, *training(model, optimizer)

    (model, optimizer, plain, state), (other, other_optimizer, step, replayed) = make(), make()
    compiled = tg.compile(step)
    for k, (x, t) in enumerate(batches(rng, 12, (8, 12))):
        if k == 6:
            change(model, optimizer)
            change(other, other_optimizer)
        close(compiled(x, t).data, plain(x, t).data)
        for a, b in zip(replayed, state, strict=True):
            close(a.data, b.data)
    assert compiled.replays >= 4 + 3


def test_a_new_optimizer_takes_the_place_of_the_old(rng):
    class Trainer:
        def __init__(self):
            self.model = mlp()
            self.optimizer = nn.optim.SGD(self.model.parameters(), 0.1)

        def step(self, x, t):
            self.optimizer.zero_grad()
            loss = nn.cross_entropy(self.model(x), t)
            loss.backward()
            self.optimizer.step()
            return loss

    plain, replayed = Trainer(), Trainer()
    compiled = tg.compile(replayed.step)
    for k, (x, t) in enumerate(batches(rng, 18, (8, 12))):
        if k == 6:
            for trainer in (plain, replayed):
                trainer.optimizer = nn.optim.Adam(trainer.model.parameters(), 0.01)
        if k == 12:
            for trainer in (plain, replayed):
                trainer.model = mlp(rng=3)
                trainer.optimizer = nn.optim.SGD(trainer.model.parameters(), 0.1)
        close(compiled(x, t).data, plain.step(x, t).data)
    assert compiled.replays == 12 and compiled.recordings == 6


def test_what_the_step_does_not_read_may_change():
    class Trainer:
        def __init__(self):
            self.rate, self.epoch, self.history = 2.0, 0, []

        def step(self, x):
            return x * self.rate

        def run(self, compiled):
            for _ in range(10):
                self.epoch += 1
                self.history.append(compiled(X))

    trainer = Trainer()
    compiled = tg.compile(trainer.step)
    trainer.run(compiled)
    assert compiled.recordings == 2 and compiled.replays == 8


def test_a_rule_of_a_users_primitive_may_depend_on_numbers(registry):
    slope = {"factor": 2.0}

    @tg.primitive
    def bend(x):
        return x * slope["factor"]

    bend.vjp(x=lambda g: g * slope["factor"])
    w = tg.Tensor(X, requires_grad=True)

    @tg.compile
    def step(x):
        w.grad = None
        y = bend(w * x)
        y.sum().backward()
        return y

    for k in range(10):
        slope["factor"] = 2.0 + k // 5
        close(step(X).data, X * X * slope["factor"])
        close(w.grad.data, X * slope["factor"])
    assert step.replays == 6


def test_a_counter_named_as_a_method_that_the_step_calls_may_change():
    class Trainer:
        def __init__(self):
            self.model = mlp()
            self.optimizer = nn.optim.SGD(self.model.parameters(), 0.1)
            self.step, self.backward, self.append = 0, 0.0, "a"

        def train(self, x, t):
            self.optimizer.zero_grad()
            loss = nn.cross_entropy(self.model(x), t)
            loss.backward()
            self.optimizer.step()
            return loss

    trainer = Trainer()
    compiled = tg.compile(trainer.train)
    for k in range(8):
        trainer.step, trainer.backward = k, k / 2
        compiled(np.ones((2, 12), np.float32), np.array([0, 1]))
    assert compiled.replays == 6


def test_a_list_of_a_module_that_the_step_does_not_read_may_grow():
    model = mlp()
    model.losses, model.log = [], {"best": 0.0}
    compiled = tg.compile(lambda x: model(x).sum())
    for k in range(8):
        model.losses.append(compiled(np.ones((2, 12), np.float32)).item())
        model.log[k] = k
    assert compiled.replays == 6


def test_setting_the_learning_rate_is_no_change_of_a_setting():
    optimizer = nn.optim.SGD([tg.Tensor(X, requires_grad=True)], 0.1)
    before = tg.state.changes.latest
    optimizer.lr = 0.01
    optimizer.groups[0].lr = 0.02
    assert tg.state.changes.latest is before
    optimizer.groups[0].settings = dict(optimizer.groups[0].settings)
    assert tg.state.changes.latest is not before


def test_two_objects_among_the_arguments():
    one, other = Scale(), Scale()
    compiled = tg.compile(lambda x, parts: parts[0](x) + parts[1](x))
    for k in range(12):
        one.rate, other.rate = 1.0 + k // 4, 5.0 + k // 8
        close(compiled(X, [one, other]).data, (one(tg.Tensor(X)) + other(tg.Tensor(X))).data)
    assert compiled.replays == 6


def test_a_value_set_to_what_it_was_is_no_change():
    layer = Scale()
    compiled = tg.compile(layer)
    for k in range(8):
        layer.rate = float("2.0")
        layer.scales[1] = float(str(k % 1 + 1))
        compiled(X)
    assert compiled.replays == 6


def test_two_values_by_turns_are_both_replayed():
    layer = Scale()
    compiled = tg.compile(layer)
    for k in range(12):
        layer.rate = (2.0, 3.0)[k % 2]
        close(compiled(X).data, layer(tg.Tensor(X)).data)
    assert compiled.replays == 8


def test_the_latest_of_several_kinds_is_found_first():
    layer = Scale()
    compiled = tg.compile(layer)
    for k in range(12):
        layer.rate = 1.0 + k // 4
        compiled(X)
    (kinds,) = compiled._kinds.values()
    assert [kind.runs for kind in kinds] == [2, 2, 2] and kinds[0].guard.holds() and not kinds[1].guard.holds()


class Counting(nn.Module):
    def __init__(self):
        self.calls, self.last, self.seen = 0, None, []

    def forward(self, x):
        self.calls += 1
        self.last = x * 2.0
        self.seen.append(self.calls)
        return self.last + 1.0


def test_what_the_function_changes_itself_is_told_once_and_replays():
    model = Counting()
    compiled = tg.compile(lambda x: model(x))
    compiled(X)
    with pytest.warns(RuntimeWarning, match=r"each call changes .*model\.calls.* a replay, .* does not"):
        compiled(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(15):
            close(compiled(X).data, X * 2 + 1)
    assert compiled.replays == 15 and compiled.recordings == 2


def test_what_is_filled_at_the_first_call_is_no_change():
    class Lazy(nn.Module):
        weight = None

        def forward(self, x):
            if self.weight is None:
                self.weight = nn.Parameter(np.full(3, 2.0, np.float32))
            return self.weight * x

    model = Lazy()
    compiled = tg.compile(model)
    for _ in range(5):
        close(compiled(X).data, 2 * X)
    assert compiled.replays == 3


def test_a_number_that_differs_at_each_call_is_told_once_and_runs_as_it_is():
    config = types.SimpleNamespace(temperature=1.0)

    def step(x):
        return x * config.temperature

    compiled = tg.compile(step)
    with pytest.warns(RuntimeWarning, match=r"step is not replayed: config\.temperature changed") as told:
        for k in range(60):
            config.temperature = 1.0 + k
            close(compiled(X).data, X * (1.0 + k))
    assert len(told) == 1 and compiled.replays == 0
    assert compiled.recordings < 12
    with pytest.raises(tg.ReplayError, match=r"config\.temperature changed"):
        compiled.plan()
    for _ in range(64):
        close(compiled(X).data, X * 60)
    assert compiled.replays > 0


def test_what_cannot_be_seen_is_caught_at_the_tenth_and_the_hundredth_replay():
    for late in (9, 50):
        calls = itertools.count()
        values = (1.0 if k < late else 2.0 for k in calls)

        def step(x, values=values):
            return x * next(values)

        compiled = tg.compile(step)
        with pytest.raises(
            tg.ReplayError,
            match=r"(?s)came to something else than the step itself.*number 1\.0 and then 2\.0.*x \* next\(values\)",
        ):
            for _ in range(2000):
                compiled(X)
                for _ in range(late // 3):
                    next(values)
        assert compiled.replays in (9, 99)
        close(compiled(X).data, X * 2)


def test_checks_are_few():
    calls = itertools.count()
    compiled = tg.compile(lambda x: x * min(next(calls), 0))
    for _ in range(1003):
        compiled(X)
    assert next(calls) == 2 + 4  # replays 1, 10, 100 and 1,000
    compiled.check(every=0)
    for _ in range(10_000):
        compiled(X)
    assert next(calls) == 7


def instances():
    class Plain:
        @tg.compile
        def step(self, x):
            return x * self.rate

    class Layer(nn.Module):
        @tg.compile
        def forward(self, x):
            return x * self.rate

        def step(self, x):
            return self(x)

    @dataclass
    class Equal:
        rate: float = 1.0

        @tg.compile
        def step(self, x):
            return x * self.rate

    class Slots:
        __slots__ = ("__weakref__", "rate")

        @tg.compile
        def step(self, x):
            return x * self.rate

    class Round(Plain):
        def __init__(self):
            self.me = self

    return [Plain, Layer, Equal, Slots, Round]


@pytest.mark.parametrize("cls", instances(), ids=lambda cls: cls.__name__)
def test_a_compiled_method_keeps_no_instance_alive(cls):
    gone = []
    for rate in (2.0, 3.0):
        one = cls()
        one.rate = rate
        for _ in range(5):
            close(one.step(X).data, X * rate)
        one.rate = 7.0
        close(one.step(X).data, X * 7)
        gone.append(weakref.ref(one))
        del one
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_a_compiled_method_replays_for_each_instance():
    cls = instances()[0]
    one, other = cls(), cls()
    one.rate, other.rate = 2.0, 3.0
    for _ in range(5):
        close(one.step(X).data, X * 2)
        close(other.step(X).data, X * 3)
    assert one.step.replays == other.step.replays == 3 and cls.step.replays == 0


def test_looking_costs_little_where_there_are_many_layers():
    """The number of Python objects looked at before a replay does not grow with the number of layers."""
    model = nn.Sequential(*[nn.Linear(3, 3, rng=k) for k in range(40)])
    compiled = tg.compile(lambda x: model(x))
    for _ in range(4):
        compiled(X[None])
    guard = compiled._latest.guard
    assert sum(len(columns[0]) for columns in (guard._near._items, guard._near._attributes)) < 10
    assert sys.getsizeof(guard._near._lengths) < 500
