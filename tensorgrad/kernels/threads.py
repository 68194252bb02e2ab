"""Two threads for one computation, and BLAS on one thread for each of them.

NumPy lets go of the interpreter's lock while it computes, so two Python threads halve the time of work that lasts
longer than it takes to hand over. How work is split does not depend on the machine or on what else it does, so sums come
out the same everywhere.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

Call = Callable[[], Any]
"""Work without arguments, to be done later, and perhaps again and again."""


def in_turn(calls: Sequence[Call]) -> Call:
    """Calls that one thread makes one after the other. What is returned has them as its attribute `calls`."""

    def run() -> None:
        for call in calls:
            call()

    run.calls = calls
    return run


def at_once(shares: Sequence[Call]) -> None:
    """Do one share of work, or two at the same time."""
    if len(shares) == 1:
        shares[0]()
    elif shares:
        mine, other = shares
        team().both(mine, other)


def halves(jobs: list[Any], worthwhile: bool = True) -> list[list[Any]]:
    """Jobs for each thread, those of one thread next to each other; a single job stays whole, and so does what is not worth
    a second thread."""
    middle = (len(jobs) + 1) // 2 if worthwhile else len(jobs)
    return [part for part in (jobs[:middle], jobs[middle:]) if part]


class Team:
    """The calling thread and one helper."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[contextvars.Context, Call]] = SimpleQueue()
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        self._busy = threading.Lock()
        threading.Thread(target=self._help, name="tensorgrad", daemon=True).start()

    def _help(self) -> None:
        while True:
            context, work = self._jobs.get()
            try:
                context.run(work)
                self._outcomes.put(None)
            except BaseException as error:  # handed over to the thread that waits
                self._outcomes.put(error)

    def both(self, mine: Call, other: Call) -> None:
        """Do two pieces of work at the same time, and wait for both."""
        if not self._busy.acquire(blocking=False):  # another thread's work has the helper
            mine()
            other()
            return
        try:
            self._jobs.put((contextvars.copy_context(), other))  # NumPy's floating-point settings come along
            try:
                mine()
            finally:
                error = self._outcome()
        finally:
            self._busy.release()
        if error is not None:
            raise error

    def _outcome(self) -> BaseException | None:
        """What became of the helper's work. An interrupt does not keep it from being awaited."""
        try:
            return self._outcomes.get()
        except KeyboardInterrupt as interrupt:
            return self._outcomes.get() or interrupt


@functools.cache
def team() -> Team:
    return Team()


class OneThread:
    """A context in which the BLAS libraries underneath NumPy start no threads of their own.

    This concerns the whole process. So a thread that comes while another one is inside changes nothing, and the first one
    puts back what it has found. (threadpoolctl, for its part, lets only one thread of a process change this for OpenBLAS; where
    that is another one, all stays as it is, and only time is lost.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None  # the thread that is inside, and how deep
        self._depth = 0
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._lock:
            if self._owner is None:
                if self._libraries is None:
                    self._libraries = _blas_libraries()
                self._before = [library.get_num_threads() for library in self._libraries]
                for library in self._libraries:
                    library.set_num_threads(1)
                self._owner = me
            self._depth += self._owner == me

    def __exit__(self, *error: object) -> None:
        with self._lock:
            if self._owner != threading.get_ident():
                return
            self._depth -= 1
            if not self._depth:
                self._owner = None
                for library, count in zip(self._libraries, self._before, strict=True):
                    library.set_num_threads(count)


def _blas_libraries() -> list[Any]:
    import threadpoolctl  # here, since it takes a while

    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


blas_on_one_thread = OneThread()


def _forget_threads() -> None:
    """A forked process begins with one thread alone, and holds no locks of others."""
    team.cache_clear()
    blas_on_one_thread.__init__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
