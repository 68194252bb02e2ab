"""The arguments of a compiled function: which are arrays, and what else tells one kind of call from another."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from ..stand_in import StandIn, evaluate
from ..tensor import Tensor, as_array
from .survey import NUMBERS, called


def flatten(structure: Any) -> tuple[list[Tensor], list[Any], Hashable]:
    """The tensors in nested tuples, lists and dicts, arrays made tensors; the numbers; and a key for all else about them.

    What is neither tensor, array nor number, nor a container, counts as a setting: its value is part of the key.
    """
    tensors: list[Tensor] = []
    numbers: list[Any] = []
    return tensors, numbers, _flatten(structure, tensors, numbers)


def _flatten(structure: Any, tensors: list[Tensor], numbers: list[Any]) -> Hashable:
    """Collect tensors and numbers in the lists given, and return the key of the rest."""
    if is_number(structure):
        number = structure[()] if isinstance(structure, np.ndarray) else structure
        numbers.append(number)
        return type(number)
    if isinstance(structure, Tensor | np.ndarray):
        array = structure._data if isinstance(structure, Tensor) else as_array(structure)
        tensor = Tensor.wrap(array.view())
        tensor._requires_grad = isinstance(structure, Tensor) and structure._requires_grad
        tensors.append(tensor)
        return array.shape, array.dtype.str, tensor._requires_grad
    if isinstance(structure, tuple | list):
        return type(structure), *[_flatten(item, tensors, numbers) for item in structure]
    if isinstance(structure, dict):
        return dict, tuple(structure), *[_flatten(item, tensors, numbers) for item in structure.values()]
    if not isinstance(structure, Hashable):
        raise TypeError(
            "a compiled function takes tensors, arrays, tuples, lists and dicts of them, and settings that can be told "
            f"apart by their hash; this {type(structure).__name__} has none"
        )
    return type(structure), structure


def is_number(x: Any) -> bool:
    """Whether an argument is a number to compute with, as an array without axes is. Booleans and members of an Enum are
    settings."""
    if isinstance(x, np.ndarray):
        return not x.ndim and x.dtype.kind in "fiu"
    return type(x) in (float, int) or isinstance(x, np.number)


def exactly(number: Any) -> Hashable:
    """A number such that it equals itself alone: -0.0 is not 0.0, and nan is nan."""
    if isinstance(number, np.number):
        return number.tobytes()
    return number.hex() if isinstance(number, float) else number


def names_of_numbers(structure: Any, name: str = "") -> list[str]:
    """What the numbers in arguments are called, in the order in which `flatten` finds them."""
    if is_number(structure):
        return [name]
    if isinstance(structure, dict):
        return [n for key, item in structure.items() for n in names_of_numbers(item, f"{name}[{key!r}]" if name else str(key))]
    if isinstance(structure, tuple | list):
        return [n for k, item in enumerate(structure) for n in names_of_numbers(item, f"{name}[{k}]")]
    return []


def arrays_in(structure: Any) -> list[Any]:
    """The tensors and arrays in arguments, in the order in which `flatten` finds them."""
    return [x for x in _leaves(structure) if isinstance(x, Tensor | np.ndarray) and not is_number(x)]


def objects_in(structure: Any) -> dict[str, Any]:
    """The objects among the settings that may have settings of their own, by the names of their classes."""
    found: dict[str, Any] = {}
    for value in _leaves(structure):
        if not isinstance(value, (Tensor, np.ndarray, *NUMBERS)):
            name = called(value)
            found[name if name not in found else f"{name} {len(found) + 1}"] = value
    return found


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, tuple | list | dict):
        return [x for part in (structure.values() if isinstance(structure, dict) else structure) for x in _leaves(part)]
    return [structure]


def rebuild(structure: Any, tensors: list[Tensor], numbers: list[Any]) -> Any:
    """The structure with its tensors and arrays replaced by the tensors given, and its numbers by those given; both are used
    up in order."""
    if is_number(structure):
        return numbers.pop(0)
    if isinstance(structure, Tensor | np.ndarray):
        return tensors.pop(0)
    if isinstance(structure, tuple | list):
        return _like(structure, [rebuild(item, tensors, numbers) for item in structure])
    if isinstance(structure, dict):
        return {key: rebuild(item, tensors, numbers) for key, item in structure.items()}
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


def returns_numbers(structure: Any) -> bool:
    """Whether what a step returned holds stand-ins for numbers."""
    if isinstance(structure, tuple | list | dict):
        return any(map(returns_numbers, structure.values() if isinstance(structure, dict) else structure))
    return type(structure) is StandIn


def with_numbers(structure: Any, numbers: list[Any]) -> Any:
    """The structure that a step returned, with numbers in the place of stand-ins."""
    if isinstance(structure, tuple | list):
        return _like(structure, [with_numbers(item, numbers) for item in structure])
    if isinstance(structure, dict):
        return {key: with_numbers(item, numbers) for key, item in structure.items()}
    return evaluate(structure.formula, numbers) if type(structure) is StandIn else structure
