"""Two threads for one computation, and BLAS on one thread for each of them.

NumPy lets go of the interpreter's lock while it computes, so two Python threads halve the time of work that lasts
longer than it takes to hand over. How work is split does not depend on the machine or on what else it does, so sums come
out the same everywhere.

An interrupt may come between any two instructions. So each piece of work is a ticket of its own, and what decides about it
can be asked again: who has taken it, and whether it is done.
"""

from __future__ import annotations

import atexit
import contextlib
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
    """Do one share of work, or two at the same time. An error comes out when both are done.

    After an interrupt a share that was not begun is left undone, and one that was is waited for. A further interrupt ends that
    too: then `settle` waits for what is left.
    """
    if len(shares) == 1:
        shares[0]()
    elif shares:
        mine, other = shares
        team().both(mine, other)


def settle() -> None:
    """Wait until no thread works any more on what an interrupted call of this process has left behind."""
    team().settle()


def halves(jobs: list[Any], worthwhile: bool = True) -> list[list[Any]]:
    """Jobs for each thread, those of one thread next to each other; a single job stays whole, and so does what is not worth
    a second thread."""
    middle = (len(jobs) + 1) // 2 if worthwhile else len(jobs)
    return [part for part in (jobs[:middle], jobs[middle:]) if part]


class Ticket:
    """A piece of work that is offered to the helper. The helper does it, unless the thread that offered it takes it back."""

    OWNER, HELPER = object(), object()

    def __init__(self, work: Call) -> None:
        self.work = work
        self._context = contextvars.copy_context()  # NumPy's floating-point settings come along
        self._takers: dict[str, object] = {}
        self._ended = threading.Lock()  # held until the work is done
        self._ended.acquire()
        self.done = False
        self.error: BaseException | None = None

    def taken_by(self, who: object) -> bool:
        """Take the work, unless it is taken. Whether `who` has it: whoever asks again is told the same."""
        return self._takers.setdefault("first", who) is who

    def serve(self) -> None:
        """Do the work, if it is still there."""
        if not self.taken_by(self.HELPER):
            return
        try:
            self._context.run(self.work)
        except BaseException as error:  # handed over to the thread that waits
            self.error = error
        finally:
            self.work = _nothing  # lets go of the arrays
            self.done = True
            self._ended.release()

    def wait(self, helper: threading.Thread) -> None:
        """Wait until the helper has done the work. May be called again after an interrupt."""
        while not self.done:
            self._ended.acquire(timeout=1.0)
            if not self.done and not helper.is_alive():
                raise RuntimeError("the second thread ended in the middle of its work")


class Team:
    """The calling thread and one helper, which serves whatever thread calls."""

    def __init__(self) -> None:
        self._tickets: SimpleQueue[Ticket] = SimpleQueue()
        self._hire()

    def _hire(self) -> None:
        """Take a new helper, where the system allows a further thread."""
        self._helper = threading.Thread(target=_serve, args=(self._tickets,), name="tensorgrad", daemon=True)
        with contextlib.suppress(RuntimeError):
            self._helper.start()

    def both(self, mine: Call, other: Call) -> None:
        """Do two pieces of work at the same time, and wait for both.

        If the helper has not come to its piece when the first one is done, as on a busy machine, the caller does that too.
        """
        ticket, failure = Ticket(other), None
        try:
            self._tickets.put(ticket)
            mine()
        except Exception as error:
            failure = error
        finally:
            try:
                self._recall(ticket)
            except BaseException:
                self._recall(ticket)
                raise
        try:
            if ticket.taken_by(Ticket.OWNER):
                if not self._helper.is_alive():
                    self._hire()
                try:
                    ticket.work()
                except Exception as error:
                    failure = failure or error
            elif failure is None:
                failure, ticket.error = ticket.error, None
            if failure is not None:
                raise failure
        finally:
            del failure, ticket  # which refer to this frame, or to arrays

    def _recall(self, ticket: Ticket) -> None:
        """Take the ticket back, or wait until it is done."""
        if not ticket.taken_by(Ticket.OWNER):
            ticket.wait(self._helper)

    def settle(self) -> None:
        """Wait until the helper has come to the end of what it was given."""
        if self._helper.is_alive() and self._helper is not threading.current_thread():
            last = Ticket(_nothing)
            self._tickets.put(last)
            last.wait(self._helper)


def _serve(tickets: SimpleQueue[Ticket]) -> None:
    """What the helper does, for ever."""
    while True:
        tickets.get().serve()


def _nothing() -> None:
    """The work of a ticket that only stands in line."""


@functools.cache
def team() -> Team:
    return Team()


class OneThread:
    """Keeps the BLAS libraries underneath NumPy from starting threads of their own while some work is done.

    This concerns the whole process: the first piece of work that begins sets it, in whatever thread, and the last one that
    ends puts back what the first has found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[object] = set()  # an object for each piece of work
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

    def __call__(self, work: Callable[[], Any]) -> Any:
        """What work() returns."""
        visit = object()
        try:
            self._enter(visit)
            return work()
        finally:
            try:
                self._leave(visit)
            except BaseException:
                self._leave(visit)
                raise

    def _enter(self, visit: object) -> None:
        with self._lock:
            if self._libraries is None:
                self._libraries = _blas_libraries()
            if not self._under_way:
                self._before = [library.get_num_threads() for library in self._libraries]
            self._under_way.add(visit)
            for library in self._libraries:
                _set_threads(library, 1)

    def _leave(self, visit: object) -> None:
        with self._lock:
            if self._under_way == {visit}:
                self._put_back()
            self._under_way.discard(visit)

    def _put_back(self) -> None:
        for library, count in zip(self._libraries or [], self._before, strict=False):
            _set_threads(library, count)

    def begin_anew(self) -> None:
        """In a forked process, which has none of the threads whose work was under way."""
        if self._under_way:
            self._put_back()
        self._lock = threading.Lock()
        self._under_way = set()


def _blas_libraries() -> list[Any]:
    import threadpoolctl  # here, since it takes a while

    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


def _set_threads(library: Any, count: int) -> None:
    """Set a library's number of threads. threadpoolctl lets only one thread of a process do so for OpenBLAS, to which
    `OneThread` has rules of its own."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(count)


blas_on_one_thread = OneThread()


def _forget_threads() -> None:
    """A forked process begins with one thread alone, and holds no locks of others."""
    team.cache_clear()
    blas_on_one_thread.begin_anew()


def _let_the_helper_end() -> None:
    """The process ends: BLAS takes back the memory that work left behind by an interrupt may still use."""
    if team.cache_info().currsize:
        team().settle()


atexit.register(_let_the_helper_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
