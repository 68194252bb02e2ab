"""Recording everything that runs inside `with trace():` into a Graph, with times where they are asked for."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .graph import Graph
from .recorder import Recorder
from .state import current


class trace:
    """Record every primitive that runs inside the `with`, forward, backward and update, into a `Graph`.

    Args:
        title: what the picture is called.
        times: measure the seconds of each node and of the block, without what recording takes.
        bind: keep the arrays that the step was given, in `Graph.bindings`, so that the graph can be run again.

    If the block raises, the graph holds what ran, and the node that failed with its error.

    >>> import tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.trace() as step:
    ...     (w * w).sum().backward()
    >>> step
    <Graph of 6 nodes: 2 forward, 4 backward>
    """

    def __init__(self, title: str = "", *, times: bool = False, bind: bool = False) -> None:
        self.graph = Graph(title)
        self._recorder = (TimedRecorder if times else Recorder)(self.graph, bind)

    def __enter__(self) -> Graph:
        state = current()
        if state.recorder is not None:
            raise RuntimeError("a trace is running already in this thread; end it before you begin another")
        state.recorder = self._recorder
        self._recorder.begin()
        return self.graph

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        current().recorder = None
        if kind is None or issubclass(kind, Exception):
            self._recorder.finish()
            return
        with contextlib.suppress(Exception):  # an interrupt may have left the graph between two states
            self._recorder.finish()
        self._recorder.let_go()


def _aside(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook whose time is the recorder's own."""

    @functools.wraps(hook)
    def timed(self: TimedRecorder, *given: Any) -> Any:
        began = time.perf_counter()
        result = hook(self, *given)
        self._own += time.perf_counter() - began
        return result

    return timed


class TimedRecorder(Recorder):
    """A recorder that measures what runs by a clock which stands still while it records itself."""

    def begin(self) -> None:
        self._own = self._in_kernel = 0.0
        self._began = self._last = time.perf_counter()

    def run(self, *given: Any) -> Any:
        began = time.perf_counter()
        result = super().run(*given)
        ended = time.perf_counter()
        self._own += ended - began - self._in_kernel
        self._seconds, self._last = ended - self._own - self._last, ended - self._own
        return result

    def _watched(self, compute: Callable[..., Any], arrays: list[Any], attributes: dict[str, Any]) -> Any:
        def timed(arrays: list[Any], attributes: dict[str, Any]) -> Any:
            began = time.perf_counter()
            result = compute(arrays, attributes)
            self._in_kernel = time.perf_counter() - began
            return result

        return super()._watched(timed, arrays, attributes)

    @_aside
    def record(self, *given: Any) -> None:
        super().record(*given)
        self.graph.nodes[-1].seconds = self._seconds

    begin_backward = _aside(Recorder.begin_backward)
    enter_backward = _aside(Recorder.enter_backward)
    cotangent = _aside(Recorder.cotangent)
    gradient = _aside(Recorder.gradient)
    assigned = _aside(Recorder.assigned)

    def finish(self) -> None:
        self.graph.seconds = time.perf_counter() - self._began - self._own
        super().finish()
