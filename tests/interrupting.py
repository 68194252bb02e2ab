"""Interrupting a call at each point where an interrupt may come."""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


@functools.cache
def loops(code: CodeType) -> set[int]:
    """Where in the code a loop begins anew."""
    return {instruction.offset for instruction in dis.get_instructions(code) if instruction.opname.startswith("JUMP_BACK")}


class Interrupting:
    """Runs a call, and raises KeyboardInterrupt at one of the points where Python looks for signals: when a function begins,
    when one written in C is done, and when a loop begins anew, in files whose paths begin so."""

    def __init__(self, point: int, *where: str) -> None:
        self._where = where
        self.left = point
        self.came = False

    def __call__(self, work: Callable[[], Any]) -> None:
        tracing, profiling = sys.gettrace(), sys.getprofile()
        try:
            sys.settrace(self._enter)
            sys.setprofile(self._call)
            work()
        finally:
            sys.setprofile(profiling)
            sys.settrace(tracing)

    def _call(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_return"):
            self._reach(frame)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        return self._inside

    def _inside(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode" and frame.f_lasti in loops(frame.f_code):
            self._reach(frame)
        return self._inside

    def _reach(self, frame: FrameType) -> None:
        if not frame.f_code.co_filename.startswith(self._where) or self.came:
            return
        self.left -= 1
        if self.left < 0:
            self.came = True
            raise KeyboardInterrupt


def points(run: Callable[[int], bool], every: int = 1) -> int:
    """Run with an interrupt at the first point, at a later one and so on, until none comes any more. Returns their number."""
    point = 0
    while run(point):
        point += every
    return point


def interrupted(interrupting: Interrupting, work: Callable[[], Any]) -> bool:
    """Whether an interrupt came. Python itself swallows one that comes while an object is finalized."""
    with contextlib.suppress(KeyboardInterrupt):
        interrupting(work)
    return interrupting.came
