"""Putting steps together, by pattern, wherever they stand in a program."""

from __future__ import annotations

from .convolution_patterns import fuse_convolutions
from .program import Program


def fuse(program: Program) -> None:
    """Fuse what can be fused: convolutions with what follows them."""
    fuse_convolutions(program)
