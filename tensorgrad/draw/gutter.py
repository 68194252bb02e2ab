"""The gutter beside a card, as a piece of a rung's table: what of each rail is to be seen in this row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .markup import TABLE, cell, font
from .rails import Rail, Routes
from .style import Look

LINE, GAP, SIGN = 2, 9, 11  # widths: of a rail, of the way to the next, of the sign where it leaves or arrives
ARRIVES, CROSSES, LEAVES = 2, 4, 6  # how many eighths of a row from the top


@dataclass(slots=True)
class Pieces:
    """What one row shows of the rails, by lane: those that go past, come to an end, arrive and go on, or begin."""

    past: set[int] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    arrives: set[int] = field(default_factory=set)
    begins: set[int] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        return bool(self.ends or self.arrives or self.begins)


class Gutter:
    """All rails of one side of a ladder, and the arrows that cross them.

    The table of a row has eight rows of equal height where there is more to see than rails that go past. What arrives
    comes in a quarter from the top, what leaves goes out a quarter from the bottom, and the arrow between two lanes goes
    through in the middle, so that one row can do all, however high it is.
    """

    def __init__(self, routes: Routes, side: str, look: Look, arrows: dict[int, str], between: int) -> None:
        """
        Args:
            routes: where the rails lie.
            side: "left" or "right" of its lane.
            look: of what flows on the rails.
            arrows: by place, the colour of the arrow that crosses the gutter there.
            between: how far the lane on the other side is, so long is an arrow before or behind the rails.
        """
        self.lanes = routes.lanes
        self.width = self.lanes * (LINE + GAP) + SIGN if self.lanes else 0
        self.colour = look.line
        self.side = side
        self.arriving, self.leaving = ("►", "●") if side == "left" else ("●", "◄")
        self._arrows = arrows
        self._between = between
        self._rails = routes.rails
        self._pieces: dict[int, Pieces] = {}
        for rail in routes.rails:
            self._lay(rail)

    def _lay(self, rail: Rail) -> None:
        for place in range(rail.source, rail.last + 1):
            piece = self._pieces.setdefault(place, Pieces())
            if place == rail.source:
                piece.begins.add(rail.lane)
            elif place == rail.last:
                piece.ends.add(rail.lane)
            elif place in rail.targets:
                piece.arrives.add(rail.lane)
            else:
                piece.past.add(rail.lane)

    def cells(self, place: int | None = None) -> str:
        """The gutter of one row, as a cell of the rung's table; without a place, the empty one above all of them."""
        if place is None:
            return cell(width=self.width + self._between)
        pieces = self._pieces.get(place, Pieces())
        rows = self._layers(place, pieces) if self._is_layered(place) else self._plain(pieces)
        return cell(f'{TABLE} WIDTH="{self.width + self._between}">{rows}</TABLE>', width=self.width + self._between)

    def _is_layered(self, place: int) -> bool:
        return place in self._arrows or self._pieces.get(place, Pieces()).busy

    def joints(self, above: int, below: int) -> Iterator[tuple[str, str]]:
        """The ports to be joined between two rows below one another."""
        for rail in self._rails:
            if rail.source <= above and below <= rail.last:
                name = f"{self.side[0]}{rail.lane}"
                yield (f"{name}b" if self._is_layered(above) else name), name

    def _columns(self, cells: list[str]) -> str:
        return "".join(cells if self.side == "right" else reversed(cells))

    def _plain(self, pieces: Pieces) -> str:
        cells = [cell(width=SIGN)]
        for lane in range(self.lanes):
            on = lane in pieces.past
            line = cell(width=LINE, port=f"{self.side[0]}{lane}" if on else None, bgcolor=self.colour if on else None)
            cells += [line, cell(width=GAP)]
        return f"<TR>{self._columns([*cells, cell(width=self._between)])}</TR>"

    def _layers(self, place: int, pieces: Pieces) -> str:
        arrow, rows = self._arrows.get(place, ""), []
        reach = {ARRIVES: max(pieces.ends | pieces.arrives, default=-1), LEAVES: max(pieces.begins, default=-1)}
        for eighth in range(8):
            cells = [self._sign(eighth, reach, arrow)]
            for lane in range(self.lanes):
                cells += self._lane(pieces, lane, eighth, reach, arrow)
            cells += self._beyond(eighth, arrow)
            rows.append(f"<TR>{self._columns([c for c in cells if c])}</TR>")
        return "".join(rows)

    def _sign(self, eighth: int, reach: dict[int, int], arrow: str) -> str:
        """What stands next to the card: how a value arrives, the arrow, how a value leaves. Each takes two eighths."""
        if eighth + 1 in reach:
            sign = self.arriving if eighth + 1 == ARRIVES else self.leaving
            return cell(font(sign if reach[eighth + 1] >= 0 else "", colour=self.colour, size=8), width=SIGN, rowspan=2)
        if eighth in reach:
            return ""  # the cell above spans two
        return self._head(eighth, arrow) if self.side == "left" else _line(SIGN, arrow if eighth + 1 == CROSSES else "")

    def _head(self, eighth: int, arrow: str) -> str:
        """The head of the arrow that crosses."""
        if eighth + 1 == CROSSES:
            return cell(font("►" if arrow else "", colour=arrow, size=8), width=SIGN, rowspan=2)
        return "" if eighth == CROSSES else cell(width=SIGN, height=3)

    def _beyond(self, eighth: int, arrow: str) -> list[str]:
        """The way to the lane on the other side."""
        crosses = arrow if eighth + 1 == CROSSES else ""
        if self.side == "left":
            return [_line(self._between, crosses)]
        return [_line(self._between - SIGN, crosses), self._head(eighth, arrow)] if self._between else []

    def _lane(self, pieces: Pieces, lane: int, eighth: int, reach: dict[int, int], arrow: str) -> list[str]:
        """The rail in this eighth of the row, and the way to the next one out. Ways lie where two eighths meet."""
        through = lane in pieces.past or lane in pieces.arrives
        on = through or (lane in pieces.ends and eighth < ARRIVES) or (lane in pieces.begins and eighth >= LEAVES)
        port = {0: f"{self.side[0]}{lane}", 7: f"{self.side[0]}{lane}b"}.get(eighth) if on else None
        if lane < reach.get(eighth, -1):
            colour, side = self.colour, "T"
        else:
            colour = self.colour if lane < reach.get(eighth + 1, -1) else arrow if eighth + 1 == CROSSES else ""
            side = "B"
        rail = cell(width=LINE, height=3, port=port, bgcolor=self.colour) if on else _line(LINE, colour, side)
        return [rail, _line(GAP, colour, side)]


def _line(across: int, colour: str, side: str = "B") -> str:
    """A cell of which one side is drawn, where there is a colour."""
    drawn = {"border": 1, "sides": side, "color": colour} if colour else {}
    return cell(width=across, height=3, **drawn)
