"""Where each value of a program lies: memory is used again as soon as nobody needs what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..graph import Value
from ..tensor import Tensor
from .homes import Home, memory_order, settle
from .program import PrimitiveStep, Program, Step


@dataclass
class Plan:
    """The places of a program's values.

    Attributes:
        root: for a value that is a view, the one that it is a view of.
        blocks: the size in bytes of each block of memory that values take turns in.
        block: the block of each value that has one.
        homes: values that lie in the home of a leaf, or of its gradient.
        leaf_homes: the home of each leaf that is given a value.
        gradient_homes: the home of each leaf's gradient.
        copied: values that must be copied into these homes at the end: they do not lie there.
    """

    root: dict[int, int] = field(default_factory=dict)
    blocks: list[int] = field(default_factory=list)
    block: dict[int, int] = field(default_factory=dict)
    homes: dict[int, Home] = field(default_factory=dict)
    leaf_homes: dict[Tensor, Home] = field(default_factory=dict)
    gradient_homes: dict[Tensor, Home] = field(default_factory=dict)
    copied: list[tuple[int, Home]] = field(default_factory=list)

    def root_of(self, value: int) -> int:
        return self.root.get(value, value)


def place(program: Program) -> Plan:
    """Give every value of a program its place."""
    plan = Plan()
    for step in program.steps:
        if is_alias(program, step):
            plan.root[step.outputs[0]] = plan.root_of(step.inputs[0])
    last = _last_uses(program, plan)
    _place_in_homes(program, plan, last)
    _place_in_blocks(program, plan, last)
    return plan


def is_alias(program: Program, step: Step) -> bool:
    """Whether the step's output was a view of its first input when it was recorded."""
    if not isinstance(step, PrimitiveStep) or not step.primitive.view or step.inputs[0] is None:
        return False
    source, out = program.values[step.inputs[0]], program.values[step.outputs[0]]
    return source.buffer >= 0 and source.buffer == out.buffer


def _last_uses(program: Program, plan: Plan) -> dict[int, int]:
    """For each root the index of the last step that touches it, or of one after all for what is kept."""
    last: dict[int, int] = {}
    for index, step in enumerate(program.steps):
        for value in [*step.inputs, *step.outputs]:
            if value is not None:
                last[plan.root_of(value)] = index
    for value in program.kept():
        last[plan.root_of(value)] = len(program.steps)
    return last


def _place_in_homes(program: Program, plan: Plan, last: dict[int, int]) -> None:
    """Let what leaves and gradients are given be made right where it shall lie."""
    producer = {value: index for index, step in enumerate(program.steps) for value in step.outputs if value not in plan.root}
    cell_of = {leaf: value for value, leaf in program.cells.items()}
    for leaf, value in program.assigned.items():
        cell = cell_of.get(leaf)
        home = plan.leaf_homes[leaf] = settle(leaf, "value", program.values[value if cell is None else cell])
        if cell is not None:
            plan.homes[cell] = home
        free = cell is None or _free_for(program, plan, cell, value, producer, last)
        if value in producer and value not in plan.homes and free and _fits(program.values[value], home):
            plan.homes[value] = home
        else:
            plan.copied.append((value, home))
    for leaf, value in program.gradients.items():
        if value is None:
            continue
        home = plan.gradient_homes[leaf] = settle(leaf, "gradient", program.values[value])
        if value in producer and value not in plan.homes and _fits(program.values[value], home):
            plan.homes[value] = home
        else:
            plan.copied.append((value, home))


def _free_for(program: Program, plan: Plan, cell: int, value: int, producer: dict[int, int], last: dict[int, int]) -> bool:
    """Whether a new value may be written over the one that a leaf has: nobody reads that any more."""
    index = producer.get(value)
    if index is None or last.get(cell, -1) > index:
        return False
    step = program.steps[index]
    reads = [v for v in step.inputs if v is not None and plan.root_of(v) == cell]
    return all(v == cell and may_overwrite(program, step, v, value) for v in reads)


def may_overwrite(program: Program, step: Step, source: int, out: int) -> bool:
    """Whether a step may write this output over this input: element for element, in the same layout."""
    a, b, main = (program.values[v] for v in (source, out, step.outputs[0]))
    same = a.shape == b.shape == main.shape and a.dtype == b.dtype and memory_order(a) == memory_order(b)
    return same and source in step.in_place and step.inputs.count(source) == 1


def _read_once(plan: Plan, step: Step, source: int) -> bool:
    return [plan.root_of(v) for v in step.inputs if v is not None].count(source) == 1


def _fits(value: Value, home: Home) -> bool:
    shown = home.shown
    return value.shape == shown.shape and value.dtype == str(shown.dtype) and memory_order(value) == memory_order(shown)


def _place_in_blocks(program: Program, plan: Plan, last: dict[int, int]) -> None:
    """Let values take turns in blocks of memory, the smallest free one that is large enough."""
    free: list[int] = []
    ends: dict[int, list[int]] = {}
    for value, index in last.items():
        ends.setdefault(index, []).append(value)

    for index, step in enumerate(program.steps):
        dying = [v for v in ends.get(index, []) if v in plan.block]
        for out in step.outputs:
            if out in plan.root or out in plan.homes:
                continue
            taken = next((v for v in dying if may_overwrite(program, step, v, out) and _read_once(plan, step, v)), None)
            if taken is not None:
                dying.remove(taken)
                plan.block[out] = plan.block[taken]
                continue
            size = program.values[out].nbytes
            lasting = last[out] == len(program.steps)
            fitting = [b for b in free if size <= plan.blocks[b] <= 2 * size + 4096] if not lasting else []
            if fitting:
                plan.block[out] = best = min(reversed(fitting), key=plan.blocks.__getitem__)
                free.remove(best)
            else:
                plan.block[out] = len(plan.blocks)
                plan.blocks.append(max(size, 1))
        free += [plan.block[v] for v in dying]
        free += [plan.block[v] for v in step.outputs if last.get(v) == index and v in plan.block]
