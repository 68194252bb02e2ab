"""Plans: what they say, what they draw, and how memory is shared out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.kernels.fused_convolution import Tile, _two_shares
from tensorgrad.kernels.winners import largest, largest_and_won, to_winners
from tensorgrad.replay import runner


@pytest.fixture(scope="module")
def compiled():
    model = nn.models.MnistCNN(hidden=16, rng=0)
    optimizer = nn.optim.SGD(model.parameters(), 0.001)

    def train(x, t):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    step = tg.compile(train)
    rng = np.random.default_rng(0)
    for _ in range(4):
        step(rng.random((64, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 64))
    return step


def test_a_plan_says_what_is_fused_and_what_lies_where(compiled):
    text = str(compiled.plan())
    assert "plan of train" in text and "primitives recorded" in text and "memory:" in text
    assert "conv2d + relu + max_pool2d" in text and "backward of conv2d + relu + max_pool2d" in text
    assert "gradient of weight" in text and "block" in text and "view" in text


def test_a_fused_node_shows_what_it_holds(compiled):
    nodes = {node.primitive: node for node in compiled.plan().graph.nodes}
    assert nodes["conv2d + relu + max_pool2d"].attributes["holds"] == ["conv2d", "relu", "max_pool2d"]
    assert "conv2d_weight_grad" in nodes["backward of conv2d + relu + max_pool2d"].attributes["holds"]


@pytest.mark.parametrize("suffix", ["dot", "json", "html"])
def test_a_plan_is_drawn(compiled, tmp_path, suffix):
    path = compiled.plan().save(tmp_path / f"plan.{suffix}")
    assert "max_pool2d" in path.read_text()


def test_memory_is_used_again(compiled):
    plan = compiled.plan()
    made = [v for step in plan._program.steps for v in step.outputs if v in plan._memory.block]
    assert len({plan._memory.block[v] for v in made}) < len(made)
    assert sum(plan._program.values[v].nbytes for v in made) > plan.nbytes["values"]


def test_values_that_live_at_the_same_time_share_no_memory(compiled):
    plan = compiled.plan()
    program, memory = plan._program, plan._memory
    last: dict[int, int] = {}
    for index, step in enumerate(program.steps):
        for value in [*step.inputs, *step.outputs]:
            if value is not None:
                last[memory.root_of(value)] = index
    for value in program.kept():
        last[memory.root_of(value)] = len(program.steps)
    holders: dict[int, int] = {}  # who lies in each block
    for index, step in enumerate(program.steps):
        for out in step.outputs:
            block = memory.block.get(out)
            if block is None or out in memory.root:
                continue
            before = holders.get(block)
            assert before is None or last[before] < index or (last[before] == index and before in step.in_place)
            holders[block] = out


def test_shares_that_run_at_the_same_time_have_memory_of_their_own(everything_is_large, monkeypatch, registry):
    waiting = []

    def at_once(shares):
        waiting[:] = shares[1:]
        shares[0]()
        for share in waiting:
            share()

    @tg.primitive(elementwise=True)
    def interrupted(x):
        for _ in range(len(waiting)):
            waiting.pop()()  # as if the other thread did all of its share now
        return x + 1.0

    monkeypatch.setattr(runner, "at_once", at_once)
    compiled = tg.compile(lambda x, y: (interrupted(x * 2.0) * 3.0, interrupted(y * 5.0) * 7.0))
    for k in range(4):
        large, small = compiled(np.full(64, k, np.float32), np.full(3, k, np.float32))
        assert (large.data == (2 * k + 1) * 3).all() and (small.data == (5 * k + 1) * 7).all()
    assert len(compiled.plan()._runner._works) == 1


@pytest.mark.parametrize("count", range(1, 10))
def test_the_largest_of_several_arrays_and_who_it_was(count):
    rng = np.random.default_rng(count)
    given = rng.integers(0, 3, (count, 50)).astype(np.float32)  # many equals: the first wins
    won, space = np.empty((count, 50), bool), np.empty(50, bool)
    arrays = given.copy()
    if count > 1:
        for call in largest_and_won(list(arrays), list(won), space):
            call()
        assert np.array_equal(arrays[0], given.max(0))
        assert np.array_equal(won.argmax(0), given.argmax(0)) and (won.sum(0) == 1).all()
        g, out = np.full(50, np.inf, np.float32), np.empty((count, 50), np.float32)
        for call in to_winners(g, list(won), list(out)):
            call()
        assert np.array_equal(out, np.where(won, np.inf, 0).astype(np.float32))
    again = given.copy()
    for call in largest(list(again)):
        call()
    assert np.array_equal(again[0], given.max(0))


@pytest.mark.parametrize(("rows", "columns", "height"), [(13, 13, 2), (5, 5, 5), (1, 7, 1), (4, 4, 1), (1, 1, 1), (3, 2, 3)])
def test_two_threads_get_halves_that_cover_everything_once(rows, columns, height):
    jobs = [Tile(r, min(r + height, rows), 0, columns) for r in range(0, rows, height)]
    shares = _two_shares(jobs)
    covered = np.zeros((rows, columns), int)
    for tile in itertools.chain(*shares):
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert (covered == 1).all()
    assert abs(sum(t.windows for t in shares[0]) - sum(t.windows for t in shares[1])) <= 1
