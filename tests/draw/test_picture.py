"""The picture model: every node in one row, the same sums however much is open, folding, passes, updates."""

import json
import math

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.draw import build
from tensorgrad.draw.picture import Band, Input, Loss, Op

ADDITIVE = ("ops", "nodes", "parameters", "tensors", "saved_bytes", "out_bytes")
ALL = (
    "expression", "mlp", "mnist_cnn", "lenet5", "residual_block", "recurrent_cell", "recurrent_unrolled", "two_networks",
    "second_derivative", "own_primitive", "nan", "raised",
)  # fmt: skip


def ops(picture):
    return [row for row in picture.rows if isinstance(row, Op)]


def nodes_of(op):
    found = [] if op.lane == "update" or op.node < 0 else list(op.nodes)
    return found + [n for part in (*op.backs, *op.updates) for n in part.nodes]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("fold", [False, True])
def test_every_node_stands_in_exactly_one_row(graphs, name, fold):
    graph, _ = graphs[name]
    picture = build(graph, fold=fold)
    found = sorted(n for op in ops(picture) for n in nodes_of(op))
    assert found == list(range(len(graph.nodes)))
    assert picture.total.nodes == len(graph.nodes)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("options", [{"depth": d} for d in (0, 1, 2, None)] + [{"fold": True}, {"fold": True, "depth": 1}])
def test_sums_are_the_same_at_every_depth(graphs, name, options):
    graph, _ = graphs[name]
    picture = build(graph, **options)
    leaves = [row for row in picture.visible() if not (isinstance(row, Band) and not row.closed)]
    whole = build(graph).total
    for field in ADDITIVE:
        assert sum(getattr(row.sum, field) for row in leaves) == getattr(picture.total, field) == getattr(whole, field), field
    for phase in ("forward", "backward", "update"):
        assert sum(row.sum.flops[phase] for row in leaves) == graph.flops(phase)
        seconds = sum(n.seconds or 0.0 for n in graph.nodes if n.phase == phase)
        assert sum(row.sum.ms[phase] for row in leaves if row.sum.ms) == pytest.approx(1e3 * seconds)
    assert picture.total.saved_bytes == graph.saved_bytes()
    norms = [v.norm for v in graph.gradients().values() if v.norm is not None]
    if norms and all(map(math.isfinite, norms)):
        assert picture.total.gradient == pytest.approx(math.hypot(*norms))


def test_rows_are_preorder(graphs):
    for graph, _ in graphs.values():
        rows = build(graph).rows
        for index, row in enumerate(rows):
            assert row.band < index
            if row.band >= 0:
                assert isinstance(rows[row.band], Band)
                assert row.band < index < rows[row.band].end
        assert len({row.id for row in rows}) == len(rows)


def test_parameters_count_once_however_often_they_are_used(graphs):
    graph, _ = graphs["recurrent_unrolled"]
    picture = build(graph)
    assert picture.total.parameters == 28 * 48 + 48 + 48 * 48 + 48 * 10 + 10
    shared = [p for op in ops(picture) for p in op.params if p.shared]
    assert len(shared) == 3 * 3  # weight, bias and weight, in three of four calls
    assert all(any(op.id == p.shared for op in ops(picture)) for p in shared)


def test_updates_stand_with_the_parameters_they_change(cnn):
    picture = build(cnn)
    updated = [op for op in ops(picture) if op.updates]
    assert [op.op for op in updated] == ["conv2d", "linear", "linear"]
    for op in updated:
        assert [update.optimizer for update in op.updates] == ["SGD"]
        assert op.updates[0].settings == "lr 0.001"
        assert op.updates[0].ops == ["sgd_update", "assign", "sgd_update", "assign"]
        assert [(p.version, p.next) for p in op.params] == [(0, 1), (0, 1)]


def test_state_of_an_optimizer_shows_its_versions(graphs):
    graph, _ = graphs["mlp"]
    update = next(op for op in ops(build(graph)) if op.updates).updates[0]
    assert update.optimizer == "Adam"
    assert update.settings == "lr 0.001 betas (0.9,0.999) eps 1e-08"
    assert update.state == ["mean v0 → v1", "square v0 → v1", "count 1 → 2"]


