"""Two threads for one replay, and BLAS on one thread for each of them.

NumPy lets go of the interpreter's lock while it computes, so two Python threads halve the time of work that lasts
longer than it takes to hand over. How work is split is part of the plan and does not depend on the machine, so sums come
out the same everywhere.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from .program import Work


class Team:
    """The calling thread and one helper."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[contextvars.Context, Work]] = SimpleQueue()
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        self._busy = threading.Lock()
        threading.Thread(target=self._help, name="tensorgrad-replay", daemon=True).start()

    def _help(self) -> None:
        while True:
            context, work = self._jobs.get()
            try:
                context.run(work)
                self._outcomes.put(None)
            except BaseException as error:  # handed over to the thread that waits
                self._outcomes.put(error)

    def both(self, mine: Work, other: Work) -> None:
        """Run two pieces of work at the same time, and wait for both."""
        if not self._busy.acquire(blocking=False):  # another thread's replay has the helper
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=team.cache_clear)  # threads do not survive a fork


@functools.cache
def _blas_libraries() -> list[Any]:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


@contextmanager
def blas_on_one_thread() -> Iterator[None]:
    """Inside, BLAS starts no threads of its own."""
    libraries = _blas_libraries()
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, count in zip(libraries, before, strict=True):
            library.set_num_threads(count)
