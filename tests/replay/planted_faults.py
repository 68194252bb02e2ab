"""Plant faults in replays and count those that the check of the first replay finds: `cd tests; python -m replay.planted_faults`.

A fault is what a mistake in planning, fusion or a kernel would do: memory used again too early, a gradient dropped, a stale
constant, inputs exchanged, an update left out, a wrong winner, scratch memory shared by two threads. Each is planted into the
plans of several networks, in a step chosen at random among those where it changes something.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import nn
import tensorgrad as tg
from replay.random_networks import Skip, small_thresholds
from tensorgrad.kernels.threads import Call, in_turn
from tensorgrad.replay import fallback
from tensorgrad.replay.batch_norm_back import BatchNormBackStep
from tensorgrad.replay.convolution import ForwardStep
from tensorgrad.replay.convolution_back import BackwardStep
from tensorgrad.replay.memory import Plan, is_alias
from tensorgrad.replay.program import PrimitiveStep, Program, Step
from tensorgrad.replay.runner import Runner

# -- networks ----------------------------------------------------------------------------------------------------------


def cnn() -> tuple[nn.Module, Any, tuple[int, ...]]:
    model = nn.Sequential(nn.Conv2D(1, 6, 3, rng=0), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten(), nn.Linear(216, 10, rng=1))
    return model, nn.optim.SGD(model.parameters(), 0.05), (9, 1, 14, 14)


def vgg() -> tuple[nn.Module, Any, tuple[int, ...]]:
    """Large enough for Winograd's method."""
    layers = [nn.Conv2D(3, 16, 3, padding=1, rng=0), nn.ReLU(), nn.Conv2D(16, 16, 3, padding=1, rng=1), nn.ReLU()]
    layers += [nn.MaxPool2D(2), nn.Conv2D(16, 16, 3, padding=1, rng=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3, rng=3)]
    model = nn.Sequential(*layers, nn.Linear(16 * 64, 10, rng=4))
    return model, nn.optim.SGD(model.parameters(), 0.01, momentum=0.9), (16, 3, 16, 16)


def residual() -> tuple[nn.Module, Any, tuple[int, ...]]:
    def block(channels: int, seed: int) -> nn.Module:
        body = nn.Sequential(nn.Conv2D(channels, 8, 3, padding=1, bias=False, rng=seed), nn.BatchNorm2D(8), nn.ReLU())
        beside = nn.Sequential(nn.Conv2D(channels, 8, 1, bias=False, rng=seed + 1), nn.BatchNorm2D(8))
        return Skip(body, beside)

    layers = [block(3, 0), nn.ReLU(), block(8, 2), nn.AvgPool2D(2), nn.Flatten(), nn.Linear(8 * 16, 10, rng=5)]
    model = nn.Sequential(*layers)
    return model, nn.optim.Adam(model.parameters(), 0.01), (8, 3, 8, 8)


def perceptron() -> tuple[nn.Module, Any, tuple[int, ...]]:
    layers = [nn.Linear(30, 24, rng=0), nn.Tanh(), nn.Dropout(0.2, rng=1), nn.Linear(24, 24, rng=2), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(24, 10, rng=3))
    return model, nn.optim.Adam(model.parameters(), 0.01), (12, 30)


def pooled() -> tuple[nn.Module, Any, tuple[int, ...]]:
    """Pooling before relu, overlapping windows, a convolution with a stride."""
    layers = [nn.Conv2D(2, 6, 5, padding=2, rng=0), nn.MaxPool2D(2), nn.ReLU(), nn.Conv2D(6, 8, 3, stride=2, rng=1), nn.Tanh()]
    layers += [nn.MaxPool2D(2, stride=1), nn.Flatten(), nn.Linear(32, 10, rng=2)]
    model = nn.Sequential(*layers)
    return model, nn.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True), (7, 2, 14, 14)


NETWORKS = {make.__name__: make for make in (cnn, vgg, residual, perceptron, pooled)}

# -- faults ------------------------------------------------------------------------------------------------------------

