"""Folding: what is repeated stands once, with ×N; what is too long for one list is cut into chunks."""

from __future__ import annotations

from .tree import Tree


def fold(tree: Tree) -> None:
    """Fold repeated rows."""


def chunk(tree: Tree) -> None:
    """Cut long lists."""
