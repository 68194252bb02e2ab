"""Pictures in daily life: names, copies, the first nan, folders that are gone, consoles without signs, misspelt paths."""

from __future__ import annotations

import io
import os
import sys

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad import completion, draw
from tensorgrad.draw.picture import Band, Op


def rows(graph, kind=Op):
    return [row for row in draw.build(graph).rows if isinstance(row, kind)]


def test_a_leaf_that_an_op_takes_twice_is_one_parameter():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as graph:
        (x * x).sum().backward()
    multiply = rows(graph)[0]
    assert [(param.path, param.size) for param in multiply.params] == [("x", 2)]
    assert multiply.params[0].grad == pytest.approx(np.hypot(2, 4))
    assert "2 parameters" in draw.drawn(draw.build(graph), "ladder").source


def test_leaves_are_named_by_the_users_variables():
    weight, bias = tg.Tensor([[1.0, 2.0]], requires_grad=True), tg.Tensor([3.0], requires_grad=True)
    with tg.trace() as graph:
        (tg.linear([[1.0, 1.0]], weight) * bias + [weight][0].sum()).sum().backward()
    named = {param.path for row in rows(graph) for param in row.params}
    assert named == {"weight", "bias"}
    layer = nn.Linear(2, 1, rng=0)
    with tg.trace() as graph:
        layer([[1.0, 1.0]]).sum().backward()
    assert {param.path for row in rows(graph) for param in row.params} == {"weight", "bias"}  # those of the module


def test_a_copy_of_a_gradient_belongs_to_the_op_it_came_from():
    a, b = (tg.Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    with tg.trace() as graph:
        (a + b).sum().backward()
    assert "positive" in [node.primitive for node in graph.nodes]
    assert [row.op for row in rows(graph)] == ["add", "sum"]
    assert not rows(graph, Band)
    assert {param.path: param.grad for param in rows(graph)[0].params} == pytest.approx({"a": 2**0.5, "b": 2**0.5})


@pytest.mark.parametrize("size", [2, 3, 40])
def test_the_product_that_makes_the_first_nan_is_marked_and_not_the_optimizer(size):
    model = nn.Sequential(nn.Linear(size, size, rng=0), nn.Linear(size, 1, rng=1))
    optimizer = nn.optim.SGD(model.parameters(), 0.1)
    x = np.full((2, size), 3e38, np.float32) * np.where(np.arange(size) % 2, -1, 1).astype(np.float32)
    large = tg.Tensor(np.full((size, size), 3e38, np.float32))
    with tg.trace() as graph, np.errstate(all="ignore"):
        loss = model(tg.matmul(x, large)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert [row.op for row in rows(graph) for mark in row.marks if mark.first] == ["matmul"]


def test_a_trace_ends_well_where_the_folder_is_gone_or_on_another_drive(tmp_path, monkeypatch):
    x = tg.Tensor([1.0], requires_grad=True)

    def elsewhere(path):
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr(os.path, "relpath", elsewhere)
    assert completion.shown_path("/some/where/model.py") == "model.py"
    with tg.trace() as graph:
        x * 2.0
    assert graph.nodes[0].source[0] == "test_daily_life.py"
    monkeypatch.undo()
    if os.name == "posix":
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with tg.trace() as graph:
            x * 2.0
        assert graph.nodes[0].source[0].endswith("test_daily_life.py")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_tables_print_on_any_console(encoding, monkeypatch):
    model, x = nn.Sequential(nn.Conv2D(1, 2, 3, rng=0), nn.ReLU()), np.ones((1, 1, 5, 5), np.float32)
    with tg.trace() as first:
        model(x).sum().backward()
    with tg.trace() as second:
        (model(x) * 2.0).sum().backward()
    with tg.trace() as third:
        (model(x) * 3.0).sum().backward()
    compiled = tg.compile(lambda x: model(x).detach())
    for _ in range(4):
        compiled(x)
    with io.TextIOWrapper(io.BytesIO(), encoding) as console:
        monkeypatch.setattr(sys, "stdout", console)
        for table in (
            first.summary(),
            first.diff(second),
            second.diff(third),
            compiled.plan(),
            nn.summary(model, (1, 1, 5, 5)),
        ):
            print(table)
        tg.show_config()
        console.flush()
        said = console.buffer.getvalue().decode(encoding)
    monkeypatch.undo()
    assert "conv2d" in said and ("→" in said or "->" in said)


def test_a_path_that_closes_nothing_is_misspelt(tmp_path):
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2, rng=0)), nn.ReLU())
    with tg.trace() as graph:
        model(np.ones((1, 2), np.float32)).sum().backward()
    with pytest.raises(ValueError, match=r"'0\.1' is no module of this graph; did you mean '0.0'"):
        graph.save(tmp_path / "a.dot", collapse=["0.1"])
    with pytest.raises(ValueError, match=r"'encoder\.\*' is no module of this graph"):
        graph.save(tmp_path / "a.dot", collapse="encoder.*")
    with pytest.raises(ValueError, match="depth must be 0 or more"):
        graph.save(tmp_path / "a.dot", depth=-1)
    assert not list(tmp_path.iterdir())
    graph.save(tmp_path / "a.dot", collapse=["0", "0.*"])
