"""Gradients of what a compiled function returns: one node in the graph, whose backward pass is a replay too.

Such a function is recorded together with the backward pass of its results: their cotangents are further arguments, the
gradients further results. A replay runs the forward half, and keeps what the other half needs until that has run, or until
nothing refers to the node any more. As long as it does, further calls run in memory of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..autodiff import _differentiate, topological_order
from ..contexts import setting
from ..node import Node
from ..primitive import Call as RuleCall
from ..primitive import Primitive, Pullback
from ..state import current
from ..tensor import Tensor
from .halves import HalvedRunner, Runners
from .record import StrictRecorder
from .refusal import ReplayError, line_of_user


class Outline(NamedTuple):
    """What a backward pass goes from and to.

    Attributes:
        roots: which of the tensors returned need a gradient, by their place.
        targets: what gradients are found for: leaves, and arguments by their place.
        refusal: why there is no backward pass, or None.
    """

    roots: list[int]
    targets: list[Tensor | int]
    refusal: str | None


class Backward:
    """The backward pass through one run of the function itself, whose graph it keeps."""

    def __init__(self, returned: list[Tensor], arguments: list[Tensor]) -> None:
        roots = [k for k, tensor in enumerate(returned) if tensor._requires_grad]
        self.tensors = [returned[k] for k in roots]
        refusal: str | None = None
        leaves: dict[int, Tensor] = {}
        for tensor in self.tensors:
            for entry in topological_order(tensor._node or tensor):
                if not isinstance(entry, Node):
                    leaves[id(entry)] = entry
                elif refusal is None:
                    refusal = _outdated(entry)
        places = {id(argument): k for k, argument in enumerate(arguments)}
        self.outline = Outline(roots, [places.get(key, leaf) for key, leaf in leaves.items()], refusal)
        self._leaves = list(leaves.values())

    def cotangents(self) -> list[np.ndarray]:
        """Some cotangents of the roots, to record a backward pass with: the same at each call."""
        rng = np.random.default_rng(0)
        return [rng.standard_normal(tensor.shape).astype(tensor.dtype) for tensor in self.tensors]

    def gradients(self, cotangents: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of the targets for cotangents of the roots. May be asked again."""
        root, g = self.tensors[0], cotangents[0]
        if len(self.tensors) > 1:  # one walk for all: that of the sum of all roots times their cotangents
            with setting(builds_graph=True):
                root = functools.reduce(ops.add, [(t * g).sum() for t, g in zip(self.tensors, cotangents, strict=True)])
            g = Tensor.wrap(np.ones(root.shape, root.dtype))
        wanted = set(self._leaves)
        order = topological_order(root._node or root, wanted)
        found = _differentiate(root, g, order, wanted, keep=True, create_graph=False)
        return [found[leaf] if leaf in found else Tensor.wrap(np.zeros(leaf.shape, leaf.dtype)) for leaf in self._leaves]


def backward_of(returned: list[Tensor], arguments: list[Tensor]) -> Backward | None:
    """The backward pass through what a function returned, if there can be one: not after the function itself has walked it."""
    if not current().builds_graph or not any(tensor._requires_grad for tensor in returned):
        return None
    try:
        return Backward(returned, arguments)
    except RuntimeError:  # the graph is freed
        return None


def _outdated(node: Node) -> str | None:
    """Why one can't walk back through a node any more."""
    for leaf, version in node.leaves or ():
        if leaf.version != version:
            return (
                f"it gives a tensor of shape {leaf.shape} a new value after {node.name} has used the old one, which a backward "
                "pass needs; differentiate inside of the function, before that"
            )
    return None


