"""Compiled methods: each instance has its own, and it goes with the instance."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

HOLDER = "_replays"
"""The attribute in which an instance keeps its compiled methods: what they hold may refer to it in turn."""


class Replays:
    """The compiled methods of an instance. A copy of the instance begins with none."""

    def __init__(self) -> None:
        self.of: dict[Any, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Replays, ()


def method_of(compiled: Any, instance: Any, make: Callable[[], Any]) -> MethodType:
    """The method of an instance that is compiled for it alone."""
    namespace = getattr(instance, "__dict__", None)
    if isinstance(namespace, dict):
        made = namespace.setdefault(HOLDER, Replays()).of
        key: Any = compiled
    else:
        made, key = compiled.without_dict, id(instance)
    if key not in made:
        made[key] = make()
        if made is compiled.without_dict:
            made[key].forget_with(instance, made)
    return MethodType(made[key], instance)
