"""Finding convolutions, what follows them, and their ways back, wherever they stand in a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..kernels.fused_winograd import geometry
from ..kernels.windows import axes
from ..ops.comparison import gate
from ..ops.convolution import conv2d_, conv2d_input_grad, conv2d_weight_grad
from ..ops.elementwise import relu
from ..ops.pooling import max_pool2d_, scatter_winners
from ..ops.reduction import sum_
from .convolution import ForwardStep
from .convolution_back import BackwardStep
from .homes import memory_order
from .program import PrimitiveStep, Program, Step

HEADS = {conv2d_weight_grad: "w", sum_: "b", conv2d_input_grad: "x"}
"""The primitives that a convolution's cotangent ends in, and the gradients they make."""


@dataclass
class Group:
    """A convolution with what follows it, and the steps of their way back."""

    conv: PrimitiveStep
    tail: list[PrimitiveStep] = field(default_factory=list)  # relu, max_pool2d, or both in either order
    g: int | None = None  # the cotangent that the way back begins with
    undone: list[PrimitiveStep] = field(default_factory=list)  # the ways back of the tail
    heads: list[PrimitiveStep] = field(default_factory=list)  # the gradients, in order

    @property
    def out(self) -> int:
        return (self.tail or [self.conv])[-1].outputs[0]

    @property
    def pool(self) -> PrimitiveStep | None:
        return next((s for s in self.tail if s.primitive is max_pool2d_), None)

    @property
    def has_relu(self) -> bool:
        return any(s.primitive is relu for s in self.tail)

    @property
    def cotangent(self) -> int | None:
        """That of the convolution's own output."""
        return self.undone[-1].outputs[0] if self.undone else self.g


class Finder:
    """Looks through a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.users = program.users()

    def using(self, value: int, primitive: object = None, place: int = 0) -> list[PrimitiveStep]:
        """The steps of that primitive that take the value in that place."""
        steps = [s for s in self.users.get(value, []) if isinstance(s, PrimitiveStep) and s.primitive is primitive]
        return [s for s in steps if s.inputs[place] == value]

    def group(self, conv: PrimitiveStep) -> Group:
        """The convolution with the longest tail that nobody else looks into."""
        for tail in self._tails(conv):
            for group in self._ways_back(Group(conv, tail)):
                if self._fits_in(group):
                    return group
        return Group(conv)

    def _tails(self, conv: PrimitiveStep) -> Iterator[list[PrimitiveStep]]:
        """Candidates, longest first."""
        z = conv.outputs[0]
        shorter: list[list[PrimitiveStep]] = []
        for first, second in ((relu, max_pool2d_), (max_pool2d_, relu)):
            for one in filter(self._fits, self.using(z, first)):
                yield from ([one, two] for two in filter(self._fits, self.using(one.outputs[0], second)))
                shorter.append([one])
        yield from shorter
        yield []

    def _fits(self, step: PrimitiveStep) -> bool:
        """Whether a pooling takes blocks that neither overlap nor reach beyond the image."""
        if step.primitive is not max_pool2d_:
            return True
        settings, shape = step.attributes, self.program.values[step.outputs[0]].shape
        size = self.program.values[step.inputs[0]].shape
        whole = all(n // k == o for n, k, o in zip(size[2:], settings["kernel_size"], shape[2:], strict=True))
        plain = settings["padding"] == (0, 0) and settings["dilation"] == (1, 1)
        return plain and whole and settings["kernel_size"] == settings["stride"]

    def _ways_back(self, group: Group) -> Iterator[Group]:
        """The group with its way back, for each that there may be; without one, if there is none."""
        undone = {relu: gate, max_pool2d_: scatter_winners}
        starts = [s for s in self._undoing(group.tail[-1], undone)] if group.tail else []
        for start in starts:
            chain, ok = [start], True
            for step in reversed(group.tail[:-1]):
                found = [s for s in self._undoing(step, undone) if s.inputs[0] == chain[-1].outputs[0]]
                ok = ok and len(found) == 1
                chain += found[:1]
            if ok:
                heads = self._heads(group.conv, chain[-1].outputs[0])
                if heads:
                    yield Group(group.conv, group.tail, start.inputs[0], chain, heads)
        if not group.tail:
            for g in self._cotangents(group.conv):
                yield Group(group.conv, [], g, [], self._heads(group.conv, g))
        yield group

    def _undoing(self, step: PrimitiveStep, undone: dict) -> list[PrimitiveStep]:
        """The steps that lead a cotangent back through a relu or a pooling: they take its output or its winners."""
        residual = step.outputs[1] if step.primitive is max_pool2d_ else step.outputs[0]
        return self.using(residual, undone[step.primitive], place=1)

    def _cotangents(self, conv: PrimitiveStep) -> list[int]:
        """Values that are treated as the cotangent of the convolution's output."""
        of_w = [s.inputs[0] for s in self.using(conv.inputs[0], conv2d_weight_grad, place=1) if self._is_of(s, conv)]
        return list(dict.fromkeys(of_w))

    def _heads(self, conv: PrimitiveStep, cotangent: int) -> list[PrimitiveStep]:
        """The steps that make gradients of the convolution from its cotangent, at most one for each input."""
        found: dict[str, PrimitiveStep] = {}
        for step in self.users.get(cotangent, []):
            if isinstance(step, PrimitiveStep) and step.inputs[0] == cotangent and self._is_of(step, conv):
                found.setdefault(HEADS[step.primitive], step)
        return [found[name] for name in "wbx" if name in found] if "w" in found else []

    def _is_of(self, step: PrimitiveStep, conv: PrimitiveStep) -> bool:
        """Whether a step makes a gradient of this convolution."""
        x, w = conv.inputs[:2]
        settings = {name: step.attributes.get(name) for name in conv.attributes}
        if step.primitive is conv2d_weight_grad:
            return (
                step.inputs[1] == x and settings == conv.attributes and step.attributes["shape"] == self.program.values[w].shape
            )
        if step.primitive is conv2d_input_grad:
            return (
                step.inputs[1] == w and settings == conv.attributes and step.attributes["shape"] == self.program.values[x].shape
            )
        return step.primitive is sum_ and step.attributes == {"axis": (0, 2, 3), "keepdims": False}

    def _fits_in(self, group: Group) -> bool:
        """Whether all that lies inside is used inside only, and both steps have their inputs where they would stand."""
        program, conv = self.program, group.conv
        forward, back = [conv, *group.tail], [*group.undone, *group.heads]
        outputs = [s.outputs[0] for s in group.heads]
        if not program.is_closed([*forward, *back], [group.out, *outputs]):
            return False
        if program.place_for(forward, conv.inputs, [group.out], forward[-1]) is None:
            return False
        inputs = [group.g, *conv.inputs[:2]]
        return not back or program.place_for(back, inputs, outputs, self._first(group.heads)) is not None

    def _first(self, steps: list[PrimitiveStep]) -> PrimitiveStep:
        return min(steps, key=self.program.steps.index)


