"""What is run between guard bytes: applications of primitives and training steps, eager and replayed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Call, Row
from guarded import Guards, guarding

import tensorgrad as tg

REPLAYS = 5
"""Calls of a compiled function: two are recorded, one compared, and the others replayed."""


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def step_of(row: Row, call: Call, dtype: Any, guards: Guards | None) -> Callable[[], list[tg.Tensor]]:
    """The application and its gradients."""
    asked, arguments = row.asked(call.inputs), []
    for k, x in enumerate(call.inputs):
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            x = x.astype(dtype, order="K")
        x = guards.copy(x) if guards else x
        tensor = k in asked or (isinstance(x, np.ndarray) and not x.ndim)
        arguments.append(tg.Tensor(x, requires_grad=k in asked) if tensor else x)
    leaves = [x for x in arguments if isinstance(x, tg.Tensor) and x.requires_grad]
    apply, given = row.function or tg.PRIMITIVES[row.name], call.settings

    def step() -> list[tg.Tensor]:
        for leaf in leaves:
            leaf.grad = None
        out = apply(*arguments, **given)
        if not leaves:
            return [out]
        (out * out).sum().backward()
        return [out, *(leaf.grad for leaf in leaves)]

    return step


def check_row(row: Row, call: Call, dtype: Any) -> None:
    """An application's results and gradients, between guard bytes, are those without them, to the bit."""
    expected = [t.data for t in step_of(row, call, dtype, None)()]
    with guarding() as guards:
        found = [t.data for t in step_of(row, call, dtype, guards)()]
    same(found, expected)
    if "seed" in call.settings or row.name == "assign":  # a new generator at each call; an assignment to no leaf
        return
    with guarding() as guards, warnings.catch_warnings():
        warnings.simplefilter("error")  # for a replay that falls back
        step = tg.compile(step_of(row, call, dtype, guards))
        replayed = [[t.data for t in step()] for _ in range(REPLAYS)]
    same(replayed[-1], replayed[-2])


def check_training(make: Callable[[], tuple[Callable[..., tg.Tensor], list[tg.Tensor]]], batches: list[Any]) -> None:
    """Steps between guard bytes, eager and replayed, come to the bits of those without them."""
    outcomes: dict[bool, list[Any]] = {}
    for compiled in (False, True):
        plain = trained(*make(), batches, compiled)
        with guarding():
            outcomes[compiled] = trained(*make(), batches, compiled)
        same(outcomes[compiled], plain)


def trained(step: Callable[..., tg.Tensor], leaves: list[tg.Tensor], batches: list[Any], compiled: bool) -> list[np.ndarray]:
    step = tg.compile(step) if compiled else step
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = [step(*batch).data.copy() for batch in batches]
    assert not compiled or step.replays
    return [*losses, *(leaf.data.copy() for leaf in leaves)]
