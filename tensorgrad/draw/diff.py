"""What has changed from one graph to another: ops added, removed and changed, as text and as a drawing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import for_console
from . import style, text
from .dot import tip
from .markup import TABLE, Card, Line, cell, font
from .picture import Array, Op, build

if TYPE_CHECKING:
    import graphviz

    from ..graph import Graph

LONG = 500  # ops between the first and the last difference
WIDTH = 230  # of a card in the drawing
SIGNS = {"added": "+", "removed": "-", "changed": "~"}
LOOKS = {"added": style.ADDED, "removed": style.REMOVED, "changed": style.CHANGED, "same": style.CONSTANT}


@dataclass(slots=True)
class Change:
    """One op of either graph: kind "added", "removed", "changed" or "same", with the op before and after.

    `details` says what differs: of what, before and after, such as ("out", "(64,8) f32", "(64,16) f32").
    """

    kind: str
    before: Op | None
    after: Op | None
    details: list[tuple[str, str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        op = self.after or self.before
        where = f"{op.scope}: " if op.scope else ""
        said = "; ".join(f"{what}: {old} → {new}" for what, old, new in self.details) or _out(op)
        return for_console(f"{SIGNS.get(self.kind, ' ')} {where}{op.op}{f'  {said}' if said else ''}")


class Diff:
    """What has changed between two graphs. It is false, and of length 0, where nothing has.

    Attributes:
        added, removed, changed: the ops, in the order of execution.
        all: these and the unchanged ones between them.
    """

    def __init__(self, before: Graph, after: Graph) -> None:
        self.titles = (text.clean(before.title) or "before", text.clean(after.title) or "after")
        self.all = _compared(_ops(before), _ops(after))
        self.added, self.removed, self.changed = ([c for c in self.all if c.kind == kind] for kind in SIGNS)

    def __len__(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)

    def __str__(self) -> str:
        if not self:
            return "no differences"
        counts = f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"
        return "\n".join([counts, *(str(change) for change in self.all if change.kind != "same")])

    def __repr__(self) -> str:
        return f"<Diff: {len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed>"

    def to_graphviz(self, context: int = 1) -> graphviz.Digraph:
        """Both graphs side by side, with `context` unchanged ops around each change."""
        return _drawn(self, context)

    def save(self, path: str | Path, *, context: int = 1, engine: str | None = None, timeout: float = 30.0) -> Path:
        """Draw the differences into a .svg, .png, .pdf or .dot, or write them as .txt."""
        from . import engines, write

        path = Path(path).expanduser()
        suffix = path.suffix.lower()
        if suffix not in (".svg", ".png", ".pdf", ".dot", ".txt"):
            raise ValueError(f"save: differences can be written as .svg, .png, .pdf, .dot and .txt, not {suffix!r}")
        if suffix == ".txt":
            return write(path, f"{self}\n".encode())
        source = self.to_graphviz(context).source
        if suffix == ".dot":
            return write(path, source.encode())
        return write(path, engines.render(source, suffix[1:], engine=engine, timeout=timeout, dpi=144))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """How a notebook shows it: drawn where there is an engine, else as text."""
        from . import engines

        bundle = {"text/plain": str(self)}
        with contextlib.suppress(engines.EngineError):  # without one, the text says all of it
            bundle["image/svg+xml"] = engines.render(self.to_graphviz().source, "svg", timeout=15.0).decode()
        return bundle


def diff(before: Graph, after: Graph) -> Diff:
    """What has changed from one graph to another.

    Ops are paired by their module path and name, in the order of execution; pairs are compared in settings, shapes, dtypes,
    parameters, saved values, backward ops and update. Values, times and versions don't count.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    >>> print(diff(tg.graph((x * x).sum()), tg.graph(tg.exp(x * x).sum(1))))
    1 added, 0 removed, 1 changed
    + exp  (1,2) f32
    ~ sum  settings: axis (0,1) → axis 1; out: () f32 → (1,) f32
    """
    return Diff(before, after)


def _ops(graph: Graph) -> list[Op]:
    return [row for row in build(graph).rows if isinstance(row, Op)]


def _compared(before: list[Op], after: list[Op]) -> list[Change]:
    keys = [[(op.scope, op.op, op.lane, op.phase) for op in ops] for ops in (before, after)]
    found: list[Change] = []
    for i, j, k, m in _paired(*keys):
        found += [Change("removed", op, None) for op in before[i:j]]
        found += [Change("added", None, op) for op in after[k:m]]
        if j < len(before) and m < len(after):
            details = _details(before[j], after[m])
            found.append(Change("changed" if details else "same", before[j], after[m], details))
    return found


def _paired(old: list[Any], new: list[Any]) -> Iterator[tuple[int, int, int, int]]:
    """What stands between pairs of equal keys: of `old` from i to j, of `new` from k to m, where j and m are the next pair."""
    first = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    rest = min(len(old), len(new)) - first
    last = next((k for k in range(rest) if old[-1 - k] != new[-1 - k]), rest)
    middle = [keys[first : len(keys) - last] for keys in (old, new)]
    if max(map(len, middle)) > LONG:  # keys that come often would take quadratic time: then the nth is paired with the nth
        middle = [_numbered(keys) for keys in middle]
    pairs = [(k, k) for k in range(first)]
    for block in SequenceMatcher(None, *middle, autojunk=False).get_matching_blocks():
        pairs += [(first + block.a + k, first + block.b + k) for k in range(block.size)]
    pairs += [(len(old) - k, len(new) - k) for k in range(last, -1, -1)]
    i = k = 0
    for j, m in pairs:
        yield i, j, k, m
        i, k = j + 1, m + 1


def _numbered(keys: list[Any]) -> list[Any]:
    count: dict[Any, int] = {}
    found = []
    for key in keys:
        count[key] = count.get(key, 0) + 1
        found.append((key, count[key]))
    return found


def _details(old: Op, new: Op) -> list[tuple[str, str, str]]:
    a, b = _described(old), _described(new)
    return [(what, a[what] or "none", b[what] or "none") for what in a if a[what] != b[what]]


def _described(op: Op) -> dict[str, str]:
    """All of an op that can differ, in words."""
    inputs = [f"{e.name} {_array(e.array)}" for e in op.inputs] + op.numbers
    return {
        "settings": op.attributes,
        "inputs": ", ".join(inputs),
        "out": _out(op),
        "parameters": ", ".join(f"{p.name} {_array(p.array)}" for p in op.params),
        "saved": ", ".join(f"{s.name} {text.shape(s.array.shape)}" for s in op.saved),
        "stops": ", ".join(op.stops),
        "backward": ", ".join(name for back in op.backs for name in (back.ops or ["as it is"])),
        "update": ", ".join(update.optimizer for update in op.updates),
        "failure": ", ".join(mark.text for mark in op.marks if mark.kind == "error"),
    }


def _array(of: Array) -> str:
    return f"{text.shape(of.shape)} {of.dtype}".strip()


def _out(op: Op) -> str:
    return "" if op.out is None else _array(op.out)


# -- the drawing -------------------------------------------------------------------------------------------------------


def _drawn(diff: Diff, context: int) -> graphviz.Digraph:
    import graphviz

    graph = graphviz.Digraph("diff")
    heading = font(str(diff).splitlines()[0], size=15, bold=True, colour=style.INK)
    graph.attr(
        "graph", rankdir="TB", ranksep="0.12", pad="0.25", bgcolor=style.PAPER, fontname=style.FONT, labelloc="t", labeljust="l"
    )
    graph.attr("graph", label=f"<{heading}>", tooltip="differences")
    graph.attr("node", shape="plain", fontname=style.FONT, fontsize=f"{style.TITLE:g}", fontcolor=style.INK)
    heads = [font(text.shortened(title, 34), size=11, bold=True, colour=style.GREY) for title in diff.titles]
    graph.node("head", label=f"<{_pair(*heads)}>", tooltip="before and after")
    near = {k + d for k, change in enumerate(diff.all) if change.kind != "same" for d in range(-context, context + 1)}
    above, skipped, count = "head", 0, 0
    for k, change in enumerate([*diff.all, None]):
        if change is not None and k not in near:
            skipped += 1
            continue
        if skipped:
            words = font(f"{skipped:,} unchanged", colour=style.GREY, size=style.BODY)
            above, count = _below(graph, above, count, cell(words, colspan=3), "unchanged"), count + 1
            skipped = 0
        if change is not None:
            label = "".join(_sides(change))
            above, count = _below(graph, above, count, label, str(change)), count + 1
    return graph


def _below(graph: graphviz.Digraph, above: str, count: int, cells: str, words: str) -> str:
    name = f"x{count}"
    graph.node(name, label=f"<{TABLE}><TR>{cells}</TR></TABLE>>", tooltip=tip(words))
    graph.edge(above, name, style="invis", weight="10")
    return name


def _sides(change: Change) -> list[str]:
    look = LOOKS[change.kind]
    cards = []
    for op, side in ((change.before, 0), (change.after, 1)):
        if op is None:
            cards.append("")
            continue
        lines = [Line("", head=op.scope, wrap=2)] if op.scope else []
        if change.details:
            lines += [Line(both[side], head=f"{what}:", wrap=3) for what, *both in change.details]
        else:
            lines += [Line(line) for line in (op.attributes, _out(op)) if line]
        sign = SIGNS.get(change.kind, "")
        cards.append(Card(look, f"{sign} {op.op}".strip(), lines).markup(WIDTH - 8))
    return [_pair(*cards, rows=False)]


def _pair(left: str, right: str, rows: bool = True) -> str:
    cells = f"{cell(left, width=WIDTH)}{cell(width=14)}{cell(right, width=WIDTH)}"
    return f"{TABLE}><TR>{cells}</TR></TABLE>" if rows else cells
