"""Two recordings of one step must agree: what differs between them would differ in a replay too."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from ..graph import Graph, GraphNode
from ..stand_in import StandIn
from ..tensor import Tensor
from .record import ComputedNumber, EntryGradient, Recording
from .refusal import ReplayError, described


class Calls(NamedTuple):
    """What messages call the two calls that are compared."""

    first: str = "its first call"
    second: str = "its second"
    both: str = "its first two calls"


FIRST_TWO = Calls()
CHECKED = Calls("a call recorded before", "this one", "the calls recorded before and this one")


def require_agreement(first: Recording, second: Recording, calls: Calls = FIRST_TWO) -> None:
    """Refuse a step whose two recordings differ, and say where they do."""
    a, b = first.graph, second.graph
    for one, other in zip(a.nodes, b.nodes, strict=False):
        _agreement_of_nodes(one, other, first, second, calls)
    if len(a.nodes) != len(b.nodes):
        longer = a if len(a.nodes) > len(b.nodes) else b
        extra = longer.nodes[min(len(a.nodes), len(b.nodes))]
        raise ReplayError(
            f"the step ran {len(a.nodes)} primitives at {calls.first} and {len(b.nodes)} at {calls.second}; the first that "
            f"only one of them ran is {extra.primitive}. {_ADVICE}" + _place(longer, extra)
        )
    if first.given.keys() != second.given.keys() or any(not same_given(x, second.given[v]) for v, x in first.given.items()):
        raise ReplayError(f"what the step returned or assigned came from outside and changed between {calls.both}. {_ADVICE}")
    effects = ("arguments", "results", "gradients", "assigned")
    if any(_effect(first, name) != _effect(second, name) for name in effects):
        raise ReplayError(f"the step returned, assigned or differentiated other tensors at {calls.second}. {_ADVICE}")


def require_same_return(first: Any, later: Any) -> None:
    """Refuse a step that returned something else beside its tensors, or something that a replay cannot put tensors into."""
    if not _same_return(first, later):
        raise ReplayError(
            f"the step returned {_shown(first)} at one call and {_shown(later)} at another. A replay puts new tensors into "
            f"tuples, lists and dicts, and returns everything else as it was. {_ADVICE}"
        )


def _same_return(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return True
    if type(one) is not type(other):
        return False
    if type(one) is StandIn:
        return same(one.formula, other.formula)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same_return, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same_return(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray | float):
        return same(one, other)
    # An object may hold tensors: that of another call then has another hash, or none at all.
    return one is other or (isinstance(one, Hashable) and hash(one) == hash(other) and bool(one == other))


def _shown(returned: Any) -> str:
    if isinstance(returned, Tensor):
        return "a tensor"
    if isinstance(returned, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(value)}" for key, value in returned.items()) + "}"
    if isinstance(returned, tuple | list):
        return "(" + ", ".join(map(_shown, returned)) + ")"
    return repr(returned)


_ADVICE = (
    "A replay repeats what was recorded, so Python state that changes from call to call (a counter, a list that grows, raw "
    "random arrays, tensors kept from the call before) must enter as an argument, or live in a tensor that tg.assign updates; "
    "random numbers come from primitives that take a Generator, such as tg.dropout."
)


def _agreement_of_nodes(one: GraphNode, other: GraphNode, first: Recording, second: Recording, calls: Calls) -> None:
    graph = second.graph
    if one.primitive != other.primitive:
        raise ReplayError(
            f"the step ran {one.primitive} at {calls.first} where it ran {other.primitive} at {calls.second}. {_ADVICE}"
            + _place(graph, other)
        )
    if one.inputs != other.inputs or not same(one.attributes, other.attributes):
        raise ReplayError(
            f"{other.primitive} was given other inputs or settings at {calls.second} than at {calls.first}. {_ADVICE}"
            + _place(graph, other)
        )
    for value, name in zip(other.inputs, other.argument_names, strict=True):
        if value is None:
            continue
        before, now = first.graph.values[value], graph.values[value]
        kept = (before.shape, before.dtype) == (now.shape, now.dtype) and same_given(
            first.given.get(value), second.given.get(value)
        )
        if not kept or (now.dtype == "number" and not same(before.number, now.number)):
            what = f"number {before.number} and then {now.number}" if now.dtype == "number" else f"values of shape {now.shape}"
            raise ReplayError(
                f"the input {name} of {other.primitive} comes from outside of the step and changed between "
                f"{calls.both}: {what}. {_ADVICE}" + _place(graph, other)
            )


def require_same_leaves(leaves: dict[int, Tensor], recording: Recording) -> None:
    """Refuse a step that now takes another tensor in the place of one that its replays read."""
    for value, leaf in leaves.items():
        given = recording.given.get(value)
        if isinstance(given, Tensor) and given is not leaf:
            raise ReplayError(
                f"the step used another tensor of shape {leaf.shape} at {CHECKED.second} than at {CHECKED.first}. {_ADVICE}"
            )


def same_given(one: Any, other: Any) -> bool:
    """Whether two things from outside are one: the same leaf, or arrays with the same contents."""
    if one is other:
        return True
    if isinstance(one, EntryGradient) or isinstance(other, EntryGradient):
        return isinstance(one, EntryGradient) and isinstance(other, EntryGradient) and one.leaf is other.leaf
    if isinstance(one, ComputedNumber) or isinstance(other, ComputedNumber):
        return isinstance(one, ComputedNumber) and isinstance(other, ComputedNumber) and same(one.formula, other.formula)
    if one is None or other is None:
        return False
    return same(array_of(one), array_of(other))


def array_of(given: Any) -> np.ndarray:
    return given._data if isinstance(given, Tensor) else np.asarray(given)


def same(one: Any, other: Any) -> bool:
    """Equality of settings and numbers: nan equals itself, arrays are compared by their contents, generators by identity."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return (
            one.shape == other.shape
            and one.dtype == other.dtype
            and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, np.random.Generator | Tensor):
        return False
    return bool(one == other)


def _effect(recording: Recording, name: str) -> Any:
    effect = getattr(recording, name)
    return list(effect.values()) if isinstance(effect, dict) else effect


def _place(graph: Graph, node: GraphNode) -> str:
    """The line of the user that a node came from."""
    if node.source is None:
        return ""
    file, line = node.source
    return described(file, line, graph.source.get(file, {}).get(line, ""))
