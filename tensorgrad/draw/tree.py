"""The tree that a picture's rows are cut from: bands with what is inside, built without recursion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .picture import Band, Input, Loss, Op, Row


@dataclass(slots=True, eq=False)
class Branch:
    """A row and, for a band, the branches inside it."""

    row: Row | None
    inside: list[Branch] | None = None

    def preorder(self) -> Iterator[Branch]:
        """This branch and all inside it, each before what it holds."""
        stack = [self]
        while stack:
            branch = stack.pop()
            yield branch
            stack.extend(reversed(branch.inside or ()))


@dataclass(slots=True)
class Tree:
    """All rows of a picture before they are numbered.

    Attributes:
        root: a branch without a row; row ids that were merged into others are in `merged`.
    """

    root: Branch = field(default_factory=lambda: Branch(None, []))
    merged: dict[str, str] = field(default_factory=dict)

    def bands(self) -> list[Branch]:
        """The root and every band, each before the bands inside it."""
        return [branch for branch in self.root.preorder() if branch.inside is not None]

    def rows(self) -> list[Row]:
        """All rows in preorder, with `band` and `end` set, bands summed up and references to merged rows led on."""
        rows: list[Row] = []
        stack: list[Branch | int] = list(reversed(self.root.inside or ()))
        around = [-1]
        while stack:
            branch = stack.pop()
            if isinstance(branch, int):  # the band at this index is complete
                rows[branch].end = len(rows)
                around.pop()
                continue
            branch.row.band = around[-1]
            rows.append(branch.row)
            if branch.inside is not None:
                around.append(len(rows) - 1)
                stack.append(len(rows) - 1)
                stack.extend(reversed(branch.inside))
        self._sum_up(rows)
        if self.merged:
            self._lead_on(rows)
        for number, op in enumerate((row for row in rows if isinstance(row, Op)), 1):
            op.number = number
        for index, row in enumerate(rows):
            if isinstance(row, Band) and row.role == "chunk":
                inside = [r.number for r in rows[index : row.end] if isinstance(r, Op)]
                row.name = f"r{inside[0]} to r{inside[-1]}" if inside else "rows"
                row.path = f"{row.path} {row.name}"
        return rows

    def _sum_up(self, rows: list[Row]) -> None:
        for row in reversed(rows):
            if row.band >= 0:
                band = rows[row.band]
                band.sum.add(row.sum)
                if isinstance(band, Band) and band.out is None:
                    band.out = row.out if isinstance(row, Op | Band) else None

    def _lead_on(self, rows: list[Row]) -> None:
        to = self.merged
        for row in rows:
            if isinstance(row, Op):
                for edge in [*row.inputs, *(edge for back in row.backs for edge in back.grads)]:
                    edge.row = to.get(edge.row, edge.row)
                for saved in row.saved:
                    saved.made_by, saved.shares = to.get(saved.made_by, saved.made_by), to.get(saved.shares, saved.shares)
                for param in row.params:
                    param.shared = to.get(param.shared, param.shared)
                for back in row.backs:
                    back.rows = list(dict.fromkeys(to.get(r, r) for r in back.rows))
            elif isinstance(row, Input):
                row.beside = to.get(row.beside, row.beside)
            elif isinstance(row, Loss):
                row.row = to.get(row.row, row.row)
