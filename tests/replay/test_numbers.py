"""Numbers among the arguments of a compiled function: replayed whatever they are, where primitives compute with them."""

from __future__ import annotations

import math
import warnings
from enum import Enum, IntEnum

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .helpers import agree, batches, close, mlp

X = np.array([0.5, 1.0, 3.0], np.float32)

ARITHMETIC = {
    "times": lambda x, n: x * n,
    "reflected": lambda x, n: n - x,
    "divided": lambda x, n: n / (x + n),
    "of numbers": lambda x, n: x * (1 - 0.5 * n),
    "a power of numbers": lambda x, n: x * 0.9**n,
    "a correction": lambda x, n: x / (1 - 0.9 ** (n + 1)),
    "negative": lambda x, n: x + -n,
    "absolute": lambda x, n: x + abs(-n),
    "floor": lambda x, n: x * (n // 2) + n % 3,
    "NumPy's function": lambda x, n: x * np.sqrt(n + 2),
    "with NumPy's number": lambda x, n: x * (np.float32(0.1) * n) + np.float64(0.1) * n,
    "compared": lambda x, n: tg.where(x > n, x, n),
    "chosen": lambda x, n: tg.where(x > 1.0, n, 0.5),
    "both": lambda x, n: tg.where(x > 1.0, n, n + 1),
    "the exponent": lambda x, n: x**n,
    "maximum": lambda x, n: tg.maximum(x, n),
    "alone": lambda x, n: tg.exp(n * 0.1) * x,
    "a tensor": lambda x, n: tg.Tensor(n) * x,
    "a tensor of doubles": lambda x, n: tg.Tensor(n, dtype=np.float64) * x,
    "a list": lambda x, n: x * [n, 2.0, n + 1],
    "a tensor of a list": lambda x, n: tg.Tensor([[n, 1], [2.0, n]]).sum() * x,
    "passed on": lambda x, n: tg.compile(lambda y: y * n)(x),
}
KINDS = {
    "float": [0.5, 1.0, 2.5, 2.5, 0.25, 3.0, 7.125],
    "int": [1, 2, 3, 4, 5, 6, 7],
    "float64": [np.float64(v) for v in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)],
    "float32": [np.float32(v) for v in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)],
    "an array without axes": [np.array(v) for v in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)],
    "int64": [np.int64(v) for v in (1, 2, 3, 4, 5, 6)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64])
@pytest.mark.parametrize("how", ARITHMETIC)
def test_a_number_that_differs_at_each_call_replays(how, dtype, kind):
    step = ARITHMETIC[how]
    compiled = tg.compile(step)
    x = (X * 2 if dtype is np.int64 else X / 2).astype(dtype)
    for n in KINDS[kind]:
        expected, found = step(tg.Tensor(x), n), compiled(x, n)
        close(found.data, expected.data)
    assert compiled.recordings == 2 and compiled.replays == len(KINDS[kind]) - 2


@pytest.mark.parametrize("how", [how for how in ARITHMETIC if how not in ("chosen", "both", "passed on")])
def test_gradients_through_arithmetic_with_numbers_replay(how):
    def make():
        w = tg.Tensor(X, requires_grad=True)

        def step(x, n):
            w.grad = None
            y = ARITHMETIC[how](w * x, n)
            y.sum().backward()
            return y.detach()

        return step, [w]

    agree(make, [(X, n) for n in KINDS["float"]])


def test_a_learning_rate_among_the_arguments_replays(rng):
    def make():
        model = mlp()
        optimizer = nn.optim.Adam(model.parameters(), 0.1)

        def step(x, t, lr, decay):
            optimizer.lr = lr * 0.5
            optimizer.zero_grad()
            loss = nn.cross_entropy(model(x), t) + decay * sum((p * p).sum() for p in model.parameters())
            loss.backward()
            optimizer.step()
            return loss

        return step, [*model.parameters(), optimizer.groups[0].rate]

    calls = [(x, t, 0.1 / (k + 1), np.float32(0.01 * k)) for k, (x, t) in enumerate(batches(rng, 9, (8, 12)))]
    compiled = agree(make, calls)
    assert compiled.recordings == 2
    with pytest.raises(ValueError, match="the learning rate must be a number of at least 0, not -1"):
        compiled(*calls[0][:2], -2.0, np.float32(0.1))


