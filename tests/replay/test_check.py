"""The check of the first replay: it finds planted faults, refuses no right network, and costs nobody the run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.replay import fallback, rounding

from . import planted_faults, random_networks
from .helpers import batches, close, mlp, training


@pytest.fixture
def small_is_large(monkeypatch):
    """As `everything_is_large`, for networks large enough to be cut into hundreds of pieces then."""
    for module, name, size in random_networks.SMALL:
        monkeypatch.setattr(module, name, size)


@pytest.mark.parametrize("network", planted_faults.NETWORKS)
def test_planted_faults_are_found(network, small_is_large):
    said = {name: planted_faults.outcome(network, name, 0) for name in planted_faults.FAULTS}
    found = [name for name, text in said.items() if text]
    assert [name for name, text in said.items() if text is None] == []
    assert len(found) >= 20


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_are_not_refused(seed):
    assert random_networks.refusal(random_networks.Drawn(seed)) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(100, 112))
def test_random_networks_whose_small_arrays_are_cut_are_not_refused(seed, dtype, small_is_large):
    assert random_networks.refusal(random_networks.Drawn(seed, dtype)) is None


# -- what is found costs speed, and not the run ------------------------------------------------------------------------


def trained(step, data):
    """What a step returns for each of some batches, compiled, and the warnings that came."""
    compiled = tg.compile(step)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = [compiled(x, t).item() for x, t in data]
    return losses, [str(warning.message) for warning in caught]


def twins():
    (step, state), (plain, expected) = (training(m, nn.optim.Adam(m.parameters(), 0.01)) for m in (mlp(), mlp()))
    return step, state, plain, expected


BROKEN = {
    "fusing": ("fuse", 1, "without fused kernels"),
    "planning memory": ("place", 2, "eagerly"),
    "making the runner": ("Runner", 2, "eagerly"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_error_while_planning_is_told_and_the_training_goes_on(what, monkeypatch, rng):
    name, warned, how = BROKEN[what]

    def broken(*given):
        raise KeyError("a mistake")

    monkeypatch.setattr(fallback, name, broken)
    step, state, plain, expected = twins()
    data = batches(rng, 6, (8, 12))
    losses, messages = trained(step, data)
    assert losses == pytest.approx([plain(x, t).item() for x, t in data], rel=1e-5)
    assert len(messages) == warned
    assert how in messages[-1] and "KeyError: 'a mistake'" in messages[-1] and "report" in messages[-1]
    for a, b in zip(state, expected, strict=True):
        close(a.data, b.data)
        assert a.version == b.version


@pytest.mark.parametrize("fault", ["inputs_exchanged", "memory_used_again_too_early", "sign_turned", "update_left_out"])
def test_a_wrong_replay_is_told_undone_and_replaced(fault, rng, small_is_large):
    step, state, plain, expected = twins()
    data = batches(rng, 6, (8, 12))
    with planted_faults.planted(fault, 0) as done:
        losses, messages = trained(step, data)
    assert done[0] and messages and "cannot be trusted" in messages[0]
    assert losses == pytest.approx([plain(x, t).item() for x, t in data], rel=1e-5)
    for a, b in zip(state, expected, strict=True):
        close(a.data, b.data)
        assert a.version == b.version


def test_a_users_kernel_that_is_no_function_of_its_inputs_is_refused_by_name(registry):
    calls = []

    @tg.primitive
    def drifting(x):
        calls.append(1)
        return x + float(len(calls))

    compiled = tg.compile(lambda x: drifting(x) * 2.0)
    x = np.ones(3, np.float32)
    compiled(x), compiled(x)
    with pytest.raises(tg.ReplayError, match=r"drifting of inputs of shapes \[\(3,\)\]"):
        compiled(x)


def test_a_step_that_raises_while_it_is_recorded_changes_nothing():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    generator = np.random.default_rng(0)
    w.grad = before = tg.Tensor([5.0, 5.0])

    @tg.compile
    def step(x):
        w.grad = None
        loss = (tg.dropout(w, 0.5, rng=generator) * x).sum()
        loss.backward()
        tg.assign(w, w.detach() - w.grad)
        return loss.item()  # refused

    drawn = generator.bit_generator.state
    with pytest.raises(tg.ReplayError, match="item"):
        step(np.ones(2, np.float32))
    assert w.data.tolist() == [1.0, 2.0] and w.version == 0 and w.grad is before
    assert generator.bit_generator.state == drawn


def test_a_leaf_that_is_exchanged_for_its_copy_is_noticed():
    w = tg.Tensor([2.0])
    leaves = iter([w, w, tg.Tensor([2.0])])
    compiled = tg.compile(lambda x: next(leaves) * x)
    x = np.ones(1, np.float32)
    compiled(x), compiled(x)
    with pytest.raises(tg.ReplayError, match="another tensor of shape"):
        compiled(x)


# -- what counts as rounding -------------------------------------------------------------------------------------------


def test_sums_that_cancel_may_differ_by_the_rounding_of_their_terms(rng):
    terms = rng.standard_normal(100_000).astype(np.float32)
    terms[::2] = -terms[1::2] * np.float32(1 + 1e-6)
    exact, other = np.asarray(terms.sum()), np.asarray(terms[::-1].cumsum(dtype=np.float32)[-1])
    jitter = np.random.default_rng(0)
    again = lambda: np.asarray(rounding.moved(terms, jitter).sum())  # noqa: E731
    assert not rounding.close(other, exact, 1e-5)
    assert rounding.close_but_for_cancellation(other, exact, again, 1e-5)
    assert not rounding.close_but_for_cancellation(other + np.float32(1), exact, again, 1e-5)


def test_a_choice_may_fall_either_way_where_numbers_tie_and_nowhere_else(rng):
    x = rng.standard_normal(1000).astype(np.float32)
    x[7] = 1e-6 + 0.5
    jitter = np.random.default_rng(0)
    expected = x > 0.5
    tied, wrong = expected.copy(), expected.copy()
    tied[7] = not tied[7]
    wrong[8] = not wrong[8]
    again = lambda: rounding.moved(x, jitter) > 0.5  # noqa: E731
    assert rounding.close_but_for_ties(tied, expected, again, 0.0)
    assert not rounding.close_but_for_ties(wrong, expected, again, 0.0)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_must_be_in_the_same_places(special):
    a, b = np.ones(5, np.float32), np.ones(5, np.float32)
    a[2] = b[2] = special
    assert rounding.close(a, b, 1e-5)
    a[3] = special
    assert not rounding.close(a, b, 1e-5)


def test_a_replay_found_wrong_by_a_later_check_goes_on_eagerly(monkeypatch):
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    compiled = tg.compile(lambda x: w * x + 1.0).check(every=3)
    x = np.ones(2, np.float32)
    for _ in range(4):
        compiled(x)
    step = compiled._latest.runner
    monkeypatch.setattr(step, "read", lambda *_: (_ for _ in ()).throw(ValueError("planted")))
    with pytest.warns(RuntimeWarning, match="failed with ValueError: planted.* eagerly") as told:
        found = compiled(x)
    assert len(told) == 1 and found.data.tolist() == [2.0, 3.0]
    found.sum().backward()
    assert w.grad.data.tolist() == [1.0, 1.0] and compiled(x).data.tolist() == [2.0, 3.0]
