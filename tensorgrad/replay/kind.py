"""Kind: what is known about the calls of a compiled function that are alike."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fallback import Planner
from .gradient import Outline
from .guards import Guard
from .halves import HalvedRunner, Runners
from .record import Recording
from .runner import Runner


class Kind:
    """What is known about calls of one signature: the first recording, then a runner."""

    def __init__(self) -> None:
        self.first: Recording | None = None
        self.planner: Planner | None = None
        self.runner: Runner | None = None
        self.returned: Any = None  # by the latest recording: what else than tensors a call returns
        self.returns_numbers = False  # whether numbers among them are made of numbers among the arguments
        self.outline: Outline | None = None  # of the backward pass of what the function returns
        self._runners: Runners | None = None  # where that is replayed too
        self.expected: dict[Tensor, bool] = {}
        self.settings: list[tuple[Any, str, Any]] = []
        self.tracked: dict[Tensor, bool] = {}
        self.latest: Recording | None = None
        self.guard: Guard | None = None
        self.checked = False
        self.runs = 0
        self._next_check = 10

    def applies(self) -> bool:
        """Whether what Python code looked at is still as it was."""
        return (
            all((leaf._grad is not None) == there for leaf, there in self.expected.items())
            and all(getattr(owner, name) == value for owner, name, value in self.settings)
            and all(leaf._requires_grad == tracked for leaf, tracked in self.tracked.items())
            and (self.latest is None or self.latest.still_share())
            and (self.guard is None or self.guard.holds())
        )

    def runners(self) -> Runners | None:
        """The runners that take turns, where results may be differentiated: each keeps what its backward pass needs."""
        if not isinstance(self.runner, HalvedRunner):
            return None
        if self._runners is None or self._runners.program is not self.runner.program:
            self._runners = Runners(self.runner)
        return self._runners

    def due(self, every: int | None) -> bool:
        """Whether the replay that comes now is compared with the function itself."""
        if not self.checked:
            return True
        if every is None:
            if self.runs < self._next_check:
                return False
            self._next_check *= 10
            return True
        return every > 0 and self.runs % every == 0

    def reads(self, holder: Any) -> bool:
        """Whether replays read the contents of an array themselves."""
        if self.runner is None:
            return False
        program = self.runner.program
        return any(program.constants[value] is holder for value in program.live)