def test_an_update_written_by_hand_replays():
    def make():
        w = tg.Tensor(X, requires_grad=True)

        def step(x, lr):
            w.grad = None
            loss = ((w * x) ** 2).sum()
            loss.backward()
            tg.assign(w, w.detach() - lr * w.grad)
            return loss

        return step, [w]

    assert agree(make, [(X, 0.01 * k) for k in range(8)]).recordings == 2


def test_containers_of_numbers_replay():
    def step(x, weights, *, bias):
        return (x * weights[0] + weights[1]["b"]) * bias

    compiled = tg.compile(step)
    for k in range(8):
        given = [0.5 * k, {"b": k + 1}]
        close(compiled(X, given, bias=k / 3).data, step(tg.Tensor(X), given, bias=k / 3).data)
    assert compiled.recordings == 2


def test_labels_in_a_list_replay(rng):
    compiled = tg.compile(lambda x, t: nn.cross_entropy(x, t))
    x = rng.random((4, 5), dtype=np.float32)
    for _ in range(8):
        t = [int(k) for k in rng.integers(0, 5, 4)]
        close(compiled(x, t).data, nn.cross_entropy(tg.Tensor(x), t).data)
    assert compiled.recordings == 2
    with pytest.raises(ValueError, match="label"):
        compiled(x, [0, 1, 2, 9])


def test_numbers_that_are_returned_replay():
    compiled = tg.compile(lambda x, n: (x * n, n, {"next": n + 1, "list": [n]}))
    for k in range(7):
        y, n, more = compiled(X, k)
        close(y.data, X * k)
        assert type(n) is int and n == k and more == {"next": k + 1, "list": [k]} and type(more["next"]) is int
    assert compiled.replays == 5


def test_a_number_that_is_stored_is_the_number_itself():
    drop = nn.Dropout(0.1, rng=0)
    kept = {"list": [0.0]}

    @tg.compile
    def step(x, rate):
        drop.rate = kept["rate"] = kept["list"][0] = rate
        return x * rate

    step(X, 0.5)
    drop.rate = 0.1
    with pytest.warns(RuntimeWarning, match=r"each call changes drop\.rate"):
        step(X, 0.5)
    assert type(drop.rate) is float and drop.rate == 0.5
    assert type(kept["list"][0]) is float and type(kept["rate"]) is float


class Mode(Enum):
    A = 1
    B = 2


class Level(IntEnum):
    A = 1
    B = 2


READ = {
    "a shape": lambda x, n: tg.broadcast_to(x, (n, 3)),
    "an axis": lambda x, n: x.reshape(3, 1).sum(axis=n % 2),
    "an index": lambda x, n: x[n % 3],
    "a slice": lambda x, n: x[: n % 3],
    "a loop": lambda x, n: sum(x * k for k in range(n)),
    "a branch": lambda x, n: x * 2.0 if n > 2 else x,
    "truth": lambda x, n: x * 2.0 if n % 2 else x,
    "an attribute": lambda x, n: tg.clip(x, n * 0.2, 9.0),
    "math": lambda x, n: x * math.exp(-n),
    "text": lambda x, n: x * float(f"{n}.5"),
    "an array": lambda x, n: x * np.array([n, n, n], np.float32),
    "NumPy's array": lambda x, n: x * np.add(np.ones(3, np.float32), n),
    "a key": lambda x, n: x * {k: k / 2 for k in range(99)}[n],
    "the least": lambda x, n: x * min(n, 3),
    "rounded": lambda x, n: x * round(n * 0.3),
    "a method": lambda x, n: x * (n * 1.0).is_integer(),
}


@pytest.mark.parametrize("how", READ)
def test_a_number_that_python_code_reads_is_a_setting(how):
    step = READ[how]
    compiled = tg.compile(step)
    for n in [1, 1, 1, 1, 2, 2, 2, 4, 4, 1, 2, 4, 5]:
        close(compiled(X, n).data, step(tg.Tensor(X), n).data)
    assert compiled.replays == 2 + 1 + 0 + 3 and compiled.recordings == 7


@pytest.mark.parametrize("how", READ)
def test_a_number_that_differs_and_is_read_is_told_once(how):
    step = READ[how]
    compiled = tg.compile(step)
    with pytest.warns(RuntimeWarning, match=r"(?s)is not replayed: its argument n differs .*test_numbers\.py") as told:
        for n in range(1, 41):
            close(compiled(X, n).data, step(tg.Tensor(X), n).data)
    assert len(told) == 1 and compiled.recordings < 12
    with pytest.raises(tg.ReplayError, match="its argument n differs"):
        compiled.plan()


