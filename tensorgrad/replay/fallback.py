"""Falling back: a replay that the engine got wrong costs the user speed, and never the run."""

from __future__ import annotations

import warnings

from .fusion import fuse
from .halves import HalvedRunner, halve, keep_old_values
from .memory import place
from .passes import put_updates_last, simplify
from .program import program_of
from .record import Recording
from .runner import Runner

FUSED, UNFUSED, EAGER = "fused", "unfused", "eagerly"
"""How a compiled function runs, from the fastest to the plainest."""


class Planner:
    """Makes runners for two recordings of a step, each time a plainer one after the last was found wrong.

    Attributes:
        level: how the function runs now.
    """

    def __init__(self, first: Recording, second: Recording, title: str) -> None:
        self.level = FUSED
        self._recordings: tuple[Recording, Recording] | None = (first, second)
        self._title = title

    def runner(self) -> Runner | None:
        """A runner, or None where the function itself must run."""
        while self.level != EAGER:
            try:
                program = program_of(*self._recordings)
                simplify(program)
                if program.cotangents:
                    keep_old_values(program)
                if self.level == FUSED:
                    fuse(program)
                put_updates_last(program)
                if program.cotangents:
                    halve(program)
                return (HalvedRunner if program.cotangents else Runner)(program, place(program))
            except Exception as error:
                self.lower(f"planning it failed with {type(error).__name__}: {error}")
        return None

    def lower(self, reason: str) -> None:
        """Go to the next level, and say why."""
        self.level = UNFUSED if self.level == FUSED and self._recordings is not None else EAGER
        how = "without fused kernels" if self.level == UNFUSED else "eagerly, as if it were not compiled"
        warnings.warn(
            f"tg.compile: the replay of {self._title} cannot be trusted: {reason}. From now on it runs {how}: its results are "
            "right, and it is slower. This is a fault of tensorgrad; please report it with this message.",
            RuntimeWarning,
            stacklevel=5,
        )

    def settle(self) -> None:
        """The runner is right: let go of what another one would be made of."""
        self._recordings = None
