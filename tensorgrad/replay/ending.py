"""The end of a run, in which leaves are given their new values: once begun, it is done to its end, and each call once.

NumPy's functions are called from a loop that is itself written in C, in which Python looks for no signals. So an interrupt
comes before the loop or after it, and never between a call and the note that it was made.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Sequence
from functools import partial

import numpy as np

from ..kernels.threads import Call, at_once
from .program import Stage


class Share:
    """Calls for one thread. They may be broken off and taken up again."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._left = iter(calls)
        self._done = False

    def __call__(self) -> None:
        deque(map(operator.call, self._left), maxlen=0)
        self._done = True

    def take_up(self) -> None:
        """Make the calls that are left. A Python function that was broken off is called again: it must bear that."""
        if self._done:
            return
        made = len(self._calls) - operator.length_hint(self._left)
        if made and not _whole(self._calls[made - 1]):
            self._calls[made - 1]()
        self()


class Ending:
    """The last stages of a program.

    Stages for one thread that follow each other are one.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages: list[list[list[Call]]] = []
        for stage in stages:
            shares = [calls_of(work) for work in stage]
            if len(shares) == 1 and self._stages and len(self._stages[-1]) == 1:
                self._stages[-1][0].extend(shares[0])
            else:
                self._stages.append(shares)

    def shares(self) -> list[list[Share]]:
        """What one run has to do, stage after stage."""
        return [[Share(calls) for calls in stage] for stage in self._stages]


def run(stages: list[list[Share]]) -> None:
    for shares in stages:
        at_once(shares)


def take_up(stages: list[list[Share]]) -> None:
    """Do what is left of a run that was broken off."""
    for shares in stages:
        for share in shares:
            share.take_up()


def calls_of(work: Call) -> list[Call]:
    """The calls that a piece of work consists of."""
    parts = getattr(work, "calls", None)
    return [work] if parts is None else [call for part in parts for call in calls_of(part)]


def _whole(call: Call) -> bool:
    """Whether a call is one of NumPy's own functions, which no interrupt breaks off."""
    function = call.func if isinstance(call, partial) else call
    return isinstance(function, np.ufunc) or type(function) is type(len)