Faulty = Callable[[Any, np.random.Generator], bool]
"""Changes a program, a plan of memory or a runner; False where there is nothing to change."""

PROGRAM: dict[str, Faulty] = {}
MEMORY: dict[str, Callable[[Program, Plan, np.random.Generator], bool]] = {}
RUNNER: dict[str, Callable[[Runner, np.random.Generator], bool]] = {}


def fault(kinds: dict[str, Any]) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        kinds[function.__name__] = function
        return function

    return register


def chosen(items: Any, rng: np.random.Generator) -> Any:
    """One of them at random, or None."""
    items = list(items)
    return items[rng.integers(len(items))] if items else None


def alike(program: Program, one: int, other: int) -> bool:
    """Whether one value could be taken for another. Counts of steps, which are equal, are left out."""
    a, b = program.values[one], program.values[other]
    return one != other and (a.shape, a.dtype) == (b.shape, b.dtype) and a.shape != ()


def primitives(program: Program) -> list[PrimitiveStep]:
    """All steps that run one primitive, those inside of a run of elementwise ones too."""
    steps = [member for step in program.steps for member in getattr(step, "members", [step])]
    return [step for step in steps if isinstance(step, PrimitiveStep)]


def fused(program: Program) -> list[Step]:
    return [step for step in program.steps if isinstance(step, ForwardStep | BackwardStep | BatchNormBackStep)]


COMMUTATIVE = {"add", "multiply", "maximum", "minimum", "equal"}


@fault(PROGRAM)
def inputs_exchanged(program: Program, rng: np.random.Generator) -> bool:
    places = [
        (step, i, j)
        for step in [*primitives(program), *fused(program)]
        if step.name not in COMMUTATIVE
        for i in range(len(step.inputs))
        for j in range(i)
        if None not in (step.inputs[i], step.inputs[j]) and alike(program, step.inputs[i], step.inputs[j])
    ]
    found = chosen(places, rng)
    if found is None:
        return False
    step, i, j = found
    step.inputs[i], step.inputs[j] = step.inputs[j], step.inputs[i]
    return True


@fault(PROGRAM)
def another_value_read(program: Program, rng: np.random.Generator) -> bool:
    """A value of the same shape that was made earlier."""
    made: list[int] = [*program.cells, *program.arguments]
    places = []
    for step in program.steps:
        if type(step) is PrimitiveStep and not is_alias(program, step):
            for k, value in enumerate(step.inputs):
                places += [(step, k, v) for v in made if value is not None and alike(program, v, value)]
        made += [v for v in step.outputs if program.values[v].norm is None]
    found = chosen(places, rng)
    if found is None:
        return False
    step, k, value = found
    step.inputs[k] = value
    return True


@fault(PROGRAM)
def step_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if not is_alias(program, s)], rng)
    runs_nothing(step)
    return True


@fault(PROGRAM)
def update_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if "update" in s.name], rng)
    if step is not None:
        runs_nothing(step)
    return step is not None


def runs_nothing(step: Step) -> None:
    step.bind = lambda inputs, outputs, scratch: [[lambda: [np.copyto(out, 0) for out in outputs]]]


@fault(PROGRAM)
def stale_constant(program: Program, rng: np.random.Generator) -> bool:
    arrays = {v: c for v, c in program.constants.items() if isinstance(c, np.ndarray) and c.size and c.dtype.kind == "f"}
    value = chosen(arrays, rng)
    if value is None:
        return False
    program.constants[value] = arrays[value] * 1.01 + 0.01
    return True


@fault(PROGRAM)
def number_changed(program: Program, rng: np.random.Generator) -> bool:
    used = {v for step in program.steps for v in step.inputs}
    value = chosen([v for v, c in program.constants.items() if type(c) is float and v in used], rng)
    if value is None:
        return False
    program.constants[value] = program.constants[value] * 1.001 + 1e-3
    return True


