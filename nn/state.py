"""The values of named tensors, out as arrays and back in: what modules and optimizers save and load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg


class Difference(NamedTuple):
    """How the names of a loaded state differed from those needed."""

    missing: list[str]
    unexpected: list[str]


def copies(named: Iterable[tuple[str, tg.Tensor]], owner: str) -> dict[str, np.ndarray]:
    """A copy of each tensor's array by name."""
    values: dict[str, np.ndarray] = {}
    for name, tensor in named:
        if name in values:
            raise ValueError(f"{owner}.state_dict: two tensors are called {name!r}; rename an attribute or a dict key")
        values[name] = tensor.numpy()
    return values


def load(named: Iterable[tuple[str, tg.Tensor]], values: Mapping[str, Any], what: str, *, strict: bool) -> Difference:
    """Assign values to tensors by name, after all of them were checked. `what` begins the error messages."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{what}: takes a dict of arrays by name, as state_dict() returns, not {type(values).__name__}")
    tensors = dict(named)
    difference = Difference([n for n in tensors if n not in values], [n for n in values if n not in tensors])
    arrays = {name: np.asarray(values[name]) for name in tensors if name in values}
    problems = [
        f"{name} has shape {a.shape}, needs {tensors[name].shape}"
        for name, a in arrays.items()
        if a.shape != tensors[name].shape
    ]
    problems += [
        f"{name} has dtype {a.dtype}, needs {tensors[name].dtype}"
        for name, a in arrays.items()
        if not np.can_cast(a.dtype, tensors[name].dtype, "same_kind")
    ]
    if strict:
        problems += [f"missing: {', '.join(difference.missing)}"] if difference.missing else []
        problems += [f"unexpected: {', '.join(difference.unexpected)}"] if difference.unexpected else []
    if problems:
        raise ValueError(f"{what}: the state does not fit, and nothing was changed.\n  " + "\n  ".join(problems))
    for name, array in arrays.items():
        value = np.empty_like(tensors[name].data)  # in the memory order held so far
        value[...] = array
        tg.assign(tensors[name], tg.Tensor(value))
    return difference
