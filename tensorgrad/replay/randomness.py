"""The state of random generators: what it is, and putting it back."""

from __future__ import annotations

from typing import Any

import numpy as np

Source = np.random.Generator | np.random.RandomState
"""Where primitives draw random numbers from."""


def random_state(source: Source) -> Any:
    return source.bit_generator.state if isinstance(source, np.random.Generator) else source.get_state(legacy=False)


def set_random_state(source: Source, state: Any) -> None:
    if isinstance(source, np.random.Generator):
        source.bit_generator.state = state
    else:
        source.set_state(state)


def same_random_state(one: Any, other: Any) -> bool:
    """Whether two states of a generator are equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_random_state(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))
