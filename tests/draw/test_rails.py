"""Rails: no way is lost, and no two share a lane at the same height."""

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorgrad.draw import style
from tensorgrad.draw.gutter import Gutter
from tensorgrad.draw.rails import LANES, routes

ways = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda p: (p[0], p[0] + p[1])), max_size=60).map(set)


@given(ways)
def test_every_way_is_an_arrow_a_rail_or_a_reference(pairs):
    found = routes(pairs)
    arrows = {(place, place + 1) for place in found.next}
    rails = {(rail.source, target) for rail in found.rails for target in rail.targets}
    named = {(source, target) for target, sources in found.references.items() for source in sources}
    assert arrows | rails | named == pairs
    assert len(arrows) + len(rails) + len(named) == len(pairs)


@given(ways)
def test_no_two_rails_meet_in_a_lane(pairs):
    found = routes(pairs)
    taken = set()
    for rail in found.rails:
        assert 0 <= rail.lane < found.lanes <= LANES
        # a rail begins in the lower half of a row and ends in the upper half, so that two may share that row
        halves = {(rail.lane, half) for half in range(2 * rail.source + 1, 2 * rail.last + 1)}
        assert not taken & halves
        taken |= halves


@given(ways)
def test_references_only_where_all_lanes_are_taken(pairs):
    found = routes(pairs)
    for target, sources in found.references.items():
        for source in sources:
            crossing = [r.lane for r in found.rails if r.source < target and r.last > source]
            assert set(crossing) == set(range(LANES))


@given(ways, st.sets(st.integers(0, 60)))
def test_rails_are_joined_from_their_source_to_their_last_target(pairs, crossed):
    found = routes(pairs)
    gutter = Gutter(found, "left", style.OP, dict.fromkeys(crossed, "#000000"), 16)
    for place in range(60):
        ports = list(gutter.joints(place, place + 1))
        live = [r for r in found.rails if r.source <= place < r.last]
        assert len(ports) == len(live)
        for leaves, arrives in ports:
            assert f'PORT="{leaves}"' in gutter.cells(place)
            assert f'PORT="{arrives}"' in gutter.cells(place + 1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_arrow_crosses_all_lanes_and_rows_have_the_same_columns(side):
    found = routes({(0, 3), (1, 3), (2, 5), (3, 6)})
    arrows = dict.fromkeys((1, 3, 4), "#123456")
    gutter = Gutter(found, side, style.OP, arrows, 16)
    across = 2 * gutter.lanes + (2 if side == "left" else 3)  # right, the head stands apart from the sign
    for place in range(7):
        rows = ElementTree.fromstring(gutter.cells(place)).findall("./TABLE/TR")
        assert len(rows) == 8
        taken = [0] * len(rows)  # columns of each row, with those that cells of rows above span
        for k, row in enumerate(rows):
            for cell in row:
                for below in range(k, k + int(cell.get("ROWSPAN", 1))):
                    taken[below] += 1
        assert set(taken) == {across}
        crossed = [cell for cell in rows[3] if cell.get("COLOR") == arrows.get(place)]
        rails = [cell for cell in rows[3] if cell.get("BGCOLOR")]
        heads = [words.text for row in rows for words in row.findall("TD/FONT[@COLOR='#123456']")]
        assert heads == ["►"] * (place in arrows)
        if place in arrows:
            assert len(crossed) + len(rails) == across - 1  # all but the head; a rail is not cut by the arrow
    assert ElementTree.fromstring(gutter.cells(7)).findall("./TABLE/TR/TD[@BGCOLOR]") == []


def test_the_shortest_lie_nearest():
    found = routes({(0, 5), (1, 3), (6, 8)})
    assert [(rail.source, rail.lane) for rail in found.rails] == [(0, 1), (1, 0), (6, 0)]