def fuse_convolutions(program: Program) -> None:
    """Put every convolution and what follows it into one step, and their way back into another."""
    for conv in [s for s in program.steps if isinstance(s, PrimitiveStep) and s.primitive is conv2d_]:
        arrays = [program.values[v] for v in [*conv.inputs[:2], conv.outputs[0]]]
        if (
            len({v.dtype for v in arrays}) == 1
            and arrays[0].dtype in ("float32", "float64")
            and all(0 not in v.shape for v in arrays)
        ):
            _fuse(program, Finder(program).group(conv))


def _fuse(program: Program, group: Group) -> None:
    x, w = group.conv.inputs[:2]
    b = group.conv.inputs[2] if len(group.conv.inputs) > 2 else None
    shape, w_shape, settings = program.values[x].shape, program.values[w].shape, group.conv.attributes
    along = axes(shape[2:], w_shape[2:], settings["stride"], settings["padding"], settings["dilation"])
    pool = group.pool
    dtype = program.values[x].dtype
    where = geometry(shape, w_shape, along, settings["groups"], pool.attributes["kernel_size"] if pool else (1, 1), dtype)
    frame_shape = where.frame_shape()
    padded = frame_shape != (*shape[1:], shape[0]) or not _lies_batch_innermost(program, x)
    won = None
    if group.tail and group.heads:
        won = program.new_value((where.places, where.filters, where.rows, where.columns, where.batch), "bool")

    nodes = [group.conv, *group.tail]
    name = " + ".join(s.name for s in nodes)
    if group.heads:  # first, since it alone looks into what the forward step makes no more
        wanted = [HEADS[s.primitive] for s in group.heads]
        inputs = [group.g, x, w] + [won] * (won is not None)
        undone = [*group.undone, *group.heads]
        step = BackwardStep(
            f"backward of {name}",
            inputs,
            [s.outputs[0] for s in group.heads],
            [node for s in undone for node in s.nodes],
            where,
            wanted=wanted,
            framed=padded,
        )
        step.add_own_values(program, dtype)
        program.replace(undone, step, min(group.heads, key=program.steps.index))
    outputs = [group.out] + [won] * (won is not None) + [program.new_value(frame_shape, dtype)] * padded
    form = {"relu": group.has_relu, "masked": won is not None, "framed": padded}
    forward = ForwardStep(name, x, w, b, outputs, [node for s in nodes for node in s.nodes], where, **form)
    program.replace(nodes, forward, nodes[-1])


def _lies_batch_innermost(program: Program, value: int) -> bool:
    """Whether images lie in memory as (C, H, W, N). An argument may be made to."""
    takers = program.users().get(value, [])
    if value in program.arguments and all(isinstance(s, ForwardStep | BackwardStep) or _takes_images(s) for s in takers):
        program.batch_innermost.add(value)
        return True
    images = program.values[value]
    return memory_order(images) == tuple(sorted((1, 2, 3, 0), key=lambda axis: images.shape[axis] == 1))


def _takes_images(step: Step) -> bool:
    return isinstance(step, PrimitiveStep) and step.primitive in (conv2d_, conv2d_weight_grad, max_pool2d_)
