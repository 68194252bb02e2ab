"""Refusal: why a step cannot be replayed, with the user's line."""

from __future__ import annotations

import linecache
import sys

INTERNAL = ("tensorgrad", "nn")


class ReplayError(RuntimeError):
    """A compiled function does something that a replay would leave out or repeat wrongly. The message says where, and
    what to do."""


def line_of_user() -> str:
    """Where the user's own code is now: `file:line` and the text of that line."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (*INTERNAL, "numpy"):
        frame = frame.f_back
    if frame is None:
        return ""
    file, line = frame.f_code.co_filename, frame.f_lineno
    return described(file, line, linecache.getline(file, line).strip())


def described(file: str, line: int, text: str = "") -> str:
    return f"\n  {file}:{line}\n    {text}" if text else f"\n  {file}:{line}"
