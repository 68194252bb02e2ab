"""Interrupts at every point where one may come: the pool stays whole, nobody works on, and BLAS has its threads back."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from functools import partial
from pathlib import Path

import pytest
from interrupting import Interrupting, interrupted, points

import tensorgrad as tg
from tensorgrad.kernels import threads
from tensorgrad.kernels.threads import Ticket, at_once, blas_on_one_thread, settle, team
from tensorgrad.state import current

WAITING = 30
"""Seconds after which a test that hangs fails."""


class Shares:
    """Two shares of work that tell what became of them."""

    def __init__(self, meet: bool) -> None:
        self.begun, self.ended = [0, 0], [0, 0]
        self._began = threading.Event()
        self._meet = meet

    def mine(self) -> None:
        self.begun[0] += 1
        if self._meet:
            assert self._began.wait(WAITING)
        self.ended[0] += 1

    def other(self) -> None:
        self.begun[1] += 1
        self._began.set()
        time.sleep(0.002)
        self.ended[1] += 1

    def __call__(self) -> None:
        blas_on_one_thread(partial(at_once, [self.mine, self.other]))


class Occupied:
    """A context in which the helper is busy with something else."""

    def __enter__(self) -> None:
        self._leave, inside = threading.Event(), threading.Event()

        def stay() -> None:
            inside.set()
            self._leave.wait(WAITING)

        team()._tickets.put(Ticket(stay))
        assert inside.wait(WAITING)

    def __exit__(self, *error: object) -> None:
        self._leave.set()
        settle()


def require_whole(before: list[int]) -> None:
    assert [library.get_num_threads() for library in blas_on_one_thread._libraries] == before
    again = Shares(meet=True)
    again()
    assert again.begun == again.ended == [1, 1]


@pytest.mark.parametrize("helper", ["free", "busy"])
def test_an_interrupt_at_any_point_leaves_the_pool_whole(helper):
    Shares(meet=False)()
    before = [library.get_num_threads() for library in blas_on_one_thread._libraries]

    def run(point: int) -> bool:
        interrupting, shares = Interrupting(point, threads.__file__), Shares(meet=helper == "free")
        if helper == "busy":
            with Occupied():
                came = interrupted(interrupting, shares)
        else:
            came = interrupted(interrupting, shares)
        assert shares.begun[1] == shares.ended[1], point  # nobody is at work any more
        assert came or shares.ended == [1, 1]
        require_whole(before)
        return came

    assert points(run) > 20


def test_a_second_interrupt_ends_the_waiting_and_settle_waits_for_what_is_left(monkeypatch):
    began, leave, done = threading.Event(), threading.Event(), []

    def interrupt() -> None:
        assert began.wait(WAITING)
        raise KeyboardInterrupt

    def stay() -> None:
        began.set()
        assert leave.wait(WAITING)
        done.append(True)

    def impatient(ticket: Ticket, helper: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ticket, "wait", impatient)
        with pytest.raises(KeyboardInterrupt):
            at_once([interrupt, stay])
    assert not done
    leave.set()
    settle()
    assert done


def test_a_helper_that_died_is_replaced():
    pool = threads.Team()
    dead = pool._helper
    pool._tickets.put(None)  # what no helper survives
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda hook: None)
        dead.join(WAITING)
    assert not dead.is_alive()
    done = []
    pool.both(lambda: done.append(1), lambda: done.append(2))
    assert done == [1, 2]
    met = threading.Barrier(2, timeout=WAITING)
    pool.both(met.wait, met.wait)
    assert pool._helper.is_alive()


def test_without_a_second_thread_all_is_done_by_the_first(monkeypatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    threads.Team().both(lambda: done.append(1), lambda: done.append(2))
    assert done == [1, 2]


def test_an_error_of_the_second_thread_comes_out_once_and_holds_nothing():
    class Big:
        pass

    began = threading.Event()
    held = Big()
    gone = weakref.ref(held)

    def fail(held: Big) -> None:
        began.set()
        raise KeyError("there")

    gc.collect()
    with pytest.raises(KeyError, match="there"):
        at_once([lambda: began.wait(WAITING), partial(fail, held)])
    at_once([lambda: None, lambda: None])
    gc.disable()
    try:
        with contextlib.suppress(KeyError):
            at_once([lambda: None, partial(fail, held)])
        del held
        settle()
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_in_a_trace_comes_out_as_what_it_is():
    folder = os.path.dirname(tg.__file__)
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    def work() -> None:
        w.grad = None
        (tg.exp(w) * w).sum().backward()

    def traced() -> None:
        with tg.trace():
            work()

    def run(point: int) -> bool:
        came = interrupted(Interrupting(point, folder), traced)
        current().recorder = None  # Python calls no __exit__ that is interrupted as it begins
        work()
        assert w.grad is not None and current().builds_graph and current().phase == "forward"
        return came

    assert points(run, every=5) > 300


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_training_goes_on_after_interrupts_at_random_moments(threads, environment):
    command = [sys.executable, str(Path(__file__).parent / "stress" / "interrupts.py"), "--rounds=16", f"--seed={threads}"]
    environment["OPENBLAS_NUM_THREADS"] = threads
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "interrupted" in ended.stdout and "all whole after 16 rounds" in ended.stdout
