"""What a `with` changes in the state of a thread: no graph, a phase, a scope. All of them decorate functions too."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from .state import Scope, State, per_thread

F = TypeVar("F", bound=Callable[..., Any])


class Context:
    """What a `with` changes in the state of the thread that enters it, and puts back whatever happens.

    One object may be entered again while it is entered, and by several threads. As a decorator it holds while the function
    runs: for a generator or a coroutine from each resumption to the next suspension, so that nothing leaks to whoever
    resumes it.
    """

    def __init__(self, **changes: Any) -> None:
        self._changes = changes
        self._before: dict[int, list[dict[str, Any]]] = {}  # what to put back, by thread

    def changes(self, state: State) -> dict[str, Any]:
        return self._changes

    def __enter__(self) -> None:
        state = per_thread.state
        changes = self.changes(state)
        before, waiting = {name: getattr(state, name) for name in changes}, self._before.setdefault(threading.get_ident(), [])
        try:
            waiting.append(before)
            for name, value in changes.items():
                setattr(state, name, value)
        except BaseException:  # an interrupt
            if waiting and waiting[-1] is before:
                self._put_back()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self._put_back()
        except BaseException:  # an interrupt
            self._put_back()
            raise

    def _put_back(self) -> None:
        """What was there at the latest entry. Until the last lines, which no interrupt parts, it may be done again."""
        thread = threading.get_ident()
        waiting, state = self._before[thread], per_thread.state
        for name, value in waiting[-1].items():
            setattr(state, name, value)
        del waiting[-1]
        if not waiting:
            del self._before[thread]

    def __call__(self, function: F) -> F:
        if not callable(function):
            raise TypeError(f"{self!r} decorates functions, and was given {type(function).__name__}; enter it with `with`")
        if inspect.isasyncgenfunction(function):
            raise TypeError(
                "an asynchronous generator cannot be decorated so; use `with` inside of it, around what does not yield"
            )

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*arguments: Any, **settings: Any) -> Any:
                return await _Resumed(self, function(*arguments, **settings))

            return coroutine
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*arguments: Any, **settings: Any) -> Any:
                with self:
                    made = function(*arguments, **settings)
                return (yield from _Resumed(self, made))

            return generator

        @functools.wraps(function)
        def inside(*arguments: Any, **settings: Any) -> Any:
            state = per_thread.state
            before = state.builds_graph, state.phase, state.scope, state.checks_residuals
            try:  # and no `with`, whose end an interrupt may leave out; nothing parts these assignments
                for name, value in self.changes(state).items():
                    setattr(state, name, value)
                return function(*arguments, **settings)
            finally:
                state.builds_graph, state.phase, state.scope, state.checks_residuals = before

        return inside


class _Resumed(Generator, Awaitable):
    """A generator or a coroutine that is always resumed inside of a context."""

    def __init__(self, context: Context, inner: Any) -> None:
        self._context, self._inner = context, inner

    def send(self, value: Any) -> Any:
        with self._context:
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        with self._context:
            return self._inner.throw(*error)

    def close(self) -> None:
        with self._context:
            self._inner.close()

    def __await__(self) -> Any:
        return self


def setting(**changes: Any) -> Context:
    """Change fields of the thread's state inside a `with`, and put them back whatever happens."""
    return Context(**changes)


def no_grad(function: F | None = None) -> Any:
    """Inside `with no_grad():` (or in a function it decorates) no graph is built, so nothing is kept for a backward pass.

    Decorate with `@no_grad()`, or `@no_grad` for short; generators and coroutines too.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    context = Context(builds_graph=False)
    return context if function is None else context(function)


def detect_anomaly() -> Context:
    """Inside `with detect_anomaly():` a backward pass checks that what it needs is as the forward pass left it.

    A graph keeps arrays, not copies, and does not notice what is written into them: `x.data[:] = 0`, or a change of the
    NumPy array that a tensor was made of. The gradient is then wrong without a word. Here the contents of every input kept
    are summed up when it is kept and when it is used, which takes about as long as copying them.

    Raises:
        RuntimeError: in the backward pass, naming the primitive and the input that has changed.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.detect_anomaly():
    ...     loss = (x * x).sum()
    ...     x.data[:] = 5
    ...     loss.backward()
    Traceback (most recent call last):
    ...
    RuntimeError: multiply: its input y, of shape (2,), was written into after the forward pass, and the backward pass needs...
    """
    return Context(checks_residuals=True)


def phase(name: str) -> Context:
    """Inside `with phase("update"):` traced primitives are marked as part of that phase of a training step.

    The phases that the engine itself uses are "forward", "backward" and "update".
    """
    _require_name("phase", "update", name)
    return Context(phase=name)


class _ScopeContext(Context):
    """One more level on the scope that is there when it is entered."""

    def __init__(self, name: str, kind: str, owner: Any) -> None:
        super().__init__()
        self._level = name, kind, owner

    def changes(self, state: State) -> dict[str, Any]:
        name, kind, owner = self._level
        return {"scope": Scope(name, kind, state.scope, owner)}


def scope(name: str, kind: str = "", owner: Any = None) -> Context:
    """Inside `with scope("encoder"):` primitives belong to that part of the model, in traces and in pictures.

    Scopes nest: their names, joined by dots, are a module path such as `features.conv1`. `kind` says what
    the part is, such as the name of its class. Every `nn.Module` opens a scope of its own when it is called.

    >>> import tensorgrad as tg
    >>> with tg.scope("encoder"), tg.scope("attention"):
    ...     print(tg.state.current().scope.path)
    encoder.attention
    """
    _require_name("scope", "encoder", name)
    return _ScopeContext(name, kind, owner)


def _require_name(what: str, example: str, name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f'{what} takes a name, as in `with tg.{what}("{example}"):` or `@tg.{what}("{example}")`, not {name!r}')
