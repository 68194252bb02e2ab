"""What a thread is doing: whether it builds a graph, in which phase and scope, and who records it."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple


class Scope(NamedTuple):
    """One level of the module path that primitives run under: `conv1`, a `Conv2D`, inside `features`."""

    name: str
    kind: str
    parent: Scope | None
    owner: Any = None

    def levels(self) -> list[Scope]:
        """This scope and those around it, outermost first."""
        found, level = [], self
        while level is not None:
            found.append(level)
            level = level.parent
        return found[::-1]

    @property
    def path(self) -> str:
        """The names joined by dots. A scope without a name, as a root module has, adds nothing."""
        return ".".join(level.name for level in self.levels() if level.name)


class State:
    """The engine's settings for one thread."""

    __slots__ = ("builds_graph", "checks_residuals", "phase", "recorder", "scope")

    def __init__(self) -> None:
        self.builds_graph = True
        self.checks_residuals = False
        self.phase = "forward"
        self.scope: Scope | None = None
        self.recorder: Any = None  # a tg.trace() that sees every primitive, or None


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.state = State()


per_thread = _PerThread()


def current() -> State:
    """The state of the thread that asks."""
    return per_thread.state


class Changes:
    """Tells whether any `Watched` object has changed: the token is another one after each change."""

    __slots__ = ("latest",)

    def __init__(self) -> None:
        self.latest = object()


changes = Changes()


class Watched:
    """An object that says when its attributes are set or deleted. Modules and optimizers are such objects.

    A compiled function runs without its Python code, so it must notice when a setting that this code read has changed; of
    watched objects it looks only when one of them has.
    """

    _unwatched: tuple[str, ...] = ()
    """Names of attributes that decide nothing."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if not isinstance(getattr(type(self), name, None), property):  # which sets what lies behind it
            changes.latest = object()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        changes.latest = object()


def reading(owner: Any, name: str) -> Any:
    """An attribute of an object, read by Python code that decides what to run by it, such as the mode of a layer.

    A function made by `tg.compile` runs without its Python code; if what was read has changed since, it is recorded anew.
    Every `nn.Module` reads its mode (`training`) through this when it is called.

    >>> import tensorgrad as tg
    >>> class Gain:
    ...     factor = 2.0
    >>> gain = Gain()
    >>> @tg.compile
    ... def amplify(x):
    ...     return x * tg.reading(gain, "factor")
    >>> [amplify(tg.Tensor([1.0])).item() for _ in range(4)]
    [2.0, 2.0, 2.0, 2.0]
    >>> gain.factor = 3.0
    >>> amplify(tg.Tensor([1.0])).item()
    3.0
    """
    value = getattr(owner, name)
    recorder = current().recorder
    if recorder is not None:
        recorder.setting_read(owner, name, value)
    return value
