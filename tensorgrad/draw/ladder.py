"""The ladder: a training step as rungs of seven lanes, from a parameter's version to its next."""

from __future__ import annotations

import graphviz

from . import style, text
from .dot import begin, close_cluster, input_node, open_cluster, shape_node, tip
from .gutter import Gutter
from .labels import band_class, band_title, given, loss_title, seed
from .lanes import COLOURS, HEADINGS, LANES, Cards, Lanes
from .markup import TABLE, Line, cell, font
from .metrics import cut, width
from .picture import Band, Input, Loss, Picture, Row
from .rails import edges, places, routes

WIDTHS = {"parameters": 140, "forward": 158, "saved": 104, "backward": 158, "gradients": 124, "update": 120, "next": 96}
BETWEEN = 16
INDENT = 2  # of a band's title against the rungs inside, on both sides
TO_BACKWARD = "· " * 15 + "►"  # from a loss, where rails leave no place for an edge
ARROWS = {"forward": style.PARAMETER, "saved": style.SAVED, "backward": style.SAVED, "gradients": style.BACKWARD,
          "update": style.BACKWARD, "next": style.UPDATE}  # fmt: skip


def ladder(picture: Picture) -> graphviz.Digraph:
    """The drawing of a picture as rungs. Order and lanes are exact by construction: the engine only measures text."""
    return Ladder(picture).drawn()


