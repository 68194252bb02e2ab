"""The table of primitives: one row for each, which says how to draw applications of it and what to compare with.

`tests/test_primitives.py` runs the same checks on every row, and fails where a registered primitive has none.
"""

from . import elementwise, images, losses, matrices, normalizations, reductions, shapes, updates
from .table import Call, Row, lay_out

ROWS: list[Row] = [
    *elementwise.ROWS,
    *shapes.ROWS,
    *reductions.ROWS,
    *matrices.ROWS,
    *images.ROWS,
    *normalizations.ROWS,
    *losses.ROWS,
    *updates.ROWS,
]

__all__ = ["ROWS", "Call", "Row", "lay_out"]
