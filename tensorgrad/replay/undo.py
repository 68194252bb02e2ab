"""What a step changes beside its results, kept so that it can be put back: leaves, their gradients, generators."""

from __future__ import annotations

from ..tensor import Tensor
from .program import PrimitiveStep, Program
from .randomness import Source, random_state, set_random_state


class Snapshot:
    """The state that a program may change, as it is now.

    Args:
        program: names the leaves, gradients and generators.
        copies: whether to copy arrays, as is needed where a replay may write into them. Eager work never writes into an
            array, so after it references will do.
    """

    def __init__(self, program: Program, copies: bool) -> None:
        gradients = {leaf: leaf._grad for leaf in program.gradients}
        self.values = {leaf: leaf._data.copy() if copies else leaf._data for leaf in program.assigned}
        self.versions = {leaf: leaf.version for leaf in program.assigned}
        self.gradients = {leaf: g if g is None or not copies else Tensor.wrap(g._data.copy()) for leaf, g in gradients.items()}
        self.sources = [(source, random_state(source)) for source in random_sources(program)]

    def restore(self) -> None:
        for leaf, value in self.values.items():
            leaf._data = value
            leaf.version = self.versions[leaf]
        for leaf, gradient in self.gradients.items():
            leaf._grad = gradient
        for source, state in self.sources:
            set_random_state(source, state)


def random_sources(program: Program) -> list[Source]:
    """The generators that the program draws from."""
    steps = [step for step in program.steps if isinstance(step, PrimitiveStep)]
    found = [x for step in steps for x in step.attributes.values() if isinstance(x, Source)]
    return list({id(source): source for source in found}.values())
