"""The arguments of a compiled function: which are arrays, and what else tells one kind of call from another."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from ..tensor import Tensor, as_array
from .survey import NUMBERS, called


def flatten(structure: Any) -> tuple[list[Tensor], Hashable]:
    """The tensors in nested tuples, lists and dicts, arrays made tensors, and a key for everything else about them.

    What is neither tensor nor array nor a container counts as a setting: its value is part of the key.
    """
    if isinstance(structure, Tensor | np.ndarray):
        array = structure._data if isinstance(structure, Tensor) else as_array(structure)
        tensor = Tensor.wrap(array.view())
        tensor._requires_grad = isinstance(structure, Tensor) and structure._requires_grad
        return [tensor], (array.shape, array.dtype.str, tensor._requires_grad)
    if isinstance(structure, tuple | list):
        parts = [flatten(item) for item in structure]
        return [t for tensors, _ in parts for t in tensors], (type(structure), *(key for _, key in parts))
    if isinstance(structure, dict):
        parts = [flatten(item) for item in structure.values()]
        return [t for tensors, _ in parts for t in tensors], (dict, tuple(structure), *(key for _, key in parts))
    if not isinstance(structure, Hashable):
        raise TypeError(
            "a compiled function takes tensors, arrays, tuples, lists and dicts of them, and settings that can be told "
            f"apart by their hash; this {type(structure).__name__} has none"
        )
    value = structure.hex() if isinstance(structure, float) else structure  # tells -0.0 from 0.0, and nan is nan
    return [], (type(structure), value)


def objects_in(structure: Any) -> dict[str, Any]:
    """The objects among the settings that may have settings of their own, by the names of their classes."""
    if isinstance(structure, tuple | list | dict):
        parts = structure.values() if isinstance(structure, dict) else structure
        return {name: value for part in parts for name, value in objects_in(part).items()}
    if isinstance(structure, (Tensor, np.ndarray, *NUMBERS)):
        return {}
    return {called(structure): structure}


def rebuild(structure: Any, tensors: list[Tensor]) -> Any:
    """The structure with its tensors and arrays replaced by the tensors given, which are used up in order."""
    if isinstance(structure, Tensor | np.ndarray):
        return tensors.pop(0)
    if isinstance(structure, tuple | list):
        return _like(structure, [rebuild(item, tensors) for item in structure])
    if isinstance(structure, dict):
        return {key: rebuild(item, tensors) for key, item in structure.items()}
    return structure


def _like(container: Any, items: list[Any]) -> Any:
    """A tuple, named tuple or list of the container's type."""
    return type(container)(*items) if hasattr(container, "_fields") else type(container)(items)


def tensors_in(structure: Any) -> list[Tensor]:
    """The tensors that a step returned, in order."""
    if isinstance(structure, Tensor):
        return [structure]
    if isinstance(structure, tuple | list):
        return [t for item in structure for t in tensors_in(item)]
    if isinstance(structure, dict):
        return [t for item in structure.values() for t in tensors_in(item)]
    return []


def with_copies(structure: Any, copies: list[Tensor]) -> Any:
    """The structure that a step returned, with copies in the place of its tensors, used up in order."""
    if isinstance(structure, Tensor):
        return copies.pop(0)
    if isinstance(structure, tuple | list):
        return _like(structure, [with_copies(item, copies) for item in structure])
    if isinstance(structure, dict):
        return {key: with_copies(item, copies) for key, item in structure.items()}
    return structure
