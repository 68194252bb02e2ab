"""compile: record a step function twice, then replay it."""

from __future__ import annotations

import functools
import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np

from ..kernels.heap import release_memory
from ..kernels.winograd import Switch
from ..state import current
from ..tensor import Tensor
from .cache import KINDS, Cache
from .check import DisagreementError, check
from .compare import CHECKED, require_agreement, require_same_leaves, require_same_return
from .fallback import Planner
from .gradient import ReplayLease, attach
from .guards import Guard
from .kind import Kind
from .methods import method_of
from .original import Original, copies_of
from .plan import ReplayPlan
from .refusal import ReplayError
from .signature import (
    arrays_in,
    flatten,
    returns_numbers,
    tensors_in,
    with_copies,
    with_numbers,
)
from .survey import called
from .undo import Snapshot

OWN = {"recordings", "replays", "without_dict"}
"""The public attributes of a compiled function itself; all others are those of what was compiled."""

_all: weakref.WeakSet[Compiled] = weakref.WeakSet()


def _release_locks() -> None:
    """A forked process has none of the threads that were inside a compiled function."""
    for compiled in _all:
        compiled._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_locks)


class Compiled:
    """A step function that replays; see `compile`.

    Attributes:
        recordings: how many calls ran the function itself to record it.
        replays: how many calls were replayed.
    """

    def __init__(self, fn: Callable[..., Any], function: Callable[[], Callable[..., Any]] | None = None) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._fn = fn
        self._cache = Cache(called(fn))
        self._check_every: int | None = None
        self._lock = threading.RLock()
        _all.add(self)
        self._latest: Kind | None = None
        self._original = Original(function or (lambda: fn), called(fn))
        self._released: set[str] = set()  # what runs of the function have changed themselves
        self.without_dict: OrderedDict[int, Method] = OrderedDict()  # methods of instances that cannot hold them
        self.recordings = 0
        self.replays = 0

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        if current().recorder is not None:  # a trace is to see the step itself
            return self._original.function()(*arguments, **settings)
        tensors, numbers, key = flatten((arguments, settings))
        with self._lock:
            given = arguments, settings
            signature = key, current().builds_graph, Switch.on
            kind = self._cache.find(signature, numbers, lambda: self._original.names_of_numbers(given))
            if kind is None:
                return self._original.eagerly(given, tensors)
            self._latest = kind
            if kind.planner is None:
                returned = self._record(kind, given, tensors)
                kind.outline = self._original.attach(given, tensors_in(returned))
                self.recordings += 1
                self._cache.settle(kind, signature, numbers, self._original.numbers_read)
                self._watch(kind)
                return with_numbers(returned, numbers) if kind.returns_numbers else returned
            if kind.runner is None:
                return self._original.eagerly(given, tensors)
            returned = self._replay(kind, signature, given, tensors, numbers)
            self.replays += 1
            self._cache.attempts.succeeded()
            return with_numbers(returned, numbers) if kind.returns_numbers else returned

    def _replay(self, kind: Kind, signature: Any, given: Any, tensors: list[Tensor], numbers: list[Any]) -> Any:
        kind.runs += 1
        runners = kind.runners() if kind.outline is not None else None
        if runners is not None:
            kind.runner = runners.take()
        kind.runner.numbers = numbers
        if kind.due(self._check_every):
            try:
                returned = self._replay_checked(kind, given, tensors)
            except ReplayError:
                self._cache.forget(kind)
                raise
            finally:
                if runners is not None and kind.runner is not None and kind.runner.program is runners.program:
                    runners.give_back(kind.runner)
            kind.outline = self._original.attach(given, tensors_in(returned))
            self._cache.settle(kind, signature, numbers, self._original.numbers_read)
            self._watch(kind)
            release_memory()  # replays need little of what recording and comparing took
            return returned
        arrays = [t._data for t in tensors]
        if runners is None:
            with np.errstate(under="ignore"):  # of gradients and of numbers that optimizers keep, some vanish
                results = kind.runner.run(arrays)
            if kind.outline is not None:
                self._original.attach_refusal(kind.outline, given, results)
        else:
            results = kind.runner.forward(arrays)
            lease = ReplayLease(called(self._fn), runners, kind.runner, [results[k] for k in kind.outline.roots])
            attach(results, kind.outline, arrays_in(given), lease, runners.leaves)
        return with_copies(kind.returned, results)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy knows the function, or the copy's own method, and records it anew."""
        return compile, (self._fn,)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A method, where the function was compiled in the body of a class: each instance has replays of its own."""
        return self if instance is None else method_of(self, instance, lambda: Method(self._fn, instance, self._check_every))

    def __getattr__(self, name: str) -> Any:
        """What was compiled may be more than a function: a compiled model has the model's methods and settings."""
        if name.startswith("_") or "_fn" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._fn, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name in OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._fn, name, value)

    @property
    def _kinds(self) -> OrderedDict[Any, list[Kind]]:
        return self._cache.kinds

    def _watch(self, kind: Kind) -> None:
        """Guard what the run before depended on, but for what the function changes itself: that a replay leaves as it is."""
        new: list[str] = []
        if kind.planner is not None:
            new = [name for name in self._original.moved if name not in self._released]
            self._released.update(new)
            for other in self._cache.all():
                if other.guard is not None:
                    other.guard.release(self._released)
        left_out = {*self._released, *self._original.moved}
        places = [place for place in self._original.found if place.name not in left_out and not kind.reads(place.holder)]
        kind.guard = Guard(places)
        if new:
            warnings.warn(
                f"{called(self._fn)}: each call changes {', '.join(new)}, and a replay, which runs no Python code, does "
                "not. Change it outside of the compiled function, or keep it in a tensor that tg.assign updates.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _record(self, kind: Kind, given: Any, tensors: list[Tensor]) -> Any:
        """A call that runs the function itself, and is recorded."""
        returned, recording = self._original.recorded(given, tensors)
        copies = copies_of(returned)
        kind.latest = recording
        kind.returns_numbers = returns_numbers(returned)
        if kind.first is None:
            kind.expected, kind.settings, kind.tracked = recording.expected, recording.settings, recording.tracked
            kind.first = recording
        else:
            require_agreement(kind.first, recording)
            require_same_return(kind.returned, returned)
            planner = Planner(kind.first, recording, called(self._fn))
            runner = planner.runner()  # an interrupt until here leaves the call one to be recorded again
            kind.planner, kind.runner, kind.first = planner, runner, None
        kind.returned = with_copies(returned, list(copies))
        return with_copies(returned, copies)

    def _replay_checked(self, kind: Kind, given: Any, tensors: list[Tensor]) -> Any:
        """A run of the function itself, which stands, and a replay that is compared with it and undone."""
        program = kind.runner.program
        before = Snapshot(program, copies=True)
        returned, recording = self._original.recorded(given, tensors, keeps_arrays=True)
        try:
            require_same_return(kind.returned, returned)
            require_agreement(kind.latest, recording, CHECKED)
            require_same_leaves(program.cells, recording)
        except ReplayError as error:
            raise ReplayError(
                f"a replay came to something else than the step itself, whose own outcome stands: {error}"
            ) from None
        copies, after = copies_of(returned), Snapshot(program, copies=False)
        try:
            before.restore()
            check(kind.runner, recording, [*(t._data for t in tensors), *self._original.cotangents], after)
        except Exception as error:
            self._distrust(kind, error)
        else:
            kind.checked = True
            kind.planner.settle()
        finally:
            try:
                after.restore()
            except BaseException:  # an interrupt
                after.restore()
                raise
        return with_copies(returned, copies)

    def _distrust(self, kind: Kind, error: Exception) -> None:
        """The replay is wrong: run in a plainer way from now on, unless a kernel of the user's own disagrees with itself."""
        if isinstance(error, DisagreementError) and error.in_users_primitive:
            raise ReplayError(
                f"a replay came to something else than the step itself, whose own outcome stands: {error}. The kernel of a "
                "primitive must make the same of the same arrays and attributes, and write into none of its inputs."
            ) from None
        reason = str(error) if isinstance(error, DisagreementError) else f"it failed with {type(error).__name__}: {error}"
        kind.planner.lower(reason)
        kind.runner = kind.planner.runner()

    def check(self, every: int) -> Compiled:
        """Compare every so many replays with the function itself, for state that no recording can see: what a file or a clock
        says, an iterator, the middle of a large list.

        Without this, the replays 1, 10, 100, 1,000 and so on of each signature are compared. A comparison runs the function
        itself and takes as long; where the two differ, the error says in what, the function's own outcome stands, and the
        next call is recorded anew. What changes for a while between two comparisons goes unnoticed.

        Args:
            every: 100 compares each hundredth replay; 0 compares none but the first.

        Returns:
            the compiled function.

        Raises:
            ValueError: `every` is negative.

        >>> import tensorgrad as tg
        >>> double = tg.compile(lambda x: x * 2.0).check(every=50)
        """
        if every < 0:
            raise ValueError(f"check: every must be a number of replays, or 0 for none, and is {every}")
        self._check_every = every
        return self

    def plan(self) -> ReplayPlan:
        """The plan of the signature called last: print it, or `save` it as a picture."""
        if self._latest is None or self._latest.runner is None:
            why = self._cache.attempts.why_not() or "the first two calls of a signature record it; call the function twice"
            raise ReplayError(f"there is no plan yet: {why}")
        return ReplayPlan(self._latest.runner, called(self._fn))


class Method(Compiled):
    """A compiled function as the method of one instance, which it does not keep alive."""

    def __init__(self, fn: Callable[..., Any], instance: Any, check_every: int | None) -> None:
        try:
            reference: Callable[[], Any] = weakref.ref(instance)
        except TypeError:  # an object with slots alone
            reference = lambda: instance  # noqa: E731
        super().__init__(fn, lambda: MethodType(fn, reference()))
        self._instance = reference
        self._check_every = check_every

    def __call__(self, instance: Any, *arguments: Any, **settings: Any) -> Any:
        return super().__call__(*arguments, **settings)

    def forget_with(self, instance: Any, made: OrderedDict[int, Method]) -> None:
        """Leave a table when the instance goes, or where nothing tells when it does, when there are many others."""
        if isinstance(self._instance, weakref.ref):
            weakref.finalize(instance, made.pop, id(instance), None)
        elif len(made) > KINDS:
            made.popitem(last=False)


def compile(fn: Callable[..., Any]) -> Compiled:
    """A function that does what `fn` does, faster: it records the primitives that `fn` runs, and replays them without
    its Python code.

    `fn` is a whole training step or any part of one, or a model. It takes tensors, arrays, numbers, and containers of them,
    and whatever else decides how it computes; parameters, buffers, optimizers and generators that it closes over are state,
    which replays read and update as `fn` itself would. Arrays enter as tensors. The tensors returned are copies.

    The first two calls of each signature (shapes, dtypes, settings) run `fn` itself and must do the same; the third is
    replayed beside `fn` and compared with it step by step. From then on `fn` runs only to be compared with the replays 10,
    100, 1,000 and so on, see `check`. The result equals that of `fn` to rounding. A replay that is broken off, by Ctrl-C or
    by an error such as a label out of range, leaves parameters, state and generators as they were before it, or as they are
    after it.

    Where `fn` returns what depends on parameters, or on arguments that require a gradient, `backward()` goes on through it: to
    the graph `fn` is one node, whose backward pass replays too. So a compiled model trains as the model itself does, and has
    its attributes and methods. Like a graph, such a result keeps memory until its backward pass has run, or it is gone; call
    the function under `tg.no_grad()` where no gradient is wanted. Only first derivatives go through it: of higher ones the
    inner must be taken inside of `fn`.

    A number among the arguments, such as a learning rate or a counter, is replayed whatever it is, where primitives compute
    with it; arithmetic with other numbers may come before. Where Python code reads it, as a shape or in an `if`, each value is
    recorded, as are booleans, strings, None and members of an Enum.

    Replays run no Python code. So they notice when what this code depends on has changed: numbers, flags, functions and
    layers in closure cells, globals, defaults, attributes, lists and dicts, and the settings of modules and optimizers. Then
    the call is recorded anew, and values that alternate are each replayed. A value that differs at each call never is: a
    RuntimeWarning names it once, and so it does what `fn` itself changes at each call, such as a counter, which replays leave
    as it is. Files, clocks, iterators and what lies deep in large lists are not seen; the comparisons are for them.

    The compiled function counts its `recordings` and its `replays`. Compiled in the body of a class, it is a method whose
    instances each have replays of their own, which go with them.

    Raises:
        ReplayError: at a call, if `fn` does what a replay could not repeat, with the line: it reads a tensor's value,
            sets `.data`, computes with Python numbers or raw arrays that change, or returns something else each time.

    >>> import tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> @tg.compile
    ... def step(x):
    ...     w.grad = None
    ...     loss = ((w * x) ** 2).sum()
    ...     loss.backward()
    ...     tg.assign(w, w.detach() - 0.1 * w.grad)
    ...     return loss
    >>> [round(step(tg.Tensor([1.0, 1.0])).item(), 4) for _ in range(4)]
    [5.0, 3.2, 2.048, 1.3107]
    >>> step.recordings, step.replays
    (2, 2)
    """
    return Compiled(fn)
