"""The gutter beside a card, as a piece of a rung's table: what of each rail is to be seen in this row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .markup import TABLE, cell, font
from .rails import Rail, Routes

LINE, GAP, SIGN = 2, 9, 11  # widths: of a rail, of the way to the next, of the sign where it leaves or arrives


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
    """All rails of one side of a ladder.

    The table of a row has four rows of equal height. What arrives comes in a quarter from the top, what leaves
    goes out a quarter from the bottom, so that one row can do both, however high it is.
    """

    def __init__(self, routes: Routes, colour: str, side: str) -> None:
        self.lanes = routes.lanes
        self.width = self.lanes * (LINE + GAP) + SIGN if self.lanes else 0
        self.colour = colour
        self.side = side
        self.arriving, self.leaving = ("►", "●") if side == "left" else ("●", "◄")
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

    def cells(self, place: int) -> str:
        """The gutter of one row, as a cell of the rung's table; empty where the ladder has no rails on this side."""
        if not self.lanes:
            return ""
        pieces = self._pieces.get(place, Pieces())
        table = self._busy(pieces) if pieces.busy else self._plain(pieces)
        return cell(f'{TABLE} WIDTH="{self.width}">{table}</TABLE>', width=self.width)

    def joints(self, above: int, below: int) -> Iterator[tuple[str, str]]:
        """The ports to be joined between two rows below one another."""
        for rail in self._rails:
            if rail.source <= above and below <= rail.last:
                busy = self._pieces[above].busy
                name = f"{self.side[0]}{rail.lane}"
                yield (f"{name}b" if busy else name), name

    def _columns(self, cells: list[str]) -> str:
        return "".join(cells if self.side == "right" else reversed(cells))

    def _plain(self, pieces: Pieces) -> str:
        cells = [cell(width=SIGN)]
        for lane in range(self.lanes):
            on = lane in pieces.past
            line = cell(width=LINE, port=f"{self.side[0]}{lane}" if on else None, bgcolor=self.colour if on else None)
            cells += [line, cell(width=GAP)]
        return f"<TR>{self._columns(cells)}</TR>"

    def _busy(self, pieces: Pieces) -> str:
        rows = []
        incoming = max(pieces.ends | pieces.arrives, default=-1)
        outgoing = max(pieces.begins, default=-1)
        for quarter in range(4):
            reach = incoming if quarter < 2 else outgoing
            cells = [self._sign(quarter, incoming >= 0, outgoing >= 0)]
            for lane in range(self.lanes):
                cells += self._lane(pieces, lane, quarter, reach)
            rows.append(f"<TR>{self._columns([c for c in cells if c])}</TR>")
        return "".join(rows)

    def _sign(self, quarter: int, incoming: bool, outgoing: bool) -> str:
        if quarter not in (0, 2):
            return ""  # the sign of the row above spans two
        sign = self.arriving if quarter == 0 and incoming else self.leaving if quarter == 2 and outgoing else ""
        return cell(font(sign, colour=self.colour, size=8), width=SIGN, rowspan=2)

    def _lane(self, pieces: Pieces, lane: int, quarter: int, reach: int) -> list[str]:
        """The rail's line in this quarter of the row, and the way to the next lane out."""
        through = lane in pieces.past or lane in pieces.arrives
        on = through or (lane in pieces.ends and quarter == 0) or (lane in pieces.begins and quarter == 3)
        port = {0: f"{self.side[0]}{lane}", 3: f"{self.side[0]}{lane}b"}.get(quarter) if on else None
        under = {
            "border": 1,
            "sides": "BT"[quarter % 2],
            "color": self.colour,
        }  # the way to the card: a line where two quarters meet
        line = cell(
            width=LINE, height=5, port=port, bgcolor=self.colour if on else None, **({} if on or lane >= reach else under)
        )
        beyond = cell(width=GAP, height=5, **(under if lane < reach else {}))
        return [line, beyond]
