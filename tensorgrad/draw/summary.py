"""The table of a graph: what each module and op puts out, holds, keeps, computes, and how long it takes."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..console import for_console
from . import text
from .lanes import band_title
from .picture import Band, Op, Picture, Sums, build

if TYPE_CHECKING:
    from ..graph import Graph

HEADINGS = ("scope", "op", "output", "parameters", "saved", "FLOPs", "forward", "backward", "update", "share")
LEFT = ("scope", "op", "output")


@dataclass(slots=True)
class Row:
    """A line of the table.

    Attributes:
        scope: the module path; `op`: the primitive, or the class of a module.
        level: how deep it stands; `group`: whether the lines below it, one level deeper, are its parts.
        output: the shape of what it returns, None where that is not one array.
        sum: what it adds up to.
        times: how often it stands for.
    """

    scope: str
    op: str
    level: int
    group: bool
    output: tuple[int, ...] | None
    sum: Sums
    times: int = 1


@dataclass(slots=True)
class Summary:
    """What `graph.summary()` returns; as text and in notebooks it is a table.

    Attributes:
        title: of the graph.
        rows: lines in the order of execution. Those that are no groups add up to the total, at any depth.
        total: sums over the whole graph.
    """

    title: str
    rows: list[Row]
    total: Sums

    def __str__(self) -> str:
        table, columns = self._table()
        widths = {k: max(len(HEADINGS[k]), *(len(cells[k]) for cells in table)) for k in columns}

        def line(cells: tuple[str, ...]) -> str:
            padded = [cells[k].ljust(widths[k]) if HEADINGS[k] in LEFT else cells[k].rjust(widths[k]) for k in columns]
            return "  ".join(padded).rstrip()

        rule = "-" * (sum(widths.values()) + 2 * (len(columns) - 1))
        lines = [line(HEADINGS), rule, *map(line, table[:-1]), rule, line(table[-1])]
        return for_console("\n".join([self.title, *lines] if self.title else lines))

    def _repr_html_(self) -> str:
        table, columns = self._table()
        bold = [row.group for row in self.rows] + [True]
        head = "".join(f"<th>{HEADINGS[k]}</th>" for k in columns)
        lines = []
        for cells, strong in zip(table, bold, strict=True):
            written = {k: f"<b>{html.escape(cells[k])}</b>" if strong else html.escape(cells[k]) for k in columns}
            sides = {k: "left" if HEADINGS[k] in LEFT else "right" for k in columns}
            lines.append("".join(f'<td style="text-align:{sides[k]};white-space:pre">{written[k]}</td>' for k in columns))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><caption>{html.escape(self.title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _table(self) -> tuple[list[tuple[str, ...]], list[int]]:
        """The cells of all lines, the total last, and the columns that have something to say."""
        lines = []
        for row in self.rows:
            op = row.op + (f" ×{row.times}" if row.times > 1 else "")
            lines.append(self._cells("  " * row.level + row.scope, op, row.output, row.sum))
        lines.append(self._cells("total", "", None, self.total))
        return lines, [k for k, name in enumerate(HEADINGS) if name in LEFT or any(cells[k] for cells in lines)]

    def _cells(self, scope: str, op: str, output: tuple[int, ...] | None, of: Sums) -> tuple[str, ...]:
        times = [text.ms(of.ms[phase]) if of.ms and of.ms[phase] else "" for phase in ("forward", "backward", "update")]
        flops = sum(of.flops.values())
        return (
            scope,
            op,
            "" if output is None else text.shape(output),
            f"{of.parameters:,}" if of.parameters else "",
            text.size(of.saved_bytes) if of.saved_bytes else "",
            text.flops(flops) if flops else "",
            *times,
            text.percent(of.all_ms / self.total.all_ms) if self.total.all_ms else "",
        )


def summary(graph: Graph, depth: int | None = None) -> Summary:
    """The table of a graph.

    Args:
        graph: what ran.
        depth: how many levels of modules are opened; None opens all, 0 gives one line for each outermost module.

    >>> import tensorgrad as tg
    >>> w = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    >>> with tg.trace() as step, tg.scope("head"):
    ...     tg.linear(tg.Tensor([[3.0, 4.0]]), w).sum().backward()
    >>> print(step.summary())
    scope   op      output  parameters  saved  FLOPs
    ------------------------------------------------
    head                             2    8 B    9 F
      head  linear  (1,1)            2    8 B    8 F
      head  sum     ()                           1 F
    ------------------------------------------------
    total                            2    8 B    9 F
    """
    picture = build(graph, depth=depth)
    return Summary(picture.title, list(_rows(picture)), picture.total)


def _rows(picture: Picture):
    levels: dict[int, int] = {-1: -1}
    index = {id(row): k for k, row in enumerate(picture.rows)}
    for row in picture.visible():
        level = levels[row.band] + 1
        if isinstance(row, Band):
            alone = row.end == index[id(row)] + 2 and isinstance(picture.rows[row.end - 1], Op)
            if alone and not row.closed and row.role == "module":  # the line of its only op says the same
                levels[index[id(row)]] = level - 1
                continue
            levels[index[id(row)]] = level
            out = None if row.out is None or not row.closed else tuple(row.out.shape)
            scope = row.path if row.role == "module" else band_title(picture, row)
            yield Row(scope, row.module, level, not row.closed, out, row.sum, row.times)
        elif isinstance(row, Op):
            out = None if row.out is None else tuple(row.out.shape)
            op = f"∂ {row.op}" if row.phase == "backward" else row.op
            yield Row(row.scope, op, level, False, out, row.sum, row.times)