def test_running_averages_stand_with_the_op_that_they_are_of():
    model = nn.Sequential(nn.BatchNorm2D(3), nn.ReLU())
    with tg.trace() as graph:
        for _ in range(2):
            model(tg.Tensor(np.ones((2, 3, 4, 4), np.float32))).sum().backward()
    picture = build(graph)
    forward = [row.op for row in picture.rows if isinstance(row, Op) and row.lane == "forward"]
    assert forward == ["batch_norm", "relu", "sum"] * 2
    first, second = (row for row in picture.rows if isinstance(row, Op) and row.op == "batch_norm")
    assert [update.optimizer for update in first.updates] == ["state"]
    assert first.updates[0].state == ["num_batches_tracked 0 → 1", "running_mean v0 → v1", "running_var v0 → v1"]
    assert second.updates[0].state == ["num_batches_tracked 1 → 2", "running_mean v1 → v2", "running_var v1 → v2"]
    state = [(p.name, p.version, p.next) for p in first.params if p.role == "state"]
    assert state == [("num_batches_tracked", 0, 1), ("running_mean", 0, 1), ("running_var", 0, 1)]
    assert sum(row.sum.nodes for row in picture.rows if not isinstance(row, Band)) == len(graph.nodes)
    assert picture.total.flops["forward"] == graph.flops("forward")


def test_frozen_parameters_and_buffers_stand_in_the_lane_of_parameters():
    model = nn.Sequential(nn.Conv2D(3, 2, 1, rng=0), nn.BatchNorm2D(2)).eval()
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    with tg.trace() as graph:
        model(tg.Tensor(np.ones((1, 3, 2, 2), np.float32)))
    picture = build(graph)
    held = {p.name: p.role for row in picture.rows if isinstance(row, Op) for p in row.params}
    assert held == {
        "weight": "parameter", "bias": "parameter", "running_mean": "state", "running_var": "state",
    }  # fmt: skip
    conv = next(row for row in picture.rows if isinstance(row, Op))
    assert [(p.name, p.role) for p in conv.params] == [("weight", "frozen"), ("bias", "frozen")]
    assert [row.name for row in picture.rows if isinstance(row, Input)] == ["x"]
    assert picture.total.parameters == sum(p.size for p in model.parameters())


def test_an_assignment_that_no_op_or_module_asked_for_is_a_rung():
    x, state = tg.Tensor([1.0]), tg.Tensor([0.0])
    with tg.trace() as graph:
        tg.assign(state, state + 1.0)
        y = x * state
        tg.assign(state, y)
        z = tg.exp(state)
        z.sum()
    ops = [row.op for row in build(graph).rows if isinstance(row, Op)]
    assert ops == ["add", "assign", "multiply", "assign", "exp", "sum"]  # what is read later is no upkeep


def test_an_update_by_hand_names_its_primitives(small):
    (op,) = [op for op in ops(build(small)) if op.updates]
    assert op.updates[0].optimizer == "multiply, subtract"
    assert op.updates[0].settings == "multiply 0.5"


def test_clipping_all_gradients_at_once_has_a_rung_of_its_own():
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Linear(4, 2, rng=1))
    optimizer = nn.optim.SGD(model.parameters(), 0.1)
    with tg.trace() as graph:
        model(np.ones((2, 3), np.float32)).sum().backward()
        nn.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
    rows = ops(build(graph))
    assert [op.op for op in rows if op.lane == "update"] == ["global_norm"]
    assert all("scale_to_norm" in op.updates[0].ops for op in rows if op.params)
    assert sorted(n for op in rows for n in nodes_of(op)) == list(range(len(graph.nodes)))


def test_each_backward_pass_has_its_loss_and_its_cards(graphs):
    graph, _ = graphs["two_networks"]
    picture = build(graph)
    losses = [row for row in picture.rows if isinstance(row, Loss)]
    assert [(row.name, row.backward_pass, row.seed) for row in losses] == [("judge's loss", 0, "1"), ("maker's loss", 1, "1")]
    assert picture.passes == ["judge's loss", "maker's loss"]
    passes = {op.scope.partition(".")[0]: [b.backward_pass for b in op.backs] for op in ops(picture) if op.params}
    assert passes == {"Generator": [1], "Discriminator": [1]}  # the judge's last call; the others were for its own loss
    calls = [row for row in picture.rows if isinstance(row, Band) and row.path == "Discriminator"]
    assert [(b.call, b.calls) for b in calls] == [(1, 3), (2, 3), (3, 3)]
    detached = next(op for op in ops(picture) if op.stops == ["x is detached"])
    assert detached.scope == "Discriminator.0"


def test_parameters_after_their_update_show_the_new_version(graphs):
    graph, _ = graphs["two_networks"]
    versions = [p.version for op in ops(build(graph)) for p in op.params if p.path == "Discriminator.0.weight"]
    assert versions == [0, 0, 1]


