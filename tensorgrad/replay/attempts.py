"""Attempts: a function whose calls are all of another kind is not recorded for ever, and says why it does not replay."""

from __future__ import annotations

import warnings

IN_A_ROW = 5
"""After so many new kinds of calls without a replay in between, most calls run as they are, without being recorded."""

SHAPES_IN_A_ROW = 100
"""After so many of them by shapes alone, which a loop over all kinds of inputs may have too, this is worth a warning."""


class Attempts:
    """Counts the new kinds of calls since the last replay."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        self._left = 0  # calls to run without recording
        self._pause = 1
        self._told = False
        self.reason = ""

    def begin(self, reason: str, by_shape: bool) -> bool:
        """A call of a new kind, and why it is one. Whether to record it."""
        self._count += 1
        self.reason = reason
        if self._count > (SHAPES_IN_A_ROW if by_shape else IN_A_ROW) and not self._told:
            self._told = True
            warnings.warn(f"{self._name} is not replayed: {reason}.", RuntimeWarning, stacklevel=4)
        if self._count <= IN_A_ROW:
            return True
        if self._left:
            self._left -= 1
            return False
        self._left = self._pause = 2 * self._pause
        return True

    def why_not(self) -> str | None:
        """Why there has been no replay, if it is not for want of calls."""
        return self.reason if self._count > 2 else None

    def succeeded(self) -> None:
        """A replay."""
        self._count, self._left, self._pause = 0, 0, 1
