"""The dag: the picture of a computation that people know, one node for each op, in the boxes of its modules."""

from __future__ import annotations

import graphviz

from . import style, text
from .dot import begin, close_cluster, input_node, open_cluster, shape_node, tip
from .labels import band_class, band_title, given, loss_title
from .lanes import Lanes
from .markup import TABLE, Card, Line, cell, font
from .metrics import width
from .picture import Band, Input, Loss, Op, Param, Picture, Row

COMMUTATIVE = ("add", "multiply", "maximum", "minimum")
SMALL = 60  # rungs: up to here, numbers and parameters are nodes of their own


def dag(picture: Picture) -> graphviz.Digraph:
    """The drawing of a picture as a graph of its ops, without the lanes of a step."""
    return Dag(picture).drawn()


class Dag:
    """One drawing at work."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.lanes = Lanes(picture)
        self.shown = picture.shown_as()
        self.graph = begin(picture, "picture", nodesep="0.25", ranksep="0.35")
        rows = list(picture.visible())
        self.name = {row.id: f"d{k}" for k, row in enumerate(rows) if not (isinstance(row, Band) and not row.closed)}
        modules = any(isinstance(row, Band) for row in rows)
        self.detailed = len(rows) <= SMALL and not modules
        self._leaves: dict[str, str] = {}  # parameters that are nodes, by path and version

    def drawn(self) -> graphviz.Digraph:
        ends: list[int] = []
        index, rows = 0, self.picture.rows
        while index < len(rows):
            row = rows[index]
            while ends and index >= ends[-1]:
                ends.pop()
                close_cluster(self.graph)
            if isinstance(row, Band) and not row.closed:
                if not self._is_small(row):
                    open_cluster(self.graph, row, len(ends), self._title(row))
                    ends.append(row.end)
            else:
                self._add(row)
            index = row.end if isinstance(row, Band) and row.closed else index + 1
        for _ in ends:
            close_cluster(self.graph)
        self._add_edges()
        return self.graph

    def _is_small(self, band: Band) -> bool:
        """Whether a module holds one op alone, so that its name can stand on that op's card instead of a box around it."""
        return band.sum.ops == band.times and band.end - self.lanes.index[band.id] == 2 and band.role == "module"

    def _title(self, band: Band) -> str:
        """What a box is called, on the left half of its width: arrows come in at the middle."""
        name = text.shortened(band_title(self.picture, band), 40)
        module = text.shortened(band_class(band), 30)
        across = width(name, style.TITLE, bold=True) + width(module, style.BODY)
        words = font(name, bold=True, colour=style.INK, size=style.TITLE) + font(module, colour=style.GREY, size=style.BODY)
        return f"{TABLE}><TR>{cell(words, align='LEFT')}{cell(width=across + 12)}</TR></TABLE>"

    # -- nodes -----------------------------------------------------------------------------------------------------------

    def _add(self, row: Row) -> None:
        match row:
            case Op():
                self._add_leaves(row)
                self._node(row, self._op(row))
            case Band():
                cards = self.lanes.cards(row)
                card = cards["forward"][0]
                card.lines += [Line(line.words, head=c.title) for c in cards.get("parameters", []) for line in c.lines]
                self._node(row, card)
            case Input():
                self._input(row)
            case Loss():
                self._loss(row)

    def _node(self, row: Row, card: Card) -> None:
        words = self.lanes.tooltip(row)
        self.graph.node(self.name[row.id], label=f"<{card.markup(_across(card))}>", tooltip=tip(words))

    def _op(self, row: Op) -> Card:
        card = self.lanes.main(row)
        card.tag = ""
        around = self.picture.rows[row.band] if row.band >= 0 else None
        if isinstance(around, Band) and not around.closed and self._is_small(around):
            card.lines.insert(0, Line(band_class(around), head=band_title(self.picture, around)))
        if self.detailed:
            small = text.flops(row.sum.flops["forward"]) if row.sum.flops["forward"] < 1000 and not row.sum.ms else ""
            card.lines = [line for line in card.lines if line.words not in (", ".join(row.numbers), small)]
        elif not any(mark.kind == "error" for mark in row.marks):  # of a failed op, the card tells all inputs already
            card.lines += [Line(text.shape(p.array.shape), head=p.name) for p in row.params]
        if row.gradient is not None:
            card.lines.append(Line(f"= {text.number(row.gradient)}", head="∂"))
        return card

    def _input(self, row: Input) -> None:
        input_node(self.graph, self.name[row.id], given(row), f"{row.role} {row.name}")

    def _loss(self, row: Loss) -> None:
        label = font(loss_title(row), bold=True, colour=style.INK)
        shape_node(self.graph, self.name[row.id], label, style.LOSS, row.name, shape="doubleoctagon", margin="0.08,0.04")

    def _add_leaves(self, row: Op) -> None:
        """The parameters and numbers of an op, as nodes of their own, in a small graph without modules."""
        if not self.detailed:
            return
        name = self.name[row.id]
        for param in row.params:
            leaf = f"{param.path} v{param.version}"
            if leaf not in self._leaves:
                self._leaves[leaf] = f"{name}p{len(self._leaves)}"
                card = Card(style.PARAMETER, param.name, _leaf_lines(param))
                self.graph.node(
                    self._leaves[leaf], label=f"<{card.markup(_across(card))}>", tooltip=tip(f"{param.role} {param.path}")
                )
            self._edge(self._leaves[leaf], name, style.PARAMETER.line, self._argument(row, param.argument))
        for k, number in enumerate(row.numbers):
            argument, _, value = number.partition(" = ")
            label = font(value, colour=style.CONSTANT.line, size=style.TITLE, bold=True)
            small = {"shape": "box", "margin": "0.06,0.02", "width": "0.2", "height": "0.2"}
            shape_node(self.graph, f"{name}c{k}", label, style.CONSTANT, "constant", **small)
            self._edge(f"{name}c{k}", name, style.CONSTANT.line, self._argument(row, argument))

    # -- edges -----------------------------------------------------------------------------------------------------------

    def _add_edges(self) -> None:
        drawn: set[tuple[str, str, str]] = set()
        for row in self.picture.rows:
            if isinstance(row, Op):
                edges = [(e.row, self._argument(row, e.name), e.grad, e.stop) for e in row.inputs]
            elif isinstance(row, Loss):
                edges = [(row.row, "", True, "")]
            else:
                continue
            below = self.shown[row.id]
            for source, argument, grad, stop in edges:
                above = self.shown.get(source)
                label = stop if stop in ("detached", "no_grad") else argument if below == row.id else ""
                if above is None or above == below or (above, below, label) in drawn:
                    continue
                drawn.add((above, below, label))
                self._edge(
                    self.name[above],
                    self.name[below],
                    style.OP.line if grad or not self.picture.passes else style.GREY,
                    label,
                    dashed=not grad and bool(self.picture.passes),
                )

    def _argument(self, row: Op, name: str) -> str:
        """What to write at an edge: the argument's name, where an op has several that can't be told apart otherwise."""
        several = len(row.inputs) + len(row.numbers) + len(row.params) > 1
        return name if several and self.detailed and row.op not in COMMUTATIVE else ""

    def _edge(self, above: str, below: str, colour: str, label: str, dashed: bool = False) -> None:
        more = {"label": f" {label} ", "fontcolor": style.GREY} if label else {}
        self.graph.edge(above, below, color=colour, style="dashed" if dashed else "solid", **more)


def _leaf_lines(param: Param) -> list[Line]:
    words = text.shape(param.array.shape) if param.array.shape else ""
    known = "" if param.array.number is None else f" = {text.number(param.array.number)}"
    lines = [Line(f"{words} {param.array.dtype}{known}".strip())]
    if param.grad_number is not None:
        lines.append(Line(f"= {text.number(param.grad_number)}", head="∂"))
    elif param.grad is not None:
        lines.append(Line(f"|g| {text.norm(param.grad)}", head="∂"))
    if param.next is not None:
        lines.append(Line(f"v{param.version} → v{param.next}"))
    return lines


def _across(card: Card) -> float:
    """How wide a card must be for its text, within reason."""
    lines = [width(f"{line.head} {line.words}".strip(), style.BODY, bold=bool(line.head)) for line in card.lines]
    title = width(card.title, style.TITLE, bold=True) + (width(f" {card.tag}", style.TAG) if card.tag else 0)
    return min(190, max(64, max([title, *lines]) + 16 + (6 if card.stacked else 0)))
