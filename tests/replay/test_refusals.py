"""What a replay could not repeat is refused, and the message names the line."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

import nn
import tensorgrad as tg

X = np.ones((2, 3), np.float32)


def refused(step, *arguments, calls=1):
    """The message with which one of the calls is refused."""
    compiled = tg.compile(step)
    with pytest.raises(tg.ReplayError) as caught:
        for _ in range(calls):
            compiled(*arguments)
    return str(caught.value)


READS = {
    "item()": lambda x: x.sum().item(),
    "numpy()": lambda x: x.numpy(),
    ".data": lambda x: x.data,
    "float()": lambda x: float(x.sum()),
    "if": lambda x: 1 if x.sum() else 2,
    "np.asarray()": lambda x: np.asarray(x),
    "int()": lambda x: int(x.sum()),
    "another dtype": lambda x: tg.Tensor(x, dtype=np.float64),
}


@pytest.mark.parametrize("how", READS)
def test_reading_a_value(how):
    def step(x):
        y = x * 2.0
        READS[how](y)
        return y

    message = refused(step, X)
    assert "is read with" in message and "test_refusals.py" in message


def test_the_line_is_named():
    def step(x):
        y = x * 2.0
        if y.sum() > 3:  # this very line
            return y
        return x

    assert "if y.sum() > 3:  # this very line" in refused(step, X)


def test_setting_data():
    w = tg.Tensor(X)

    def step(x):
        w.data = np.zeros_like(X)
        return w * x

    message = refused(step, X)
    assert "tg.assign" in message and "w.data = np.zeros_like(X)" in message
    assert np.array_equal(w.data, X)


ON_ARGUMENTS = {
    "backward": lambda x, w: (x * w).sum().backward(),
    "read": lambda x, w: x.grad,
    "clear": lambda x, w: setattr(x, "grad", None),
    "assign": lambda x, w: tg.assign(x, w),
}


@pytest.mark.parametrize("how", ON_ARGUMENTS)
@pytest.mark.parametrize("given", ["a leaf", "a result", "a parameter of the step"])
def test_what_would_have_to_reach_the_callers_tensor(how, given):
    w = tg.Tensor(X, requires_grad=True)
    x = {"a leaf": tg.Tensor(X, requires_grad=True), "a result": w * 1.0, "a parameter of the step": w}[given]

    def step(x):
        ON_ARGUMENTS[how](x, w)
        return x * 2.0

    message = refused(step, x)
    assert "would not reach the caller's tensor" in message and f'"{how}": lambda x, w:' in message


def test_raw_random_numbers():
    rng = np.random.default_rng(0)

    def step(x):
        return x * rng.random((2, 3), dtype=np.float32)

    message = refused(step, X, calls=2)
    assert "changed between its first two calls" in message and "return x * rng.random((2, 3), dtype=np.float32)" in message


def test_a_python_counter():
    counter = itertools.count(1)

    def step(x):
        return x * float(next(counter))

    message = refused(step, X, calls=2)
    assert "1.0 and then 2.0" in message and "return x * float(next(counter))" in message


def test_a_counter_that_decides_what_runs():
    counter = itertools.count()

    def step(x):
        return tg.exp(x) if next(counter) else tg.sin(x)

    assert "sin at its first call where it ran exp" in refused(step, X, calls=2)


def test_a_list_that_grows():
    kept = []

    def step(x):
        kept.append(x * 2.0)
        return sum(kept)

    assert "return sum(kept)" in refused(step, X, calls=2)


def test_a_loop_that_grows_longer():
    count = itertools.count(1)

    def step(x):
        for _ in range(next(count)):
            x = x * 2.0
        return x

    assert "ran 1 primitives at its first call and 2 at its second" in refused(step, X, calls=2)


def test_a_tensor_from_the_call_before():
    state = {"h": tg.Tensor(np.zeros((2, 3), np.float32))}

    def step(x):
        state["h"] = tg.tanh(state["h"] + x)
        return state["h"]

    assert "changed between its first two calls" in refused(step, X, calls=2)


def test_a_counter_that_is_returned():
    counter = itertools.count(1)
    message = refused(lambda x: (x * 2.0, {"calls": next(counter)}), X, calls=2)
    assert "returned (a tensor, {'calls': 1}) at one call and (a tensor, {'calls': 2}) at another" in message


def test_a_counter_that_is_returned_and_changes_after_the_recording():
    counter = itertools.count()
    assert "(a tensor, 1)" in refused(lambda x: (x * 2.0, next(counter) // 2), X, calls=3)


@dataclasses.dataclass
class Output:
    loss: tg.Tensor


@dataclasses.dataclass(frozen=True)
class FrozenOutput:
    loss: tg.Tensor


@pytest.mark.parametrize("container", [Output, FrozenOutput, lambda loss: {loss}, lambda loss: iter([loss])])
def test_tensors_in_an_object_that_is_returned(container):
    message = refused(lambda x: container((x * 2.0).sum()), X, calls=2)  # where all losses are equal
    assert "puts new tensors into tuples, lists and dicts" in message


def test_an_argument_that_cannot_be_told_from_others():
    with pytest.raises(TypeError, match="settings that can be told apart by their hash; this set has none"):
        tg.compile(lambda x, names: x)(X, {"a"})


def test_state_that_changes_after_the_recording_is_found_at_the_first_replay():
    counter = itertools.count()

    def step(x):
        return x * (1.0 if next(counter) < 2 else 5.0)

    compiled = tg.compile(step)
    compiled(X)
    compiled(X)
    with pytest.raises(tg.ReplayError, match="came to something else"):
        compiled(X)


def test_state_that_changes_late_is_found_by_a_check():
    scales = iter([1.0] * 3 + [2.0] * 9)
    compiled = tg.compile(lambda x: x * next(scales)).check(every=5)
    for _ in range(6):
        compiled(X)
    with pytest.raises(tg.ReplayError, match="came to something else"):
        compiled(X)
    assert compiled(X).data.tolist() == (X * 2).tolist()  # recorded anew


def test_a_check_leaves_state_as_the_step_itself_would():
    def make():
        model = nn.Sequential(nn.Linear(3, 8, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=1), nn.Linear(8, 2, rng=2))
        optimizer = nn.optim.Adam(model.parameters(), 0.01)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        return step, model

    (step, model), (plain, other) = make(), make()
    compiled = tg.compile(step).check(every=2)
    for _ in range(9):
        assert compiled(X).item() == pytest.approx(plain(tg.Tensor(X)).item(), rel=1e-5)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert a.data == pytest.approx(b.data, rel=1e-4, abs=1e-6)
        assert a.version == b.version


def test_a_change_of_mode_is_noticed():
    model = nn.Sequential(nn.Linear(3, 64, rng=0), nn.Dropout(0.5, rng=1))
    compiled = tg.compile(lambda x: model(x))
    for _ in range(4):
        assert (compiled(X).data == 0).any()
    model.eval()
    for _ in range(4):
        assert not (compiled(X).data == 0).any()
    model.train()
    assert (compiled(X).data == 0).any()


@pytest.mark.parametrize("chosen", [[4], [1, 2], [0, 1, 2, 3]])
def test_a_shape_that_depends_on_values(chosen):
    compiled = tg.compile(lambda x, mask: x[mask] * 2.0)
    x = np.arange(6.0)
    for first in range(4):
        mask = np.roll([True, False, True, True, False, False], first)
        assert compiled(x, mask).data.tolist() == (2 * x[mask]).tolist()
    with pytest.raises(tg.ReplayError, match=rf"getitem made an array of shape \({len(chosen)},\).*\n.*test_refusals.py"):
        compiled(x, np.isin(np.arange(6), chosen))


def test_labels_out_of_range_are_still_refused_in_a_replay():
    compiled = tg.compile(lambda x, t: nn.cross_entropy(x, t))
    for _ in range(4):
        compiled(X, np.array([0, 1]))
    with pytest.raises(ValueError, match="label"):
        compiled(X, np.array([0, 7]))


def test_an_error_in_the_replay_that_is_compared_leaves_state_as_it_was():
    layers = nn.Conv2D(2, 4, 3, bias=False, rng=0), nn.BatchNorm2D(4), nn.Flatten(), nn.Linear(64, 3, rng=1)
    model = nn.Sequential(*layers)
    optimizer = nn.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    def step(x, t):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    def state():
        tensors = [*model.parameters(), *model.buffers()]
        return [t.data.tobytes() for t in tensors], [t.version for t in tensors]

    compiled, images = tg.compile(step).check(every=2), np.random.default_rng(0).random((5, 2, 6, 6), dtype=np.float32)
    for _ in range(5):  # the next replay is compared, and finds its memory shown by the one before
        compiled(images, np.zeros(5, int))
    before = state()
    with pytest.raises(ValueError, match="label"):
        compiled(images, np.full(5, 9))
    assert state() == before
    compiled(images, np.zeros(5, int))
    assert state() != before


def test_there_is_no_plan_before_the_second_call():
    compiled = tg.compile(lambda x: x * 2.0)
    compiled(X)
    with pytest.raises(tg.ReplayError, match="call the function twice"):
        compiled.plan()


def test_the_number_of_signatures_is_bounded():
    compiled = tg.compile(lambda x: x * 2.0)
    for n in range(1, 60):
        assert compiled(np.ones(n, np.float32)).shape == (n,)
    assert len(compiled._kinds) <= 16
