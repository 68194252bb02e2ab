"""What a function may depend on beside its arguments: the places in Python where its settings lie, found by reading its code.

The walk begins at a function and follows what its code names: closure cells, globals, defaults, the functions and methods
called, and of objects the attributes that this code reads. Tensors end it, for their contents are state that replays read.
"""

from __future__ import annotations

import dis
import enum
import functools
import inspect
import sys
import weakref
from argparse import Namespace
from collections import deque
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ..primitive import Primitive
from ..state import Watched
from ..tensor import Tensor

LENGTH = 256
"""Of containers longer than this, only the length is watched."""

NBYTES = 1024
"""Of arrays larger than this, only the identity is watched."""

FEW = 8
"""Of lists of more numbers than this, the contents are compared at once."""

PLAIN = {bool, int, float, str, type(None)}

INTERNAL = {"tensorgrad", "nn", "numpy", *sys.stdlib_module_names} - {"__main__"}
"""Packages whose functions depend on nothing that a user changes."""

CALLED = {"forward", "update"}
"""Methods of users' classes that this framework calls."""

DYNAMIC = {"getattr", "vars", "__dict__", "__getattribute__"}
"""Code with these names may read attributes that it does not name."""

DESCRIBING = {"__repr__", "__str__", "__format__", "__doc__", "__module__", "__qualname__", "__dict__", "__weakref__"}
"""What says something of an object, and computes nothing."""

NUMBERS = bool, int, float, complex, str, bytes, type(None), np.generic, enum.Enum


class Place(NamedTuple):
    """Something that may be changed, and what lay there.

    Attributes:
        name: how a user would write it, such as `model.head.temperature`.
        how: "item" of a container or namespace, "attribute", "length" or "contents" of a container, "names" in a namespace
            but for those in `key`, or "absent" for a name that an object lacks: then `value` is its class's attribute.
        holder, key: where it is.
        value: what was there.
        told: whether the holder belongs to a `Watched` object.
    """

    name: str
    how: str
    holder: Any
    key: Any
    value: Any
    told: bool = False


def is_internal(module: str | None) -> bool:
    return (module or "").partition(".")[0] in INTERNAL


class Names(NamedTuple):
    """The names in a function's code: of globals, of attributes, and of methods that it calls."""

    globals: frozenset[str]
    attributes: frozenset[str]
    methods: frozenset[str]


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> Names:
    """What a function's code names, the functions defined inside it included."""
    found: tuple[set[str], ...] = set(), set(), set()
    for instruction in dis.get_instructions(code):
        if "GLOBAL" in instruction.opname or instruction.opname.endswith("_NAME"):
            found[0].add(instruction.argval)
        elif "ATTR" in instruction.opname or "METHOD" in instruction.opname:
            found[2 if _calls_a_method(instruction) else 1].add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inside = names_in(constant)
            found[0].update(inside.globals)
            found[1].update(inside.attributes)
            found[2].update(inside.methods)
        elif isinstance(constant, str) and constant.isidentifier():
            found[1].add(constant)  # as in getattr(self, "rate")
    return Names(frozenset(found[0]), frozenset(found[1] | (DYNAMIC & found[0])), frozenset(found[2]))


def _calls_a_method(instruction: dis.Instruction) -> bool:
    if sys.version_info < (3, 12):
        return instruction.opname == "LOAD_METHOD"
    return instruction.opname == "LOAD_ATTR" and bool(instruction.arg & 1)


def survey(function: Any, objects: dict[str, Any], unwatched: tuple[str, ...] = ()) -> list[Place]:
    """The places that a function, and the objects that it is given as settings, depend on.

    Args:
        function: what was compiled.
        objects: objects among its arguments, by the name of the argument.
        unwatched: attributes to leave out, whatever they belong to.
    """
    attributes, methods = set(), set(CALLED)
    while True:  # what is read is known only when all code has been found, and code is found by what is read
        walk = Walk(attributes, methods, unwatched)
        walk.visit(function, called(function), root=True)
        for name, value in objects.items():
            walk.visit(value, name)
        if walk.attributes == attributes and walk.methods == methods:
            return walk.places
        attributes, methods = walk.attributes, walk.methods