def test_one_number_is_read_and_another_differs():
    compiled = tg.compile(lambda x, n, axis: (x * n).reshape(1, 3).sum(axis))
    for k in range(12):
        close(compiled(X, 0.5 * k, k // 6).data, (X * np.float32(0.5 * k)).reshape(1, 3).sum(k // 6))
    assert compiled.recordings == 4 and compiled.replays == 8


def test_settings_stay_settings():
    def step(x, flag, name, mode, level, none):
        return x * (2.0 if flag else 3.0) * len(name) * mode.value * int(level)

    compiled = tg.compile(step)
    for k in range(16):
        given = (k % 2 == 0, "ab" if k % 4 < 2 else "c", Mode.A, Level.B, None)
        close(compiled(X, *given).data, step(tg.Tensor(X), *given).data)
    assert compiled.recordings == 8 and compiled.replays == 8


def test_ints_floats_and_the_sign_of_zero():
    x = tg.Tensor(np.arange(3))
    compiled = tg.compile(lambda x, n: x / n if isinstance(n, float) else x * n)
    with np.errstate(all="ignore"):
        for n in [2, 2.0, 3, 3.0, 0.0, -0.0, 4, 5, math.inf, math.nan]:
            found, expected = compiled(x, n), x / n if isinstance(n, float) else x * n
            assert found.dtype == expected.dtype and found.data.tobytes() == expected.data.tobytes()
    assert compiled.replays == 6


def test_a_number_out_of_range_is_refused_as_eagerly():
    compiled = tg.compile(lambda x, n: x + n)
    x = np.zeros(3, np.uint8)
    for n in range(4):
        compiled(x, n)
    with pytest.raises(OverflowError):
        compiled(x, 300)
    compiled = tg.compile(lambda x, n: x * (1 / n))
    for n in range(1, 5):
        compiled(X, n)
    with pytest.raises(ZeroDivisionError):
        compiled(X, 0)


def test_a_check_compares_with_the_number_of_its_call():
    compiled = tg.compile(lambda x, n: x * n).check(every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(12):
            close(compiled(X, 0.1 * k).data, X * np.float32(0.1 * k))
    assert compiled.replays == 10


# -- gradients inside of a step ----------------------------------------------------------------------------------------


def penalty_by_grad(w, x):
    slope = tg.grad(lambda x: (tg.tanh(x @ w) ** 2).sum())(x)
    return ((slope * slope).sum() - 1.0) ** 2


def penalty_by_backward(w, x):
    x = tg.Tensor(x, requires_grad=True)
    (tg.tanh(x @ w) ** 2).sum().backward(create_graph=True)
    w.grad = None
    return (x.grad * x.grad).sum()


def penalty_by_vjp(w, x):
    y, pullback = tg.vjp(lambda x: tg.tanh(x @ w), x)
    (slope,) = pullback(tg.Tensor(np.ones(y.shape, y.dtype)))
    return (slope * slope).sum()


def penalty_of_a_detached(w, x):
    x = tg.multiply(x, 2.0).detach()
    x.requires_grad = True
    (tg.tanh(x @ w) ** 2).sum().backward(create_graph=True)
    w.grad = None
    return (x.grad * x.grad).sum()


@pytest.mark.parametrize("penalty", [penalty_by_grad, penalty_by_backward, penalty_by_vjp, penalty_of_a_detached])
def test_a_gradient_penalty_replays(penalty, rng):
    start = rng.standard_normal((3, 4)).astype(np.float32)

    def make():
        w = tg.Tensor(start, requires_grad=True)
        optimizer = nn.optim.SGD([w], 0.01, momentum=0.9)

        def step(x):
            optimizer.zero_grad()
            loss = (tg.tanh(x @ w) ** 2).sum() + 0.1 * penalty(w, x)
            loss.backward()
            optimizer.step()
            return loss

        return step, [w]

    compiled = agree(make, [(rng.standard_normal((5, 3)).astype(np.float32),) for _ in range(8)], 1e-4)
    assert compiled.recordings == 2 and compiled.replays == 6


def test_a_saliency_map_replays(rng):
    model = mlp()

    @tg.compile
    def saliency(x):
        x = tg.Tensor(x, requires_grad=True)
        model(x).max(axis=1).sum().backward()
        model.zero_grad()
        return x.grad

    for _ in range(6):
        x = rng.random((4, 12), dtype=np.float32)
        expected = tg.grad(lambda x: model(x).max(axis=1).sum())(x)
        close(saliency(x).data, expected.data)
    assert saliency.replays == 4
