"""no_grad, phase and scope: entered again, from several threads, and around generators and coroutines."""

from __future__ import annotations

import asyncio
import threading

import pytest

import tensorgrad as tg
from tensorgrad.state import current

X = tg.Tensor([1.0, 2.0], requires_grad=True)


def tracks() -> bool:
    return (X * 2.0).requires_grad


def path() -> str:
    return "" if current().scope is None else current().scope.path


def test_one_object_may_be_entered_while_it_is_entered():
    context = tg.no_grad()
    with context:
        with context:
            assert not tracks()
        assert not tracks()
    assert tracks()
    with context:
        assert not tracks()
    assert tracks()


@pytest.mark.parametrize("make", [lambda: tg.phase("update"), lambda: tg.scope("a")])
def test_phase_and_scope_may_be_entered_again(make):
    context = make()
    before = current().phase, current().scope
    with context, context:
        inside = current().phase, path()
    assert inside in (("update", ""), ("forward", "a.a"))
    assert (current().phase, current().scope) == before


def test_one_object_in_two_threads():
    context, entered, leave, seen = tg.no_grad(), threading.Event(), threading.Event(), []

    def other():
        with context:
            entered.set()
            leave.wait(10)
        seen.append(tracks())

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    assert tracks()  # the other thread's alone
    with context:
        leave.set()
        thread.join(10)
        assert not tracks()
    assert seen == [True] and tracks()


@pytest.mark.parametrize("decorate", [tg.no_grad, tg.no_grad()])
def test_a_function_with_brackets_and_without(decorate):
    @decorate
    def evaluate(value, *, twice=False):
        """evaluate"""
        return tracks(), value, twice

    assert evaluate(3, twice=True) == (False, 3, True) and evaluate.__doc__ == "evaluate" and tracks()


def test_a_function_that_raises():
    @tg.no_grad()
    def broken():
        raise KeyError("x")

    with pytest.raises(KeyError):
        broken()
    assert tracks()


def test_a_generator_runs_inside_and_leaks_nothing():
    @tg.no_grad()
    def batches(count):
        for _ in range(count):
            sent = yield tracks()
            assert sent is None or not tracks()
        return "end"

    found, running = [], batches(3)
    for inside in running:
        found.append((inside, tracks()))
    assert found == [(False, True)] * 3

    def delegating():
        return (yield from batches(1))

    running = delegating()
    assert next(running) is False
    with pytest.raises(StopIteration) as end:
        running.send(5)
    assert end.value.value == "end"


def test_a_generator_is_closed_and_thrown_into_inside():
    seen = []

    @tg.no_grad()
    def watching():
        try:
            while True:
                try:
                    yield
                except KeyError:
                    seen.append(("thrown", tracks()))
        finally:
            seen.append(("closed", tracks()))

    running = watching()
    next(running)
    running.throw(KeyError("x"))
    running.close()
    assert seen == [("thrown", False), ("closed", False)] and tracks()


@pytest.mark.parametrize("decorate", [tg.no_grad, tg.phase("update"), tg.scope("encoder")])
def test_coroutines_that_take_turns(decorate):
    def state():
        return current().builds_graph, current().phase, path()

    outside = state()

    @decorate
    async def inside():
        first = state()
        await asyncio.sleep(0)
        return first, state()

    async def beside():
        seen = []
        for _ in range(5):
            seen.append(state())
            await asyncio.sleep(0)
        return seen

    async def both():
        return await asyncio.gather(inside(), beside(), inside())

    one, between, other = asyncio.run(both())
    assert between == [outside] * 5
    assert one == other and one[0] == one[1] != outside


def test_what_cannot_be_decorated_says_so():
    with pytest.raises(TypeError, match=r'@tg.phase\("update"\)'):

        @tg.phase
        def update(): ...

    with pytest.raises(TypeError, match=r'@tg.scope\("encoder"\)'):

        @tg.scope
        def encode(): ...

    with pytest.raises(TypeError, match="asynchronous generator"):

        @tg.no_grad
        async def stream():
            yield 1