@fault(PROGRAM)
def setting_changed(program: Program, rng: np.random.Generator) -> bool:
    """A number among the settings of a step."""
    places = [
        (step, name)
        for step in program.steps
        if isinstance(step, PrimitiveStep)
        for name, setting in step.attributes.items()
        if type(setting) is float and setting > 1e-3
    ]
    found = chosen(places, rng)
    if found is None:
        return False
    step, name = found
    step.attributes = step.attributes | {name: step.attributes[name] * 0.9}
    return True


@fault(PROGRAM)
def result_of_another_step(program: Program, rng: np.random.Generator) -> bool:
    made = [v for step in program.steps for v in step.outputs]
    place = chosen([(k, v) for k, r in enumerate(program.results) for v in made if alike(program, v, r)], rng)
    if place is None:
        return False
    program.results[place[0]] = place[1]
    return True


@fault(PROGRAM)
def two_leaves_exchanged(program: Program, rng: np.random.Generator) -> bool:
    pairs = [
        (a, b)
        for a, one in program.assigned.items()
        for b, other in program.assigned.items()
        if a is not b and alike(program, one, other)
    ]
    found = chosen(pairs, rng)
    if found is None:
        return False
    a, b = found
    program.assigned[a], program.assigned[b] = program.assigned[b], program.assigned[a]
    return True


@fault(PROGRAM)
def assignment_lost(program: Program, rng: np.random.Generator) -> bool:
    leaf = chosen(program.assigned, rng)
    cell = next((v for v, cell in program.cells.items() if cell is leaf), None)
    if cell is None:
        return False
    program.assigned[leaf] = cell
    return True


@fault(PROGRAM)
def gradient_not_left(program: Program, rng: np.random.Generator) -> bool:
    leaf = chosen([leaf for leaf, v in program.gradients.items() if v is not None], rng)
    program.gradients[leaf] = None
    return True


@fault(PROGRAM)
def gradient_of_another(program: Program, rng: np.random.Generator) -> bool:
    gradients = program.gradients
    pairs = [(a, v) for a, u in gradients.items() for v in gradients.values() if None not in (u, v) and alike(program, u, v)]
    found = chosen(pairs, rng)
    if found is None:
        return False
    gradients[found[0]] = found[1]
    return True


@fault(PROGRAM)
def version_not_counted(program: Program, rng: np.random.Generator) -> bool:
    program.rebindings[chosen(program.rebindings, rng)] -= 1
    return True


@fault(PROGRAM)
def relu_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if isinstance(s, ForwardStep) and s.relu and not s.masked], rng)
    step = step or chosen([s for s in program.steps if isinstance(s, ForwardStep) and s.relu], rng)
    if step is None:
        return False
    step.relu = False
    return True


@fault(PROGRAM)
def bias_left_out(program: Program, rng: np.random.Generator) -> bool:
    step = chosen([s for s in program.steps if isinstance(s, ForwardStep) and len(s.inputs) == 3], rng)
    if step is None:
        return False
    bind = step.bind
    step.bind = lambda inputs, outputs, scratch: bind([*inputs[:2], np.zeros_like(inputs[2])], outputs, scratch)
    return True


