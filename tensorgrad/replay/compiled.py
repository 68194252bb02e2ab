"""compile: record a step function twice, then replay it."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np

from ..kernels.heap import release_memory
from ..kernels.winograd import Switch
from ..state import current
from ..tensor import Tensor
from .check import DisagreementError, check
from .compare import CHECKED, require_agreement, require_same_leaves, require_same_return
from .fallback import Planner
from .plan import ReplayPlan
from .record import Recording, record
from .refusal import ReplayError
from .runner import Runner
from .signature import flatten, rebuild, tensors_in, with_copies
from .undo import Snapshot

KINDS = 16
"""How many kinds of calls are remembered; of more, the one not seen for longest is forgotten."""


class Kind:
    """What is known about calls of one signature: the first recording, then a runner."""

    def __init__(self) -> None:
        self.first: Recording | None = None
        self.planner: Planner | None = None
        self.runner: Runner | None = None
        self.returned: Any = None  # by the latest recording: what else than tensors a call returns
        self.expected: dict[Tensor, bool] = {}
        self.settings: list[tuple[Any, str, Any]] = []
        self.tracked: dict[Tensor, bool] = {}
        self.latest: Recording | None = None
        self.checked = False
        self.runs = 0

    def applies(self) -> bool:
        """Whether what Python code looked at is still as it was."""
        return (
            all((leaf._grad is not None) == there for leaf, there in self.expected.items())
            and all(getattr(owner, name) == value for owner, name, value in self.settings)
            and all(leaf._requires_grad == tracked for leaf, tracked in self.tracked.items())
            and (self.latest is None or self.latest.still_share())
        )


class Compiled:
    """A step function that replays; see `compile`."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._fn = fn
        self._kinds: OrderedDict[Any, list[Kind]] = OrderedDict()
        self._check_every = 0
        self._lock = threading.RLock()
        self._latest: Kind | None = None

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        if current().recorder is not None:  # a trace is to see the step itself
            return self._fn(*arguments, **settings)
        tensors, key = flatten((arguments, settings))
        with self._lock:
            kind = self._kind((key, current().builds_graph, Switch.on))
            self._latest = kind
            if kind.planner is None:
                return self._record(kind, (arguments, settings), tensors)
            if kind.runner is None:
                return self._eagerly((arguments, settings), tensors)
            kind.runs += 1
            due = not kind.checked or (self._check_every and kind.runs % self._check_every == 0)
            if due:
                returned = self._replay_checked(kind, (arguments, settings), tensors)
                release_memory()  # replays need little of what recording and comparing took
                return returned
            results = kind.runner.run([t._data for t in tensors])
            return with_copies(kind.returned, results)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy knows the function, or the copy's own method, and records it anew."""
        return compile, (self._fn,)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A method, where the function was compiled in the body of a class."""
        return self if instance is None else MethodType(self, instance)

    def _kind(self, key: Any) -> Kind:
        kinds = self._kinds.setdefault(key, [])
        self._kinds.move_to_end(key)
        found = next((kind for kind in kinds if kind.applies()), None)
        if found is None:
            found = Kind()
            kinds.append(found)
            while sum(map(len, self._kinds.values())) > KINDS:
                oldest = next(iter(self._kinds.values()))
                oldest.pop(0)
                if not oldest:
                    self._kinds.popitem(last=False)
        return found

    def _call(self, given: Any, tensors: list[Tensor]) -> Any:
        arguments, settings = rebuild(given, list(tensors))
        return self._fn(*arguments, **settings)

    def _eagerly(self, given: Any, tensors: list[Tensor]) -> Any:
        returned = self._call(given, tensors)
        return with_copies(returned, _copies(returned))

    def _recorded(self, given: Any, tensors: list[Tensor], keeps_arrays: bool = False) -> tuple[Any, Recording]:
        return record(lambda: self._call(given, tensors), tensors, tensors_in, self._title, keeps_arrays)

    @property
    def _title(self) -> str:
        return getattr(self._fn, "__name__", "step")

    def _record(self, kind: Kind, given: Any, tensors: list[Tensor]) -> Any:
        """A call that runs the function itself, and is recorded."""
        returned, recording = self._recorded(given, tensors)
        copies = _copies(returned)
        kind.latest = recording
        if kind.first is None:
            kind.first = recording
            kind.expected, kind.settings, kind.tracked = recording.expected, recording.settings, recording.tracked
        else:
            require_agreement(kind.first, recording)
            require_same_return(kind.returned, returned)
            kind.planner = Planner(kind.first, recording, self._title)
            kind.runner = kind.planner.runner()
            kind.first = None
        kind.returned = with_copies(returned, list(copies))
        return with_copies(returned, copies)

    def _replay_checked(self, kind: Kind, given: Any, tensors: list[Tensor]) -> Any:
        """A run of the function itself, which stands, and a replay that is compared with it and undone."""
        program = kind.runner.program
        before = Snapshot(program, copies=True)
        returned, recording = self._recorded(given, tensors, keeps_arrays=True)
        try:
            require_same_return(kind.returned, returned)
            require_agreement(kind.latest, recording, CHECKED)
            require_same_leaves(program.cells, recording)
        except ReplayError as error:
            raise ReplayError(
                f"a replay came to something else than the step itself, whose own outcome stands: {error}"
            ) from None
        copies, after = _copies(returned), Snapshot(program, copies=False)
        try:
            before.restore()
            check(kind.runner, recording, [t._data for t in tensors], after)
        except Exception as error:
            self._distrust(kind, error)
        else:
            kind.checked = True
            kind.planner.settle()
        finally:
            after.restore()
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
        """Compare every so many replays with the function itself, for state that a recording cannot see and that
        changes rarely.

        The first replay of each signature is always compared. What a comparison cannot find between two of them goes unnoticed.

        Args:
            every: 100 compares each hundredth replay; 0 stops comparing.

        Returns:
            the compiled function.
        """
        if every < 0:
            raise ValueError(f"check: every must be a number of replays, or 0 for none, and is {every}")
        self._check_every = every
        return self

    def plan(self) -> ReplayPlan:
        """The plan of the signature called last: print it, or `save` it as a picture."""
        if self._latest is None or self._latest.runner is None:
            raise ReplayError("there is no plan yet: the first two calls of a signature record it; call the function twice")
        return ReplayPlan(self._latest.runner, self._title)


def _copies(returned: Any) -> list[Tensor]:
    """Copies of the tensors that a step returned."""
    return [Tensor.wrap(np.array(t._data, order="K", copy=True)) for t in tensors_in(returned)]


def compile(fn: Callable[..., Any]) -> Compiled:
    """A function that does what `fn` does, faster: it records the primitives that `fn` runs, and replays them without
    its Python code.

    `fn` is a whole training step or any part of one. It takes tensors, arrays, and containers of them, and whatever
    else decides how it computes; parameters, buffers, optimizers and generators that it closes over are state, which replays
    read and update as `fn` itself would. Arrays enter as tensors. The tensors returned are copies without a graph.

    The first two calls of each signature (shapes, dtypes, settings) run `fn` itself and must do the same; the third is
    replayed beside `fn` and compared with it step by step. From then on `fn` does not run. The result equals that of `fn` to
    rounding. If a replay is interrupted by an error, as where a label is out of range, then what it was about to update is old,
    new, or part of both.

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
    """
    return Compiled(fn)
