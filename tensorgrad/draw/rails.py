"""Rails: the ways of values that go past rungs, each in a lane of a gutter, like the branches of a commit graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .picture import Band, Input, Loss, Op, Picture, Row

LANES = 8  # more than these side by side can't be told apart


@dataclass(slots=True)
class Rail:
    """From one place to one or more further down. Places count the rows that are drawn below one another."""

    source: int
    targets: list[int]
    lane: int = -1  # from 0, the nearest to the cards; -1 where no lane was free

    @property
    def last(self) -> int:
        return self.targets[-1]


@dataclass(slots=True)
class Routes:
    """How values come from row to row.

    Attributes:
        next: the places whose value goes to the place below, as an arrow.
        rails: for all other ways that found a lane; `references`: those that didn't, by the place that they lead to.
        lanes: how many are used.
    """

    next: set[int] = field(default_factory=set)
    rails: list[Rail] = field(default_factory=list)
    references: dict[int, list[int]] = field(default_factory=dict)
    lanes: int = 0

    def touching(self) -> set[int]:
        """The places that rails begin at, go past, or end at."""
        return {place for rail in self.rails for place in range(rail.source, rail.last + 1)}


def places(picture: Picture) -> list[Row]:
    """The visible rows that are drawn below one another: all but open bands, and inputs that stand beside their op."""
    return [
        row
        for row in picture.visible()
        if not (isinstance(row, Band) and not row.closed) and not (isinstance(row, Input) and row.beside)
    ]


def edges(picture: Picture, *, gradients: bool = False) -> list[tuple[int, int]]:
    """The ways between places, upper place first: those of values, or those that gradients go back."""
    place = {row.id: k for k, row in enumerate(places(picture))}
    shown = picture.shown_as()
    found: dict[tuple[int, int], None] = {}
    for row in picture.rows:
        if isinstance(row, Op):
            pairs = [(edge.row, edge.grad and bool(row.backs)) for edge in row.inputs]
        elif isinstance(row, Loss):
            pairs = [(row.row, row.backward_pass is not None)]
        else:
            continue
        below = place.get(shown[row.id])
        for source, grad in pairs:
            above = place.get(shown.get(source, ""))
            if above is not None and below is not None and above < below and (grad or not gradients):
                found[above, below] = None
    return sorted(found)


def routes(pairs: Iterable[tuple[int, int]], lanes: int = LANES) -> Routes:
    """Arrows between neighbours, and a lane for every other way: the shortest first, in the lowest lane that is free."""
    found = Routes()
    rails: dict[int, Rail] = {}
    for above, below in sorted(pairs):
        if below == above + 1:
            found.next.add(above)
        else:
            rails.setdefault(above, Rail(above, [])).targets.append(below)
    taken = [0] * lanes  # for each lane, a bit for each half of a row
    for rail in sorted(rails.values(), key=lambda rail: (rail.last - rail.source, rail.source)):
        way = ((1 << (2 * (rail.last - rail.source))) - 1) << (2 * rail.source + 1)
        rail.lane = next((k for k in range(lanes) if not taken[k] & way), -1)
        if rail.lane < 0:
            for target in rail.targets:
                found.references.setdefault(target, []).append(rail.source)
            continue
        taken[rail.lane] |= way
        found.rails.append(rail)
        found.lanes = max(found.lanes, rail.lane + 1)
    found.rails.sort(key=lambda rail: rail.source)
    return found
