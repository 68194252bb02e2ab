"""graph.summary() and graph.diff(): the numbers of the picture as a table, and what two graphs differ in."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from cases.dot import read

import nn
import tensorgrad as tg


def step(*layers, optimizer=nn.optim.SGD, batch=4):
    model = nn.Sequential(*layers)
    chosen = optimizer(model.parameters(), 0.1)

    def once():
        with tg.trace("step") as graph:
            nn.cross_entropy(model(np.ones((batch, 6), np.float32)), np.zeros(batch, np.int64)).backward()
            chosen.step()
        chosen.zero_grad()
        return graph

    return once


# -- summary -----------------------------------------------------------------------------------------------------------------


def test_the_table_of_a_small_net():
    graph = step(nn.Linear(6, 5, rng=0), nn.ReLU(), nn.Linear(5, 3, rng=1))()
    table = graph.summary()
    assert [(row.scope, row.op, row.output, row.sum.parameters) for row in table.rows] == [
        ("0", "linear", (4, 5), 35), ("1", "relu", (4, 5), 0), ("2", "linear", (4, 3), 18), ("", "cross_entropy", (), 0),
    ]  # fmt: skip
    assert table.total.parameters == 53
    lines = str(table).splitlines()
    assert lines[0] == "step"
    assert lines[1].split() == ["scope", "op", "output", "parameters", "saved", "FLOPs"]  # no times were taken
    assert lines[-1].split()[:2] == ["total", "53"]
    # forward 2 4 6 5, the weight's gradient as much, the bias's 4 5, and the update's 2 for each of 35 numbers
    assert table.rows[0].sum.flops == {"forward": 240, "backward": 240 + 20, "update": 70}


@pytest.mark.parametrize("depth", [0, 1, None])
def test_lines_add_up_to_the_total(graphs, depth):
    for graph, _ in graphs.values():
        table = graph.summary(depth)
        leaves = [row for row in table.rows if not row.group]
        for name in ("parameters", "saved_bytes", "nodes"):
            assert sum(getattr(row.sum, name) for row in leaves) == getattr(table.total, name)
        assert sum(sum(row.sum.flops.values()) for row in leaves) == graph.flops()
        assert sum(row.sum.all_ms for row in leaves) == pytest.approx(table.total.all_ms)


def test_times_and_shares_show_where_they_were_taken(graphs):
    text = str(graphs["mnist_cnn"][0].summary(0))
    assert {"forward", "backward", "update", "share"} <= set(text.splitlines()[1].split())
    assert text.splitlines()[-1].endswith("100 %")


def test_the_table_as_html_is_well_formed_and_escaped():
    x = tg.Tensor([1.0], requires_grad=True)
    with tg.trace("<b>&") as graph, tg.scope("<i>", "<u>"):
        tg.exp(tg.exp(x))
    table = ElementTree.fromstring(graph.summary()._repr_html_())
    assert table.find("caption").text == "<b>&"
    assert "".join(next(table.iter("td")).itertext()) == "<i>"
    assert {element.tag for element in table.iter()} == {"table", "caption", "thead", "tbody", "tr", "th", "td", "b"}


# -- diff ----------------------------------------------------------------------------------------------------------------------


def test_two_steps_of_one_model_do_not_differ():
    once = step(nn.Linear(6, 5, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=1), nn.Linear(5, 3, rng=2), optimizer=nn.optim.Adam)
    diff = once().diff(once())
    assert not diff
    assert len(diff) == 0
    assert str(diff) == "no differences"
    assert {change.kind for change in diff.all} == {"same"}


def test_what_was_added_removed_and_changed():
    before = step(nn.Linear(6, 5, rng=0), nn.ReLU(), nn.Linear(5, 3, rng=1))()
    after = step(nn.Linear(6, 8, rng=0), nn.Tanh(), nn.Linear(8, 3, rng=1), optimizer=nn.optim.Adam)()
    diff = before.diff(after)
    assert [(c.after.scope, c.after.op) for c in diff.added] == [("1", "tanh")]
    assert [(c.before.scope, c.before.op) for c in diff.removed] == [("1", "relu")]
    assert [c.after.scope for c in diff.changed] == ["0", "2"]
    details = {what: (old, new) for what, old, new in diff.changed[0].details}
    assert details["out"] == ("(4,5) f32", "(4,8) f32")
    assert details["parameters"] == ("weight (5,6) f32, bias (5,) f32", "weight (8,6) f32, bias (8,) f32")
    assert details["update"] == ("SGD", "Adam")
    lines = str(diff).splitlines()
    assert lines[0] == "1 added, 1 removed, 2 changed"
    assert [line[0] for line in lines[1:]] == ["~", "-", "+", "~"]


def test_a_constant_that_changed_is_seen():
    x = tg.Tensor([1.0], requires_grad=True)
    (change,) = tg.graph(x * 2.0).diff(tg.graph(x * 3.0)).changed
    assert change.details == [("inputs", "y = 2", "y = 3")]


def test_the_drawing_of_a_diff():
    before = step(nn.Linear(6, 5, rng=0), nn.ReLU(), nn.Linear(5, 3, rng=1))()
    after = step(nn.Linear(6, 5, rng=0), nn.Tanh(), nn.Linear(5, 3, rng=1))()
    drawing = read(before.diff(after).to_graphviz(context=0).source)
    assert list(drawing.nodes.values()) == [
        ["step", "step"], ["1 unchanged"], ["- relu", "1", "(4,5) f32"], ["+ tanh", "1", "(4,5) f32"], ["2 unchanged"],
    ]  # fmt: skip


def test_a_diff_saves_itself(tmp_path, any_engine):
    diff = tg.graph(tg.exp(tg.Tensor([1.0], requires_grad=True))).diff(tg.Graph())
    assert diff.save(tmp_path / "a.txt").read_text() == "0 added, 1 removed, 0 changed\n- exp  (1,) f32\n"
    assert b"<svg" in diff.save(tmp_path / "a.svg").read_bytes()
    assert diff.save(tmp_path / "a.dot").read_text().startswith("digraph diff")
    with pytest.raises(ValueError, match=r"not '\.html'"):
        diff.save(tmp_path / "a.html")
    assert "image/svg+xml" in diff._repr_mimebundle_()


def test_long_programs_are_compared_in_time():
    def chain(count):
        with tg.trace() as graph:
            y = tg.Tensor(np.ones(2), requires_grad=True)
            for _ in range(count):
                y = tg.sin(y) + 1.0
        return graph

    diff = chain(2000).diff(chain(2003))
    assert (len(diff.added), len(diff.removed)) == (6, 0)