@fault(PROGRAM)
def steps_exchanged(program: Program, rng: np.random.Generator) -> bool:
    """A step before the one that makes its input, in the memory of which something else lies."""
    steps = program.steps
    places = [k for k in range(1, len(steps)) if not set(steps[k].inputs).isdisjoint(steps[k - 1].outputs)]
    places = [k for k in places if not is_alias(program, steps[k]) and not is_alias(program, steps[k - 1])]
    k = chosen(places, rng)
    if k is None:
        return False
    first = steps[k - 1]
    bind, later = first.bind, steps[k].bind

    def bind_both(inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> Any:
        waiting[:] = bind(inputs, outputs, scratch)
        return [[lambda: None]]

    def bind_later(inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> Any:
        return [*later(inputs, outputs, scratch), *waiting]

    waiting: list[Any] = []
    first.bind, steps[k].bind = bind_both, bind_later
    return True


def overlapping(program: Program, plan: Plan) -> Iterator[tuple[int, int]]:
    """Pairs of values in blocks of their own, of which the second is made while the first is still needed."""
    made, last = {}, {}
    for k, step in enumerate(program.steps):
        for value in [*step.inputs, *step.outputs]:
            if value is not None:
                last[plan.root_of(value)] = k
        made.update({v: k for v in step.outputs})
    for one, block in plan.block.items():
        for other, second in plan.block.items():
            if block != second and made[one] < made[other] < last[one]:
                yield one, other


@fault(MEMORY)
def memory_used_again_too_early(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    pairs = [(a, b) for a, b in overlapping(program, plan) if plan.blocks[plan.block[a]] >= program.values[b].nbytes]
    found = chosen(pairs, rng)
    if found is None:
        return False
    one, other = found
    plan.block[other] = plan.block[one]
    return True


@fault(MEMORY)
def leaf_overwritten_while_needed(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    """A gradient that is made where its leaf's value lies."""
    places = [
        (value, plan.leaf_homes[leaf])
        for leaf, value in program.gradients.items()
        if leaf in plan.leaf_homes and value in plan.homes and program.values[value].shape == plan.leaf_homes[leaf].shown.shape
    ]
    found = chosen(places, rng)
    if found is None:
        return False
    plan.homes[found[0]] = found[1]
    return True


@fault(MEMORY)
def copy_at_the_end_forgotten(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    if not plan.copied:
        return False
    plan.copied.pop(rng.integers(len(plan.copied)))
    return True


@fault(MEMORY)
def result_in_memory_of_another(program: Program, plan: Plan, rng: np.random.Generator) -> bool:
    results = [plan.root_of(v) for v in program.results if plan.root_of(v) in plan.block]
    made = {v: k for k, step in enumerate(program.steps) for v in step.outputs}
    places = [(r, v) for r in results for v in plan.block if made[v] > made[r] and program.values[v].nbytes <= 1 << 20]
    found = chosen(places, rng)
    if found is None:
        return False
    result, value = found
    block = plan.block[result]
    plan.blocks[block] = max(plan.blocks[block], program.values[value].nbytes)
    plan.block[value] = block
    return True


def wrapped(runner: Runner, index: int, after: Callable[[list[np.ndarray]], None]) -> bool:
    """Let something happen to the outputs of a step right after it."""
    step = runner.program.steps[index]
    bind = step.bind

    def bind_wrapped(inputs: list[Any], outputs: list[np.ndarray], scratch: list[np.ndarray]) -> Any:
        return [*bind(inputs, outputs, scratch), [partial(after, outputs)]]

    step.bind = bind_wrapped
    runner._bind(None)
    return True


def computing(runner: Runner, kind: type = Step) -> list[int]:
    return [k for k, stages in enumerate(runner.stages) if stages and isinstance(runner.program.steps[k], kind)]


def recorded(runner: Runner, index: int) -> list[int]:
    """Which outputs of a step are recorded values of floats."""
    values = runner.program.values
    step = runner.program.steps[index]
    made = {v for node in step.nodes for v in node.outputs}
    return [k for k, v in enumerate(step.outputs) if v in made and values[v].dtype.startswith("float") and values[v].nbytes]


def spoiled(runner: Runner, rng: np.random.Generator, spoil: Callable[[np.ndarray], None], kind: type = Step) -> bool:
    index = chosen([k for k in computing(runner, kind) if recorded(runner, k)], rng)
    if index is None:
        return False
    which = chosen(recorded(runner, index), rng)
    return wrapped(runner, index, lambda outputs: spoil(outputs[which]))


@fault(RUNNER)
def gradient_dropped(runner: Runner, rng: np.random.Generator) -> bool:
    """One of the gradients of a fused convolution, as that of its bias."""
    return spoiled(runner, rng, lambda out: np.copyto(out, 0), BackwardStep)


@fault(RUNNER)
def one_element_wrong(runner: Runner, rng: np.random.Generator) -> bool:
    def spoil(out: np.ndarray) -> None:
        index = np.unravel_index(np.abs(out).argmax(), out.shape)
        out[index] = out[index] * 1.5 + 1e-6

    return spoiled(runner, rng, spoil)


@fault(RUNNER)
def first_row_wrong(runner: Runner, rng: np.random.Generator) -> bool:
    return spoiled(
        runner, rng, lambda out: np.multiply(out[:1], 0.9, out=out[:1]) if out.ndim else np.multiply(out, 0.9, out=out)
    )


@fault(RUNNER)
def a_thousandth_too_large(runner: Runner, rng: np.random.Generator) -> bool:
    return spoiled(runner, rng, lambda out: np.multiply(out, 1.001, out=out))


@fault(RUNNER)
def sign_turned(runner: Runner, rng: np.random.Generator) -> bool:
    return spoiled(runner, rng, lambda out: np.negative(out, out=out))


@fault(RUNNER)
def wrong_winner(runner: Runner, rng: np.random.Generator) -> bool:
    """In each block another place is said to have won."""
    steps = [k for k in computing(runner, ForwardStep) if runner.program.steps[k].masked]
    index = chosen([k for k in steps if runner.program.steps[k].where.places > 1], rng)
    if index is None:
        return False
    return wrapped(runner, index, lambda outputs: np.copyto(outputs[1], np.roll(outputs[1], 1, axis=0)))


@fault(RUNNER)
def mask_turned_around(runner: Runner, rng: np.random.Generator) -> bool:
    index = chosen([k for k in computing(runner, ForwardStep) if runner.program.steps[k].masked], rng)
    if index is None:
        return False
    part = (slice(None),) * 2 + (slice(0, 1),)
    return wrapped(runner, index, lambda outputs: np.logical_not(outputs[1][part], out=outputs[1][part]))


@fault(RUNNER)
def scratch_shared_by_two_threads(runner: Runner, rng: np.random.Generator) -> bool:
    steps = runner.program.steps
    uses = [
        k
        for k, stages in enumerate(runner.stages)
        if any(len(stage) > 1 and all(len(getattr(s, "calls", ())) > 1 for s in stage) for stage in stages)
        and steps[k].scratch_bytes(4)
    ]
    index = chosen(uses, rng)
    if index is None:
        return False
    bind = steps[index].bind
    steps[index].bind = lambda inputs, outputs, scratch: bind(inputs, outputs, [scratch[0], scratch[0]])
    runner._bind(None)
    return True


def changed_stage(runner: Runner, rng: np.random.Generator, change: Callable[[list[Call]], list[Call]]) -> bool:
    index = chosen([k for k, stages in enumerate(runner.stages) if any(len(stage) > 1 for stage in stages)], rng)
    if index is None:
        return False
    step = runner.program.steps[index]
    bind = step.bind
    step.bind = lambda *arrays: [change(list(stage)) if len(stage) > 1 else stage for stage in bind(*arrays)]
    poison(runner)
    runner._bind(None)
    return True


def poison(runner: Runner) -> None:
    """Fresh memory is often zero, and what is not written at all is then right by chance."""
    for block in runner.blocks:
        block[...] = 0x3F


@fault(RUNNER)
def second_share_left_out(runner: Runner, rng: np.random.Generator) -> bool:
    return changed_stage(runner, rng, lambda stage: stage[:1])


@fault(RUNNER)
def first_share_left_out(runner: Runner, rng: np.random.Generator) -> bool:
    return changed_stage(runner, rng, lambda stage: stage[1:])


@fault(RUNNER)
def last_call_of_a_share_left_out(runner: Runner, rng: np.random.Generator) -> bool:
    return changed_stage(runner, rng, lambda stage: [stage[0], in_turn(list(getattr(stage[1], "calls", [1]))[:-1])])


@fault(RUNNER)
def argument_not_read(runner: Runner, rng: np.random.Generator) -> bool:
    read, first = runner.read, []

    def stale(arguments: list[np.ndarray]) -> None:
        read([np.zeros_like(a) for a in arguments])

    runner.read = stale
    return not first


@fault(RUNNER)
def small_leaf_not_read(runner: Runner, rng: np.random.Generator) -> bool:
    value = chosen([v for v in runner.program.cells if v in runner._slots and runner.program.values[v].dtype == "float32"], rng)
    if value is None:
        return False
    read, slot = runner.read, runner._slots[value]

    def stale(arguments: list[np.ndarray]) -> None:
        read(arguments)
        slot[...] += 0.25

    runner.read = stale
    return True


@fault(RUNNER)
def random_numbers_drawn_twice(runner: Runner, rng: np.random.Generator) -> bool:
    draws = [k for k, s in enumerate(runner.program.steps) if isinstance(s, PrimitiveStep) and s.has_effect]
    index = chosen(draws, rng)
    if index is None:
        return False
    step = runner.program.steps[index]
    bind = step.bind
    step.bind = lambda *arrays: [*bind(*arrays), *bind(*arrays)]
    runner._bind(None)
    return True


@fault(RUNNER)
def columns_in_another_order(runner: Runner, rng: np.random.Generator) -> bool:
    def spoil(out: np.ndarray) -> None:
        out[...] = np.roll(out, 1, axis=-1)

    index = chosen(
        [
            k
            for k in computing(runner)
            for o in recorded(runner, k)
            if runner.program.values[_out(runner, k, o)].shape[-1:] > (1,)
        ],
        rng,
    )
    if index is None:
        return False
    which = chosen([o for o in recorded(runner, index) if runner.program.values[_out(runner, index, o)].shape[-1:] > (1,)], rng)
    return wrapped(runner, index, lambda outputs: spoil(outputs[which]))


def _out(runner: Runner, index: int, which: int) -> int:
    return runner.program.steps[index].outputs[which]


# -- planting ----------------------------------------------------------------------------------------------------------

FAULTS = {**PROGRAM, **MEMORY, **RUNNER}


@contextlib.contextmanager
def planted(name: str, seed: int) -> Iterator[list[bool]]:
    """While this is entered, plans are made with a fault in them. Yields a list, whose items say whether there was a place
    for it."""
    rng, done = np.random.default_rng(seed), []
    before = fallback.fuse, fallback.place, fallback.Runner

    def fuse(program: Program) -> None:
        before[0](program)
        if name in PROGRAM:
            done.append(PROGRAM[name](program, rng))

    def place(program: Program) -> Plan:
        plan = before[1](program)
        if name in MEMORY and not done:
            done.append(MEMORY[name](program, plan, rng))
        return plan

    def runner(program: Program, plan: Plan) -> Runner:
        made = before[2](program, plan)
        if name in RUNNER and not done:
            done.append(RUNNER[name](made, rng))
        return made

    fallback.fuse, fallback.place, fallback.Runner = fuse, place, runner
    try:
        yield done
    finally:
        fallback.fuse, fallback.place, fallback.Runner = before


def outcome(network: str, name: str, seed: int) -> str | None:
    """What is said of a fault: None where it is missed, "" where there was no place for it."""
    model, optimizer, shape = NETWORKS[network]()
    rng = np.random.default_rng(seed)

    @tg.compile
    def step(x: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    with warnings.catch_warnings(), planted(name, seed) as done:
        warnings.simplefilter("error")
        try:
            for _ in range(3):
                step(rng.standard_normal(shape, dtype=np.float32), rng.integers(0, 10, shape[0]))
        except (tg.ReplayError, RuntimeWarning) as error:
            return str(error)
    return None if done == [True] else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--seeds", type=int, default=3, help="places for each fault in each network")
    parser.add_argument("--verbose", action="store_true", help="print what is said of each")
    arguments = parser.parse_args()
    tg.show_config()
    small_thresholds()
    count, missed = 0, 0
    for network in NETWORKS:
        for name in FAULTS:
            for seed in range(arguments.seeds):
                said = outcome(network, name, seed)
                if said != "":
                    count += 1
                    missed += said is None
                if said is None:
                    print(f"MISSED: {name} in {network}, seed {seed}")
                elif said and arguments.verbose:
                    print(f"{name} in {network}, seed {seed}: {said[:160]}")
    print(f"{count} faults planted, {missed} missed: {100 * (count - missed) / count:.1f} % found")
    raise SystemExit(missed > 0.01 * count)


if __name__ == "__main__":
    main()
