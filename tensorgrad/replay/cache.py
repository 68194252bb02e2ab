"""The kinds of calls that a compiled function remembers, and why one may be of a new kind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .attempts import Attempts
from .kind import Kind
from .signature import exactly

KINDS = 16
"""How many kinds of calls are remembered; of more, the one not seen for longest is forgotten."""


class Cache:
    """Kinds of calls by their signature.

    A number among the arguments is no part of the signature, unless Python code has read it: then each value is a kind of
    its own.

    Attributes:
        kinds: by the signature and the numbers that were read. Kinds under one key differ by what Python code found around it;
            that of the latest call is the first.
        attempts: decides whether a new kind is worth recording.
    """

    def __init__(self, name: str) -> None:
        self.kinds: OrderedDict[Any, list[Kind]] = OrderedDict()
        self.attempts = Attempts(name)
        self._read: OrderedDict[Any, dict[int, str]] = OrderedDict()  # by signature: places of numbers, with the lines
        self._last: dict[int, Any] = {}  # the numbers that were read, at the latest call with any

    def find(self, signature: Any, numbers: list[Any], names: Callable[[], list[str]]) -> Kind | None:
        """What is known of calls like this one; None where it is not worth recording. `names` are those of the numbers."""
        key = self._key(signature, numbers)
        kinds = self.kinds.get(key, [])
        for place, kind in enumerate(kinds):
            if kind.applies():
                if place:
                    kinds.insert(0, kinds.pop(place))  # where it is found first the next time
                self.kinds.move_to_end(key)
                return kind
        reason = self._why(signature, numbers, kinds, names)
        if not self.attempts.begin(reason or OTHER_SHAPES, by_shape=not reason):
            return None
        found = Kind()
        self._add(key, found)
        return found

    def settle(self, kind: Kind, signature: Any, numbers: list[Any], read: dict[int, str]) -> None:
        """A call of this kind has run, and Python code has read these numbers: then it is of the kind with their values."""
        known = self._read.get(signature, {})
        if read.keys() <= known.keys():
            return
        self.kinds.pop(self._key(signature, numbers), None)
        self._read[signature] = read | known
        if len(self._read) > 4 * KINDS:
            self._read.popitem(last=False)
        self._add(self._key(signature, numbers), kind)

    def forget(self, kind: Kind) -> None:
        """Let the next call be recorded anew."""
        for key, kinds in list(self.kinds.items()):
            kinds[:] = [other for other in kinds if other is not kind]
            if not kinds:
                del self.kinds[key]

    def all(self) -> list[Kind]:
        return [kind for kinds in self.kinds.values() for kind in kinds]

    def _key(self, signature: Any, numbers: list[Any]) -> Any:
        read = self._read.get(signature)
        return signature, tuple((k, exactly(numbers[k])) for k in sorted(read)) if read else ()

    def _add(self, key: Any, kind: Kind) -> None:
        self.kinds.setdefault(key, []).insert(0, kind)
        self.kinds.move_to_end(key)
        while len(self.all()) > KINDS:
            oldest = next(iter(self.kinds.values()))
            oldest.pop()
            if not oldest:
                self.kinds.popitem(last=False)

    def _why(self, signature: Any, numbers: list[Any], kinds: list[Kind], names: Callable[[], list[str]]) -> str:
        """Why a call is of a new kind, if not by its shapes or settings."""
        changed = [name for kind in kinds[:1] if kind.guard is not None for name in kind.guard.changed()]
        if changed:
            return (
                f"{', '.join(changed)} changed between its latest calls, and each time it must be recorded anew. A value that "
                "changes from call to call must enter as an argument, or live in a tensor that tg.assign updates"
            )
        read = self._read.get(signature, {})
        before, self._last = self._last, {k: exactly(numbers[k]) for k in read}
        differing = [k for k in read if k in before and before[k] != self._last[k]]
        if not differing:
            return ""
        return (
            f"its argument {names()[differing[0]]} differs from call to call, and Python code, or an attribute of a primitive, "
            "depends on the number itself, so that each value must be recorded. A number that primitives only compute with, by "
            f"+, - and the like, is replayed whatever it is; so is a tensor{read[differing[0]]}"
        )


OTHER_SHAPES = "each of its latest calls had other shapes, dtypes or settings than all before"