class Lease:
    """What one node in the graph holds: how to come from the cotangents of its results to the gradients of its targets.

    Args:
        title: the compiled function's name.
        gradients: from the cotangents of the roots to the gradients of the targets; or why there are none.
        like: the roots' shapes and dtypes.
    """

    def __init__(self, title: str, gradients: Callable[[list[Tensor]], list[Tensor]] | str, like: list[Tensor]) -> None:
        self._title = title
        self.primitive = primitive_called(title)
        self._gradients = gradients
        self._sizes = [tensor.size for tensor in like]
        self._shapes = [tensor.shape for tensor in like]
        self.dtype = np.result_type(*[tensor.dtype for tensor in like])
        self.edges: list[Any] = []  # to the targets
        self._asked: Tensor | None = None
        self._found: list[Tensor | None] = []

    def gradient(self, g: Tensor, k: int) -> Tensor:
        """The gradient of one target for the cotangent of the node: that of the root, or those of all roots in one vector."""
        self._refuse_what_cannot_be()
        if self._asked is not g or self._found[k] is None:
            self._found = list(self._gradients(self._parted(g)))
            self._asked = g
        found, self._found[k] = self._found[k], None
        return self._once(found, g)

    def placed(self, g: Tensor, k: int) -> Tensor:
        """The cotangent of one root in a vector for all roots."""
        self._refuse_what_cannot_be()
        vector = np.zeros(sum(self._sizes), self.dtype)
        begin = sum(self._sizes[:k])
        vector[begin : begin + self._sizes[k]] = g._data.ravel()
        return self._once(Tensor.wrap(vector), g)

    def _once(self, found: Tensor, g: Tensor) -> Tensor:
        """A gradient that can't be differentiated again, and says so to whoever tries."""
        if current().builds_graph:
            edges = [*self.edges, *([g._node or g] if g._requires_grad else [])]
            found._node = _node(edges, Lease._refuse_second, self, None, found.shape, found.dtype)
            found._requires_grad = True
        return found

    def _refuse_second(self, g: Tensor, k: int) -> Tensor:
        raise RuntimeError(
            f"{self._title} was compiled, and what it returns has first derivatives only: take the inner derivative inside of "
            "the compiled function, e.g. with tg.grad, or call the function itself, which is its __wrapped__"
        )

    def _parted(self, g: Tensor) -> list[Tensor]:
        if len(self._shapes) == 1:
            return [g]
        ends = np.cumsum(self._sizes)[:-1]
        parts = np.split(g._data, ends)
        return [Tensor.wrap(part.reshape(shape)) for part, shape in zip(parts, self._shapes, strict=True)]

    def _refuse_what_cannot_be(self) -> None:
        if isinstance(self._gradients, str):
            raise RuntimeError(f"{self._title} was compiled, and what it returns cannot be differentiated: {self._gradients}")
        if isinstance(current().recorder, StrictRecorder):
            raise ReplayError(
                f"a compiled function walks back through what another, {self._title}, returned outside of it; "
                "call that one inside, so that both are recorded" + line_of_user()
            )


class ReplayLease(Lease):
    """A lease of the memory that the forward half of a replay has left its residuals in. With the lease, that comes free."""

    def __init__(self, title: str, runners: Runners, runner: HalvedRunner, like: list[Tensor]) -> None:
        super().__init__(title, runner.backward, like)
        self._runners, self._runner = runners, runner

    def __del__(self) -> None:
        self._runners.give_back(self._runner)


def attach(copies: list[Tensor], outline: Outline, given: list[Any], lease: Lease, read: list[Tensor]) -> None:
    """Put one node behind those copies of what a function returned that need a gradient.

    Args:
        copies: what the caller gets.
        outline: of the backward pass.
        given: the tensors and arrays that the caller gave.
        lease: finds the gradients.
        read: the leaves that the backward pass reads: it refuses where one has another value by then.
    """
    targets = [given[target] if isinstance(target, int) else target for target in outline.targets]
    edges = lease.edges = [target._node or target for target in targets]
    leaves = [(leaf, leaf.version) for leaf in read] or None
    roots = [copies[k] for k in outline.roots]
    if len(roots) == 1:
        behind = [_node(edges, Lease.gradient, lease, leaves, roots[0].shape, roots[0].dtype)]
    else:
        hub = _node(edges, Lease.gradient, lease, leaves, (sum(root.size for root in roots),), lease.dtype)
        behind = [_node([hub], partial(_placed, k), lease, None, root.shape, root.dtype) for k, root in enumerate(roots)]
    for root, node in zip(roots, behind, strict=True):
        root._node = node
        root._requires_grad = True


def _placed(place: int, lease: Lease, g: Tensor, k: int) -> Tensor:
    return lease.placed(g, place)


def _node(
    edges: list[Any],
    rule: Callable[[Lease, Tensor, int], Tensor],
    lease: Lease,
    leaves: list[tuple[Tensor, int]] | None,
    shape: tuple[int, ...],
    dtype: np.dtype,
) -> Node:
    """A node with one rule for each edge. It keeps the lease as it would keep residuals, and lets go of it with them."""
    calls = tuple(
        RuleCall(k, lambda g, lease, k=k: rule(lease, g, k), (0,), True, ("lease",), None, False) for k in range(len(edges))
    )
    node = Node.__new__(Node)
    for name in Node.__slots__:
        setattr(node, name, None)
    node.pullback = Pullback(lease.primitive, (("extra", 0),), calls, tuple(range(len(edges))))
    node.attributes, node.shape, node.dtype, node.scope = {}, shape, dtype, current().scope
    node.edges, node.others, node.residuals, node.leaves = edges, (), [lease], leaves
    return node


@functools.lru_cache(maxsize=256)
def primitive_called(name: str) -> Primitive:
    """What stands for a compiled function in the graph; it is not run."""

    def compiled(*tensors):
        raise NotImplementedError

    compiled.__name__ = name
    return Primitive(compiled)
