"""Fusion."""

from __future__ import annotations

from .program import Program


def fuse(program: Program) -> None:
    """Put several steps into one where that saves memory traffic."""