def test_a_pass_that_is_differentiated_has_rungs_of_its_own(graphs):
    graph, _ = graphs["second_derivative"]
    picture = build(graph)
    (band,) = [row for row in picture.rows if isinstance(row, Band)]
    assert (band.role, band.name) == ("pass", "∂ y")
    inside = [op for op in ops(picture) if op.phase == "backward"]
    assert {op.node for op in inside} == {n.id for n in graph.nodes if n.backward_pass == 0}
    first = ops(picture)[0]
    assert [back.backward_pass for back in first.backs] == [0, 1]
    assert set(first.backs[0].rows) <= {op.id for op in inside}
    assert not first.backs[0].nodes


def test_values_and_gradients_of_a_formula_are_its_own(graphs):
    graph, _ = graphs["expression"]
    x, w, b = 2.0, -3.0, 6.9
    slope = 0.5 * (1 - math.tanh(x * w + b) ** 2)
    rows = ops(build(graph))
    gradients = {op.op: op.gradient for op in rows if op.op in ("multiply", "tanh")}
    assert gradients == {"multiply": pytest.approx(slope, rel=1e-5), "tanh": 0.5}
    by_name = {p.path: p.grad_number for op in rows for p in op.params if p.grad_number is not None}
    assert by_name == pytest.approx({"x": w * slope + 2 * x, "w": x * slope, "b": slope}, rel=1e-5)


def test_trouble_is_marked_where_it_begins(graphs):
    marks = [(op.op, m.lane, m.text) for op in ops(build(graphs["nan"][0])) for m in op.marks if m.first]
    assert marks == [("log", "forward", "the first infinity or NaN appears here")]
    (failed,) = [op for op in ops(build(graphs["raised"][0])) if op.marks]
    assert (failed.op, failed.marks[0].kind) == ("linear", "error")
    assert failed.inputs[0].array.shape == [16, 1352]


@pytest.mark.parametrize(("begins", "lane"), [(True, "backward"), (False, "forward")])
def test_a_rule_that_fails_is_marked_where_there_is_a_card_for_it(begins, lane):
    @tg.primitive
    def picture_test_square(x):
        return x * x

    picture_test_square.vjp(x=lambda g, x: (g * x if begins else g).no_such_method())
    trace = tg.trace()
    try:
        with pytest.raises(AttributeError), trace:
            picture_test_square(tg.Tensor([1.0, 2.0], requires_grad=True)).sum().backward()
    finally:
        del tg.PRIMITIVES["picture_test_square"]
    (failed,) = [op for op in ops(build(trace.graph)) if op.marks]
    assert failed.op == "picture_test_square"
    assert [(m.lane, m.kind, m.text.partition(":")[0]) for m in failed.marks] == [(lane, "error", "the rule for x")]
    assert not failed.stops


def test_unused_parameters_are_shown():
    class Half(nn.Module):
        def __init__(self):
            self.used, self.idle = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)

        def forward(self, x):
            return self.used(x)

    with tg.trace() as graph:
        Half()(np.ones((1, 3), np.float32)).sum().backward()
    picture = build(graph)
    assert [(p.path, p.stop) for op in ops(picture) if op.lane == "parameters" for p in op.params] == [
        ("idle.weight", "unused: no op takes it"), ("idle.bias", "unused: no op takes it"),
    ]  # fmt: skip
    assert picture.total.parameters == 16


def test_a_branch_that_leads_nowhere_says_so():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as graph:
        tg.exp(w)
        (w * w).sum().backward()
    assert [op.stops for op in ops(build(graph))] == [["no gradient came here"], [], []]


# -- inputs, bands, closing ------------------------------------------------------------------------------------------


def test_inputs_stand_above_or_beside(cnn):
    rows = {row.name: row for row in build(cnn).rows if isinstance(row, Input)}
    assert rows["images"].beside == ""
    assert rows["labels"].beside == next(op.id for op in ops(build(cnn)) if op.op == "cross_entropy")
    assert build(cnn).batch == 200


def test_scope_names_may_hold_dots():
    x = tg.Tensor([1.0], requires_grad=True)
    with tg.trace() as graph, tg.scope("a.b", "First"), tg.scope("c", "Second"):
        tg.exp(x)
    bands = [row for row in build(graph).rows if isinstance(row, Band)]
    assert [(b.name, b.path, b.module) for b in bands] == [("a.b", "a.b", "First"), ("c", "a.b.c", "Second")]