class Ladder:
    """One drawing at work."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.lanes = Lanes(picture)
        self.places = places(picture)
        self.routes = routes(edges(picture))
        self.returns = routes(edges(picture, gradients=True))
        self._crossed = self.routes.touching() | self.returns.touching()
        self._cards = [self.lanes.cards(row) for row in self.places]
        self._refer(self.routes.references, "forward", "+ from")
        self._refer(self.returns.references, "backward", "∂ to")
        self._heights = self._bands_inside()
        self._shown = [lane for lane in LANES if lane == "forward" or any(cards.get(lane) for cards in self._cards)]
        before, behind = BETWEEN * (self._shown[0] != "forward"), BETWEEN * (self._shown[-1] != "backward")
        self.left = Gutter(self.routes, "left", style.OP, self._crossing("forward", "parameters"), before)
        self.right = Gutter(self.returns, "right", style.BACKWARD, self._crossing("gradients", "backward"), behind)
        shares = [card.share or 0.0 for cards in self._cards for lane in cards.values() for card in lane]
        self._scale = max(shares, default=0.0) or 1.0
        self.graph = begin(picture, "step", nodesep="0.15", ranksep="0.17")

    def drawn(self) -> graphviz.Digraph:
        graph = self.graph
        graph.node("head", label=f"<{self._lane_heads()}>", tooltip="lanes")
        self._add_rows()
        self._add_edges()
        return graph

    def _lane_heads(self) -> str:
        cells = []
        for lane in self._shown:
            k = LANES.index(lane)
            head = font(HEADINGS[k], colour=COLOURS[k], size=11, bold=True)
            cells += self._beside(lane, cell(head, width=WIDTHS[lane], port=_port(lane)))
        return f"{TABLE}><TR>{''.join(cells)}</TR></TABLE>"

    def _beside(self, lane: str, content: str, arrow: str = "", place: int | None = None) -> list[str]:
        """A lane's cell with the gutter that belongs to it and, before it, the place of an arrow. A gutter has its own."""
        found = []
        k = self._shown.index(lane)
        if lane == "forward" and self.left.lanes:
            found.append(self.left.cells(place))
        elif k and not (self._shown[k - 1] == "backward" and self.right.lanes):
            found.append(cell(font("→" if arrow else "", colour=arrow, size=13), width=BETWEEN))
        found.append(content)
        if lane == "backward" and self.right.lanes:
            found.append(self.right.cells(place))
        return found

    def _crossing(self, lane: str, before: str) -> dict[int, str]:
        """The arrows into a lane that cross the gutter before it, by place."""
        both = (k for k, cards in enumerate(self._cards) if cards.get(lane) and cards.get(before))
        return dict.fromkeys(both, ARROWS[lane].line)

    def _refer(self, references: dict[int, list[int]], lane: str, how: str) -> None:
        """Name the other end of ways that found no rail."""
        for place, sources in references.items():
            names = ", ".join(self.lanes.reference(self.places[source].id) for source in sources)
            for card in self._cards[place].get(lane, [])[:1]:
                card.lines.append(Line(f"{how} {names}", wrap=3))

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _add_rows(self) -> None:
        place, ends, index = 0, [], 0
        for row in self.picture.visible():
            index = self._index(row, index)
            while ends and index >= ends[-1]:
                ends.pop()
                close_cluster(self.graph)
            if isinstance(row, Band) and not row.closed:
                self._open(row, len(ends))
                ends.append(row.end)
            elif place < len(self.places) and self.places[place] is row:
                self._add_place(place, row)
                place += 1
        for _ in ends:
            close_cluster(self.graph)

    def _index(self, row: Row, start: int) -> int:
        while self.picture.rows[start] is not row:
            start += 1
        return start

    def _open(self, band: Band, depth: int) -> None:
        open_cluster(self.graph, band, depth, self._band_title(band))

    def _bands_inside(self) -> dict[int, int]:
        """How many levels of bands are open inside each that is, by its index."""
        found: dict[int, int] = {}
        for row in reversed(list(self.picture.visible())):
            if isinstance(row, Band) and not row.closed:
                found[row.band] = max(found.get(row.band, 0), found.get(self.lanes.index[row.id], 0) + 1)
        return found

    def _band_title(self, band: Band) -> str:
        """The title of a band: a table as wide as its rungs, that leaves free where arrows and rails go through."""
        start = (WIDTHS["parameters"] + BETWEEN) if "parameters" in self._shown else 0
        outwards = style.BAND_MARGIN * self._heights.get(
            self.lanes.index[band.id], 0
        )  # how much further out than its rungs it begins
        free = outwards + (start - 12 if self.left.lanes else start + WIDTHS["forward"] / 2 - 18)
        name = cut(band_title(self.picture, band), style.TITLE, free, bold=True)
        room = free - width(name, style.TITLE, bold=True)
        module = cut(band_class(band), style.BODY, room) if room > BETWEEN else ""
        words = font(name, bold=True, colour=style.INK, size=style.TITLE) + font(module, colour=style.GREY, size=style.BODY)
        saved = "saved" in self._shown
        across = start + self.left.width + WIDTHS["forward"] + BETWEEN * saved + outwards - INDENT
        cells = [cell(words, width=across, align="LEFT")]
        if saved:
            kept = f"◊ {text.size(band.sum.saved_bytes)}" if band.sum.saved_bytes else ""
            cells.append(cell(font(kept, colour=style.GREY, size=style.BODY), width=WIDTHS["saved"]))
        if "backward" in self._shown:
            cells.append(cell(width=BETWEEN + WIDTHS["backward"] + self.right.width))
        rest = [lane for lane in ("gradients", "update", "next") if lane in self._shown]
        if rest:
            facts = font(" · ".join(self._band_facts(band)), colour=style.GREY, size=style.BODY)
            across = sum(BETWEEN + WIDTHS[lane] for lane in rest) + outwards - INDENT
            cells.append(cell(facts, width=across, align="RIGHT"))
        return f"{TABLE}><TR>{''.join(cells)}</TR></TABLE>"

    def _band_facts(self, band: Band) -> list[str]:
        words, share = [], self.lanes.share(band.sum.all_ms)
        if band.sum.parameters:
            words.append(f"{band.sum.parameters:,} parameters")
        if share is not None:
            words += [text.ms(band.sum.all_ms), text.percent(share)]
        return words

    def _add_place(self, place: int, row: Row) -> None:
        name = f"p{place}"
        if place not in self._crossed and isinstance(row, Input):
            input_node(self.graph, name, given(row), f"{row.role} {row.name}")
            return
        if place not in self._crossed and isinstance(row, Loss):
            self._add_loss(name, row)
            return
        cards, cells = self._cards[place], []
        for lane in self._shown:
            content = self._stack(cards.get(lane, []), WIDTHS[lane] - 8)
            if lane == "saved" and isinstance(row, Loss) and row.backward_pass is not None:
                content = font(TO_BACKWARD, colour=style.GREY)
            arrow = ""
            if lane in ARROWS and cards.get(lane) and self._leads_to(cards, lane):
                arrow = ARROWS[lane].line
            cells += self._beside(lane, cell(content, width=WIDTHS[lane], port=_port(lane)), arrow, place)
        self.graph.node(name, label=f"<{TABLE}><TR>{''.join(cells)}</TR></TABLE>>", tooltip=tip(self.lanes.tooltip(row)))

    def _leads_to(self, cards: Cards, lane: str) -> bool:
        """Whether the lane before this one holds what the arrow into it comes from."""
        before = LANES[LANES.index(lane) - 1]
        if lane == "backward":
            return bool(cards.get("saved"))
        return bool(cards.get(before))

    def _stack(self, cards: list, across: float) -> str:
        if len(cards) < 2:
            return "".join(card.markup(across, self._scale) for card in cards)
        rows = "".join(f"<TR>{cell(card.markup(across, self._scale), cellpadding=1)}</TR>" for card in cards)
        return f"{TABLE}>{rows}</TABLE>"

    def _add_loss(self, name: str, row: Loss) -> None:
        label = font(loss_title(row), bold=True, colour=style.INK, size=11)
        shape = {"shape": "doubleoctagon", "margin": "0.1,0.05"}
        shape_node(self.graph, name, label, style.LOSS, f"{row.name}, the end of the forward pass", **shape)
        if row.backward_pass is None or "backward" not in self._shown:
            return
        label = font(seed(row), bold=True, colour=style.BACKWARD.line)
        pill = {"shape": "box", "style": "rounded,filled", "margin": "0.08,0.03", "height": "0.2"}
        shape_node(self.graph, f"{name}b", label, style.BACKWARD, "where the backward pass begins", **pill)
        self.graph.body.append(f"{{rank=same; {name}; {name}b}}\n")
        self.graph.edge(name, f"{name}b", style="dotted", color=style.GREY)

    # -- edges -----------------------------------------------------------------------------------------------------------

    def _add_edges(self) -> None:
        before = f"head:{_port('forward')}:s"
        for place in range(len(self.places)):
            above, below = self._end("forward", place, "s"), self._end("forward", place, "n")
            if place and place - 1 in self.routes.next:
                self.graph.edge(before, below, color=style.OP.line, weight="10", penwidth="1.3")
            else:
                self.graph.edge(before, below, style="invis", weight="10")
            before = above
        for place in sorted(self.returns.next):
            row = self.places[place + 1]
            if isinstance(row, Loss) and place + 1 not in self._crossed:
                below = f"p{place + 1}b:n"
            else:
                below = self._end("backward", place + 1, "n")
            if self._has("backward", place):
                self.graph.edge(
                    self._end("backward", place, "s"), below, dir="back", color=style.BACKWARD.line, penwidth="1.3", weight="5"
                )
        for gutter in (self.left, self.right):
            self._join(gutter)

    def _has(self, lane: str, place: int) -> bool:
        return bool(self._cards[place].get(lane))

    def _end(self, lane: str, place: int, compass: str) -> str:
        plain = place not in self._crossed and isinstance(self.places[place], Input | Loss)
        return f"p{place}:{compass}" if plain else f"p{place}:{_port(lane)}:{compass}"

    def _join(self, gutter: Gutter) -> None:
        for above in range(len(self.places) - 1):
            for leaves, arrives in gutter.joints(above, above + 1):
                self.graph.edge(
                    f"p{above}:{leaves}:c",
                    f"p{above + 1}:{arrives}:c",
                    dir="none",
                    color=gutter.colour,
                    penwidth="2",
                    weight="2",
                )


def _port(lane: str) -> str:
    return lane[0].upper()
