"""Parameters that a module holds where nobody looks: in objects that are no modules, in functions and their closures."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

import tensorgrad as tg

from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module

DEPTH = 2
"""How far objects are followed, from an attribute of a module on."""

UNINTERESTING = (int, float, str, bytes, np.ndarray, np.generic, np.random.Generator, tg.Tensor, type, ModuleType, tg.Primitive)


def refuse_hidden(module: Module, found: list[tuple[str, Parameter]]) -> None:
    """Refuse parameters that would not be trained, since they are held by an object that is no module.

    Those that are found elsewhere in the tree are fine, and so are frozen ones.
    """
    known = {id(parameter) for _, parameter in found}
    modules = module.modules()
    seen = {id(part) for part in modules}
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            for parameter in _hidden_in(value, DEPTH, set(seen)):
                if parameter.requires_grad and id(parameter) not in known:
                    path = ".".join(filter(None, [name, attribute]))
                    raise TypeError(
                        f"{path} is a {type(value).__name__} that holds a parameter of shape {parameter.shape}, which would "
                        "not be found there and not trained. Make its class a nn.Module, or hold the parameter or module in a "
                        "list or dict; if it shall not be trained, set its requires_grad to False"
                    )


def _hidden_in(value: Any, depth: int, seen: set[int]) -> Iterator[Parameter]:
    """The parameters in an object that modules do not look into, and in those that it holds."""
    if isinstance(value, Parameter):
        yield value
        return
    value = getattr(value, "__wrapped__", value)  # of a compiled module or function
    if value is None or isinstance(value, UNINTERESTING) or id(value) in seen:
        return
    seen.add(id(value))
    if hasattr(value, "_named_state"):  # a module; what it hides in turn is its own matter
        yield from (tensor for _, tensor in value._named_state() if isinstance(tensor, Parameter))
    elif isinstance(value, list | tuple):
        for item in value[:100]:
            yield from _hidden_in(item, depth, seen)
    elif isinstance(value, dict):
        for item in list(value.values())[:100]:
            yield from _hidden_in(item, depth, seen)
    elif depth:
        for item in _held_by(value):
            yield from _hidden_in(item, depth - 1, seen)


def _held_by(value: Any) -> list[Any]:
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, FunctionType):
        cells = [cell for cell in value.__closure__ or () if _is_filled(cell)]
        return [cell.cell_contents for cell in cells]
    return list(vars(value).values()) if hasattr(value, "__dict__") else []


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a variable that has no value yet
        return False