@pytest.mark.parametrize(
    "collapse, closed",
    [
        (["features"], ["features"]),
        ("classifier.*", [f"classifier.{k}" for k in range(6)]),
        (lambda path: path.endswith(".3"), ["features.3", "classifier.3"]),
    ],
)
def test_collapse_by_name_and_predicate(graphs, collapse, closed):
    picture = build(graphs["lenet5"][0], collapse=collapse)
    assert [row.path for row in picture.rows if isinstance(row, Band) and row.closed] == closed


def test_a_negative_depth_is_refused(cnn):
    with pytest.raises(ValueError, match="depth must be 0 or more"):
        build(cnn, depth=-1)


def test_a_limit_closes_the_innermost_first(graphs):
    graph, _ = graphs["lenet5"]
    everything = sum(1 for _ in build(graph).visible())
    picture = build(graph, limit=everything - 1)
    assert sum(1 for _ in picture.visible()) < everything
    assert [row.path for row in picture.visible() if isinstance(row, Band) and not row.closed] == ["features", "classifier"]
    assert "closed" in picture.notes[0]
    assert not build(graph, limit=everything).notes


# -- folding ------------------------------------------------------------------------------------------------------------


def blocks(count: int) -> tg.Graph:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4, rng=k), nn.Tanh()) for k in range(count)))
    x = tg.Tensor(np.ones((2, 4), np.float32), requires_grad=True)
    x.name = "x"
    optimizer = nn.optim.SGD(model.parameters(), 0.1)
    with tg.trace() as graph:
        model(tg.exp(x)).sum().backward()  # exp, so that the first block is like the others
        optimizer.step()
    return graph


def test_repeated_blocks_are_folded():
    picture = build(blocks(12), fold=True)
    bands = [row for row in picture.rows if isinstance(row, Band)]
    assert [(b.module, b.times) for b in bands] == [("Sequential", 12), ("Linear", 12), ("Tanh", 12)]
    linear = next(op for op in ops(picture) if op.op == "linear")
    assert linear.times == 12
    assert linear.sum.parameters == 12 * 20
    assert len(linear.updates[0].nodes) == 12 * 4
    assert picture.total.ops == 26


def test_edges_lead_to_what_stands_for_the_rest():
    picture = build(blocks(5), fold=True)
    ids = {row.id for row in picture.rows}
    for op in ops(picture):
        assert {edge.row for edge in op.inputs} <= ids
        assert {saved.shares for saved in op.saved} <= ids | {""}
    total = next(op for op in ops(picture) if op.op == "sum")
    assert total.inputs[0].row == next(op.id for op in ops(picture) if op.op == "tanh")


def test_a_loop_folds_with_what_stands_between(graphs):
    picture = build(graphs["recurrent_cell"][0], fold=True)
    repeats = [row for row in picture.rows if isinstance(row, Band) and row.role == "repeat"]
    assert [band.times for band in repeats] == [27]  # the first row begins from zeros and is not like the others
    assert [op.op for op in ops(picture)].count("tanh") == 2


def test_different_blocks_are_not_folded():
    x = tg.Tensor(np.ones((2, 4), np.float32), requires_grad=True)
    model = nn.Sequential(nn.Linear(4, 4, rng=0), nn.Linear(4, 5, rng=1), nn.Linear(5, 4, rng=2))
    with tg.trace() as graph:
        model(x)
    assert all(row.times == 1 for row in build(graph, fold=True).rows)


# -- size -------------------------------------------------------------------------------------------------------------------


def test_a_long_program_without_modules_is_cut_into_parts():
    x = tg.Tensor([1.0], requires_grad=True)
    with tg.trace() as graph:
        y = x
        for k in range(1200):
            y = tg.tanh(y) if k % 3 else tg.sin(y)
    picture = build(graph)
    chunks = [row for row in picture.rows if isinstance(row, Band)]
    assert all(row.role == "chunk" for row in chunks)
    assert chunks[0].name == "r1 to r100"
    assert sum(band.sum.ops for band in chunks) == 1200
    folded = [(op.op, op.times) for op in ops(build(graph, fold=True))]  # the first takes x, and two are left over at the end
    assert folded == [("sin", 1), ("tanh", 399), ("tanh", 399), ("sin", 399), ("tanh", 1), ("tanh", 1)]


def test_to_dict_is_json_and_leaves_defaults_out(graphs):
    for graph, _ in graphs.values():
        text = json.dumps(build(graph).to_dict(), allow_nan=False)
        data = json.loads(text)
        assert data["schema"] == "training-picture/2"
        assert {"op", "loss"} <= {row["kind"] for row in data["rows"]} or graph.title == "A step that raised"
        assert all("band" in row and "id" in row for row in data["rows"])
        assert len(text) < 2000 * len(data["rows"])
