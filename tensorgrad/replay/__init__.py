"""Replay: a step recorded as a graph, planned, and run again without the Python code that made it."""

from .compiled import Compiled, compile
from .refusal import ReplayError

__all__ = ["Compiled", "ReplayError", "compile"]
