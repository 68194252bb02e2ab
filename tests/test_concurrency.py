"""Threads, forks and the interpreter's end, while replays and large eager work are under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.kernels import threads
from tensorgrad.kernels.threads import at_once, blas_on_one_thread

WAITING = 60


def step_of(seed: int) -> tuple[Callable[..., tg.Tensor], list[tg.Tensor]]:
    """A training step with convolutions and products large enough for two threads."""
    model = nn.Sequential(
        *(nn.Conv2D(3, 16, 3, padding=1, rng=seed), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten()),
        *(nn.Linear(16 * 8 * 8, 256, rng=seed + 1), nn.ReLU(), nn.Linear(256, 10, rng=seed + 2)),
    )
    optimizer = nn.optim.Adam(model.parameters(), 1e-3)

    def step(x: Any, t: Any) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step, model.parameters()


def batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((128, 3, 16, 16), np.float32), rng.integers(0, 10, 128)


def trained(seed: int, count: int = 8) -> list[bytes]:
    step, parameters = step_of(seed)
    compiled = tg.compile(step)
    for k in range(count):
        compiled(*batch(k))
    assert compiled.replays
    return [p.data.tobytes() for p in parameters]


def together(*works: Callable[[], Any]) -> list[Any]:
    """What works return that run at the same time, each in a thread of its own."""
    found: list[Any] = [None] * len(works)
    start = threading.Barrier(len(works), timeout=WAITING)

    def run(k: int) -> None:
        start.wait()
        try:
            found[k] = works[k]()
        except BaseException as error:
            found[k] = error

    running = [threading.Thread(target=run, args=[k], daemon=True) for k in range(len(works))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(WAITING)
    assert not any(thread.is_alive() for thread in running)
    return found


def blas_threads() -> list[int]:
    return [library.get_num_threads() for library in blas_on_one_thread._libraries]


def test_two_models_trained_in_two_threads_have_the_bits_of_each_alone():
    alone = [trained(0), trained(10), trained(20)]
    assert together(lambda: trained(0), lambda: trained(10), lambda: trained(20)) == alone


def test_two_threads_that_call_one_compiled_function_each_do_their_step():
    w = tg.Tensor(np.zeros(1 << 18, np.float32), requires_grad=True)

    @tg.compile
    def add(x):
        tg.assign(w, w.detach() + x)
        return (w.detach() * x).sum()

    ones = np.ones(1 << 18, np.float32)
    for _ in range(4):
        add(ones)
    errors = together(*[lambda: [add(ones) for _ in range(20)] and None] * 3)
    assert errors == [None] * 3
    assert (w.data == 64).all() and w.version == 64


def test_an_error_in_one_thread_leaves_the_other_alone():
    expected = trained(0)

    def fail() -> str:
        at_once([lambda: None, lambda: np.zeros(3)[5]])

    for _ in range(3):
        failed, bits = together(fail, lambda: trained(0))
        assert isinstance(failed, IndexError) and bits == expected


def test_compiled_functions_within_compiled_functions():
    w = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    inner = tg.compile(lambda x: (x * w).sum())

    @tg.compile
    def outer(x):
        w.grad = None
        loss = inner(x) + inner(x * 2.0)
        loss.backward()
        return loss, w.grad

    @tg.compile
    def power(x, n):
        return x if n == 0 else x * power(x, n - 1)

    for k in range(6):
        x = np.array([k, 1.0, 2.0], np.float32)
        loss, gradient = outer(x)
        assert loss.item() == pytest.approx(3 * (k + 8)) and (gradient.data == 3 * x).all()
        assert inner(x).item() == pytest.approx(k + 8)
        assert (power(x, 2).data == x**3).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_process_forked_while_other_threads_compute_works():
    expected, step = trained(0), tg.compile(step_of(30)[0])
    before = blas_threads()
    for k in range(4):
        step(*batch(k))
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            step(*batch(0))

    others = [threading.Thread(target=compute, daemon=True) for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if not child:
                signal.alarm(WAITING)  # instead of waiting for ever for a thread that only the parent has
                counts = blas_threads()
                step(*batch(0))  # whose lock another thread may have held
                whole = counts == before and trained(0) == expected
                os._exit(0 if whole else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in others:
            thread.join(WAITING)


# -- the interpreter's end ---------------------------------------------------------------------------------------------

PREPARED = """
import os, sys, threading, time, warnings
import numpy as np
import tensorgrad as tg
from tensorgrad.kernels.threads import at_once, blas_on_one_thread, team
a = np.ones((600, 600), np.float32)
def multiply():
    for _ in range(30):
        a @ a
w = tg.Tensor(np.ones((600, 600), np.float32), requires_grad=True)
@tg.compile
def step(x):
    w.grad = None
    loss = (x @ w).sum()
    loss.backward()
    tg.assign(w, w.detach() - w.grad * 1e-6)
    return loss
for _ in range(4):
    step(a)
def forever():
    while True:
        step(a)
"""

ENDINGS = {
    "the second thread is at work": """
        began = threading.Event()
        def work():
            began.set()
            multiply()
        from tensorgrad.kernels.threads import Ticket
        team()._tickets.put(Ticket(work))
        began.wait()
    """,
    "a daemon thread replays": """
        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.05)
    """,
    "a thread replays for a while": """
        threading.Thread(target=lambda: [step(a) for _ in range(10)]).start()
    """,
    "replays at exit": """
        import atexit
        atexit.register(lambda: [step(a) for _ in range(3)])
    """,
    "an error in the main thread": """
        threading.Thread(target=forever, daemon=True).start()
        sys.exit(0)
    """,
    "a child that ends at once": """
        threading.Thread(target=forever, daemon=True).start()
        warnings.simplefilter("ignore")
        child = os.fork()
        if not child:
            step(a)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """,
    "a child that ends as a program does": """
        warnings.simplefilter("ignore")
        child = os.fork()
        if not child:
            step(a)
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("blas_threads", ["1", "2"])
def test_the_interpreter_ends_while_work_is_under_way(ending, blas_threads, environment):
    if "fork" in ENDINGS[ending] and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    environment["OPENBLAS_NUM_THREADS"] = blas_threads
    program = PREPARED + textwrap.dedent(ENDINGS[ending])
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAITING, check=False)
    assert ended.returncode == 0 and not ended.stderr, (ended.returncode, ended.stderr)


def test_threads_are_not_started_before_there_is_work_for_them(environment):
    program = "import threading, nn, tensorgrad; assert threading.active_count() == 1"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=WAITING)
    assert threads.team() is threads.team()
