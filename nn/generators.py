"""Random generators as state: found in models and data, saved as text, and set back to where they stood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .module import Module


def generators_of(model: Module, data: Any) -> dict[str, np.random.Generator]:
    """The generators that a model's modules and the data hold in their attributes, by name.

    >>> import nn
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5, rng=0))
    >>> list(generators_of(model, nn.data.batches([1, 2], [3, 4], 1, shuffle=True, rng=0)))
    ['model.1.rng', 'data.rng']
    """
    owners = [(f"model.{name}".rstrip("."), module) for name, module in model.named_modules()]
    found = {
        f"{path}.{name}": value
        for path, owner in owners
        for name, value in vars(owner).items()
        if isinstance(value, np.random.Generator)
    }
    if isinstance(rng := getattr(data, "rng", None), np.random.Generator):
        found["data.rng"] = rng
    return found


def states(generators: Mapping[str, np.random.Generator]) -> dict[str, Any]:
    """Where each generator stands, as plain data for JSON.

    >>> rng = np.random.default_rng(0)
    >>> before = states({"rng": rng})
    >>> drawn = rng.random()
    >>> restore({"rng": rng}, before)
    >>> rng.random() == drawn
    True
    """
    found = {name: rng.bit_generator.state for name, rng in generators.items()}
    return json.loads(json.dumps(found, default=lambda array: array.tolist()))  # some kinds hold arrays


def require_alike(generators: Mapping[str, np.random.Generator], saved: Mapping[str, Any]) -> None:
    """Raise a ValueError unless there are generators of the names and kinds that were saved."""
    kinds = {name: rng.bit_generator.state["bit_generator"] for name, rng in generators.items()}
    needed = {name: state["bit_generator"] for name, state in saved.items()}
    if kinds != needed:
        raise ValueError(f"its generators are {needed}, not {kinds}")


def restore(generators: Mapping[str, np.random.Generator], saved: Mapping[str, Any]) -> None:
    """Set generators back to `states` of them."""
    for name, rng in generators.items():
        rng.bit_generator.state = saved[name]