class Walk:
    """One walk over what a function refers to."""

    def __init__(self, attributes: set[str], methods: set[str], unwatched: tuple[str, ...]) -> None:
        self.places: list[Place] = []
        self.attributes, self.methods = set(attributes), set(methods)
        self._data = attributes  # what the code found so far reads, as far as that is no method
        self._known = attributes | methods
        self._unwatched = unwatched
        self._seen: dict[int, Any] = {}
        self._classes: set[type] = set()

    def visit(self, value: Any, name: str, *, root: bool = False) -> None:
        if isinstance(value, (*NUMBERS, Tensor)) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, FunctionType):
            self._function(value, name, root)
        elif isinstance(value, MethodType):
            owner = value.__self__
            self.visit(owner, owner.__name__ if isinstance(owner, type) else _owner_name(value, name))
            self.visit(value.__func__, name)
        elif isinstance(value, functools.partial):
            self.visit(value.func, name, root=root)
            self._items(value.args, f"{name}.args")
            self._dict(value.keywords, f"{name}.keywords")
        elif isinstance(value, ModuleType):
            if not is_internal(value.__name__):
                self._namespace(vars(value), name, self._known)
        elif isinstance(value, list | tuple | deque):
            self._items(value, name)
        elif isinstance(value, dict):
            self._dict(value, name)
        elif isinstance(value, set | frozenset | bytearray):
            self._add(name, "contents", value, None, value.copy())
        elif isinstance(value, np.ndarray):
            if value.nbytes <= NBYTES and value.dtype != object:
                self._add(name, "contents", value, None, value.tobytes())
        elif isinstance(value, type):
            self._class(value, made=True)
        elif isinstance(value, Primitive):  # replays run its kernel, but not the Python code of its rules
            for argument, rule in value.rules.items():
                if not is_internal(rule.function.__module__):
                    self.visit(rule.function, f"{name}.rules[{argument!r}]")
        elif (wrapped := vars(value).get("__wrapped__") if hasattr(value, "__dict__") else None) is not None:
            self.visit(wrapped, name)
        else:
            self._object(value, name)

    def _add(self, name: str, how: str, holder: Any, key: Any, value: Any, told: bool = False) -> None:
        self.places.append(Place(name, how, holder, key, value, told))

    def _function(self, function: FunctionType, name: str, root: bool) -> None:
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            self._add(variable, "attribute", cell, "cell_contents", value)
            self.visit(value, variable)
        if is_internal(function.__module__) and not root:
            return
        self._add(f"{name}.__code__", "attribute", function, "__code__", function.__code__)
        for what in ("__defaults__", "__kwdefaults__"):
            if getattr(function, what):
                self._add(f"{name}.{what}", "attribute", function, what, getattr(function, what))
                self.visit(getattr(function, what), f"{name}.{what}")
        names = names_in(function.__code__)
        self.attributes |= names.attributes
        self.methods |= names.methods
        if not is_internal(function.__module__):
            self._namespace(function.__globals__, "", names.globals)
            self._namespace(vars(function), name, self._known - {"__wrapped__"})

    def _namespace(self, namespace: Any, owner: str, names: Any) -> None:
        """Those entries of a module, a class or an object that code names."""
        for key in sorted(names & namespace.keys()):
            value, name = namespace[key], f"{owner}.{key}" if owner else key
            if owner and not self._reads(key, value):
                continue
            if not (isinstance(value, ModuleType) and is_internal(value.__name__)):
                self._add(name, "item", namespace, key, value)
                self.visit(value, name)

    def _items(self, container: Any, name: str) -> None:
        if isinstance(container, list) and len(container) > FEW and all(type(x) in PLAIN for x in container):
            self._add(name, "contents", container, None, container.copy())
            return
        if not isinstance(container, tuple):
            self._add(name, "length", container, None, len(container))
        if len(container) <= LENGTH:
            for key, value in enumerate(container):
                if not isinstance(container, tuple):
                    self._add(f"{name}[{key}]", "item", container, key, value)
                self.visit(value, f"{name}[{key}]")

    def _dict(self, container: dict[Any, Any], name: str) -> None:
        self._add(name, "length", container, None, len(container))
        if len(container) <= LENGTH:
            for key, value in container.items():
                self._add(f"{name}[{key!r}]", "item", container, key, value)
                self.visit(value, f"{name}[{key!r}]")

    def _class(self, cls: type, *, made: bool) -> None:
        """The attributes and methods of a class that code names, and what Python calls by itself."""
        for base in cls.__mro__:
            if base in self._classes:
                continue
            self._classes.add(base)
            if is_internal(base.__module__):
                if issubclass(base, Watched):  # what layers and optimizers of this framework read of themselves
                    functions = [value for value in vars(base).values() if isinstance(value, FunctionType)]
                    self.attributes.update(*(names_in(function.__code__).attributes - DYNAMIC for function in functions))
                continue
            for key, value in list(vars(base).items()):
                special = key.startswith("__") and isinstance(value, FunctionType) and (made or key != "__init__")
                if (self._reads(key, value) or special) and key not in DESCRIBING:
                    self._add(f"{base.__name__}.{key}", "item", vars(base), key, value)
                    self.visit(_function_of(value), f"{base.__name__}.{key}")

    def _object(self, value: Any, name: str) -> None:
        cls = type(value)
        watched = isinstance(value, Watched)
        if not watched and is_internal(cls.__module__) and not isinstance(value, SimpleNamespace | Namespace):
            return
        self._class(cls, made=False)
        everything = bool(DYNAMIC & self._known)
        if watched:
            left_out = *getattr(cls, "_unwatched", ()), *self._unwatched, *_class_attributes(cls)
            self._add(f"the attributes of {name}", "names", vars(value), left_out, names_but(left_out, vars(value)), True)
        for key, entry in self._attributes(value):
            if key not in self._unwatched and (everything or (watched and holds_parts(entry)) or self._reads(key, entry)):
                self._add(f"{name}.{key}", "item", vars(value), key, entry, watched)
                self.visit(entry, f"{name}.{key}")
        if hasattr(value, "__dict__"):
            for key in sorted(self._known & _class_attributes(cls) - vars(value).keys()):
                default = inspect.getattr_static(cls, key)
                if self._reads(key, default):
                    self._add(f"{name}.{key}", "absent", vars(value), key, default, watched)
        for key in _slots(cls):
            if hasattr(value, key) and (everything or self._reads(key, getattr(value, key))):
                self._add(f"{name}.{key}", "attribute", _weak(value), key, getattr(value, key))
                self.visit(getattr(value, key), f"{name}.{key}")

    def _reads(self, key: str, value: Any) -> bool:
        """Whether code reads an attribute of this name: a number, only where it is not called as a method."""
        return key in (self._data if isinstance(value, NUMBERS) else self._known)

    def _attributes(self, value: Any) -> list[tuple[str, Any]]:
        left_out = getattr(type(value), "_unwatched", ())
        return [(key, entry) for key, entry in getattr(value, "__dict__", {}).items() if key not in left_out]


def holds_parts(value: Any) -> bool:
    """Whether an attribute is a module or a tensor, or lists and dicts with one."""
    if isinstance(value, list | tuple | dict):
        return len(value) <= LENGTH and any(map(holds_parts, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Watched | Tensor)


def names_but(left_out: tuple[str, ...], namespace: dict[str, Any]) -> tuple[str, ...]:
    """The names in a namespace without some of them."""
    return tuple(name for name in namespace if name not in left_out)


def _class_attributes(cls: type) -> set[str]:
    return set().union(*(vars(base) for base in cls.__mro__[:-1]))


def called(value: Any) -> str:
    """The name of a function, or of an object's class."""
    return getattr(value, "__name__", type(value).__name__)


def _owner_name(method: MethodType, name: str) -> str:
    return name.rpartition(".")[0] or type(method.__self__).__name__


def _function_of(value: Any) -> Any:
    """The function behind a method of any kind."""
    return value.fget if isinstance(value, property) else getattr(value, "__func__", value)


def _weak(value: Any) -> Any:
    try:
        return weakref.proxy(value)
    except TypeError:
        return value


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
