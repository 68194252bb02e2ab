"""Module: a tree of layers and parameters, found by walking attributes."""

from __future__ import annotations

import dataclasses
import itertools
import reprlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from inspect import isgenerator
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

import tensorgrad as tg

from . import state
from .hidden import refuse_hidden
from .parameter import Buffer, Parameter

Self = TypeVar("Self", bound="Module")
CONTAINERS = (Sequence, Mapping, deque, np.ndarray)
"""What holds its items by index or key."""

PLAIN = (int, float, str, bytes, range)
"""What holds no parts, and is met often."""

Path = tuple[Any, ...]
"""How a part is reached from a module: an attribute's name, then keys of containers and further attributes."""


VALUES = tg.Tensor, np.ndarray, np.generic, float, int
"""What somebody may assign to a parameter's attribute who means to change its value."""


class _Running(threading.local):
    """What a thread is doing: which module's forward runs, and who wants to see the calls (see `observing`)."""

    module: Module | None = None
    observer: Callable[[Module, Any], None] | None = None
    announce: Callable[[Module], None] | None = None


_running = _Running()


@contextmanager
def observing(observer: Callable[[Module, Any], None], announce: Callable[[Module], None] | None = None) -> Iterator[None]:
    """Inside, `observer(module, output)` is called whenever this thread has called a module, and `announce(module)` before."""
    outer = _running.observer, _running.announce
    _running.observer, _running.announce = observer, announce
    try:
        yield
    finally:
        _running.observer, _running.announce = outer


class Module(tg.Watched):
    """A part of a model: its parameters, further modules, and `forward`, which computes with them.

    Attributes that are Parameters, Buffers or Modules belong to the module, in order of assignment, and so
    do those in lists, tuples, dicts and other sequences and mappings, in dataclasses and SimpleNamespaces. In an object of
    another kind, a function or a partial they would not be found: `parameters()` refuses those that would not be trained.
    Their names are paths such as `features.conv1.weight` and `blocks.2.bias`.
    There is nothing to register, and no `super().__init__()` to call.

    Calling a module runs its `forward` inside `tg.scope`, so that traces and pictures show its name and class.

    Attributes:
        training: whether layers such as dropout shall act as in training; see `train` and `eval`.

    >>> import nn, tensorgrad as tg
    >>> class Line(nn.Module):
    ...     def __init__(self):
    ...         self.slope = nn.Parameter(2.0)
    ...         self.offset = nn.Parameter(1.0)
    ...     def forward(self, x):
    ...         return self.slope * x + self.offset
    >>> line = Line()
    >>> line(tg.Tensor([0.0, 1.0, 2.0]))
    Tensor([1., 3., 5.], dtype=float32, from=add)
    >>> [name for name, _ in line.named_parameters()]
    ['slope', 'offset']
    >>> line
    Line(
      slope: Parameter () float32
      offset: Parameter () float32
    )
    """

    training: bool = True
    _unwatched = ("_place",)
    _place: tuple[Path, str] = ((), "")  # the path under which another module holds it, and that as a name

    def forward(self, *inputs: Any) -> Any:
        """What the module computes; subclasses define it, and users call the module itself."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no forward method; give the class one, such as def forward(self, x): ..."
        )

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        """Run `forward` under the module's scope."""
        running = _running
        outer = running.module
        tg.reading(self, "training")  # so that a compiled step notices when the mode changes
        name = self._place[1] if outer is None else self._name_in(outer)
        running.module = self
        if running.announce is not None:
            running.announce(self)
        try:
            with tg.scope(name, type(self).__name__, self):
                output = self.forward(*inputs, **settings)
        except Exception as error:
            _tell_where(error, self, name, outer)
            raise
        finally:
            running.module = outer
        if running.observer is not None:
            running.observer(self, output)
        return output

    def _name_in(self, outer: Module) -> str:
        """The name of this module within the one that calls it. A remembered place is checked: lists may have changed."""
        path, name = self._place
        if not path or _resolve(outer, path) is not self:
            path = next((path for path, part in _parts(outer, deep=True) if part is self), ())
            name = _joined(path)
            self.__dict__["_place"] = path, name
        return name

    # -- attributes ----------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get(name)
        is_part = isinstance(value, Parameter | Buffer)
        if isinstance(held, Parameter | Buffer) and isinstance(value, VALUES) and not is_part:
            kind = type(held).__name__
            raise TypeError(
                f"{type(self).__name__}.{name} is a {kind}, and a {type(value).__name__} cannot take its place; "
                f"to give it a new value use tg.assign(module.{name}, value), to replace it assign a nn.{kind}"
            )
        _refuse_shadowing(self, name, value)
        parts = list(_parts_of(value, (name,)))
        super().__setattr__(name, value)
        for path, part in parts:
            _remember_name(part, path)

    # -- what the module holds -----------------------------------------------------------------------------------

    def named_parts(self) -> list[tuple[str, Module | Parameter | Buffer]]:
        """The modules, parameters and buffers that this module holds directly, each once, with their names."""
        return _once((_joined(path), part) for path, part in _parts(self, deep=False))

    def named_modules(self) -> list[tuple[str, Module]]:
        """This module, whose name is empty, and all modules inside, each once, with their names."""
        inside = ((_joined(path), part) for path, part in _parts(self, deep=True) if isinstance(part, Module))
        return _once(itertools.chain([("", self)], inside))

    def modules(self) -> list[Module]:
        """This module and all modules inside, each once."""
        return [module for _, module in self.named_modules()]

    def named_children(self) -> list[tuple[str, Module]]:
        """The modules that this one holds directly, each once, with their names."""
        return [(name, part) for name, part in self.named_parts() if isinstance(part, Module)]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """The parameters of the whole tree with their names. One that is held twice stands once, under its first name."""
        found = _once((name, tensor) for name, tensor in self._named_state() if isinstance(tensor, Parameter))
        refuse_hidden(self, found)
        return found

    def parameters(self) -> list[Parameter]:
        """The parameters of the whole tree, each once, in order of assignment."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> list[tuple[str, Buffer]]:
        """The buffers of the whole tree, each once, with their names."""
        return _once((name, tensor) for name, tensor in self._named_state() if isinstance(tensor, Buffer))

    def buffers(self) -> list[Buffer]:
        """The buffers of the whole tree, each once."""
        return [buffer for _, buffer in self.named_buffers()]

    def _named_state(self) -> list[tuple[str, tg.Tensor]]:
        """Parameters and buffers under all their names."""
        found = []
        for path, part in _parts(self, deep=True):
            if isinstance(part, tg.Tensor):
                if part.name is None:
                    _remember_name(part, path)
                found.append((_joined(path), part))
        return found

    # -- state ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by name. A tensor that is held twice stands under both names."""
        return state.copies(self._named_state(), type(self).__name__)

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> state.Difference:
        """Give parameters and buffers the values of a `state_dict`. All names and shapes are checked before anything changes.

        Args:
            values: arrays (or what NumPy makes arrays of) by name. They are copied, into the dtypes held here.
            strict: whether missing and unexpected names are an error. Wrong shapes always are.

        Returns:
            the names that were missing and those that were unexpected, for the caller who is not strict.

        Raises:
            ValueError: the names or shapes differ; the message lists all of them. Nothing was changed.
        """
        return state.load(self._named_state(), values, f"{type(self).__name__}.load_state_dict", strict=strict)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self: Self, mode: bool = True) -> Self:
        """Let the whole tree act as in training (or, with False, as in use). Returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Let the whole tree act as in use: dropout drops nothing. Returns the module."""
        return self.train(False)

    # -- representation ------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The arguments that the representation shows for a layer, such as "784, 10"; none by default."""
        return ""

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        settings = self.extra_repr()
        lines = []
        for name, part in self.named_parts():
            if isinstance(part, Module):
                lines.append(f"{name}: " + repr(part).replace("\n", "\n  "))
            elif not settings:
                lines.append(f"{name}: {type(part).__name__} {part.shape} {part.dtype}")
        inside = "".join(f"\n  {line}" for line in lines) + "\n" if lines else ""
        return f"{type(self).__name__}({settings}{inside})"


# -- finding the parts ---------------------------------------------------------------------------------------------


def _parts(module: Module, *, deep: bool) -> Iterator[tuple[Path, Any]]:
    """The modules, parameters and buffers in a module's attributes, with the path to each; `deep`: also those inside modules.

    A part that is held twice is found twice, but a module inside itself is not entered again.
    """
    return _inside(module, (), (id(module),), deep)


def _inside(module: Module, prefix: Path, around: tuple[int, ...], deep: bool) -> Iterator[tuple[Path, Any]]:
    for name, value in vars(module).items():
        for path, part in _parts_of(value, (*prefix, name)):
            yield path, part
            if deep and isinstance(part, Module) and id(part) not in around:
                yield from _inside(part, path, (*around, id(part)), deep)


def _parts_of(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The parts in one attribute: itself, or those in containers, namespaces and dataclasses."""
    if isinstance(value, Module | Parameter | Buffer):
        yield path, value
    elif isinstance(value, PLAIN):
        return
    elif isinstance(wrapped := getattr(value, "__wrapped__", None), Module):  # a compiled module
        yield path, wrapped
    elif isinstance(value, Sequence | deque) or (isinstance(value, np.ndarray) and value.dtype == object):
        for k, item in enumerate(value):
            yield from _parts_of(item, (*path, k))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts_of(item, (*path, key))
    elif isinstance(value, SimpleNamespace) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        for key, item in vars(value).items() if hasattr(value, "__dict__") else ():
            yield from _parts_of(item, (*path, key))
    elif isinstance(value, map | filter | zip) or (isgenerator(value) and value.gi_code.co_name == "<genexpr>"):
        raise TypeError(
            f"{_joined(path)} is a {type(value).__name__}, which gives its items only once, so modules in it would not be "
            "found; make it a list"
        )
    elif isinstance(value, tg.Tensor) and value.requires_grad and value.is_leaf:
        raise TypeError(
            f"{_joined(path)} is a {type(value).__name__} that requires a gradient but no nn.Parameter, so no optimizer would "
            "update it; make it nn.Parameter(...), or, if it shall not be trained, a tensor that requires none"
        )
    elif isinstance(value, Set) and any(isinstance(item, Module | tg.Tensor) for item in value):
        raise TypeError(f"{_joined(path)} is a set of modules or tensors, and a set has no order; make it a list")


def _refuse_shadowing(module: Module, name: str, value: Any) -> None:
    """An attribute in the place of a method makes every call of the method fail. Another function may take its place."""
    method = getattr(type(module), name, None)
    if callable(method) and not isinstance(method, type) and (isinstance(value, Module) or not callable(value)):
        raise TypeError(
            f"{type(module).__name__}.{name} is a method, and an attribute of this name would hide it; choose another name, "
            f"such as {name}_ or {name}_list"
        )


def _tell_where(error: Exception, module: Module, name: str, outer: Module | None) -> None:
    """Let an error say in which module it happened: the path is put together on the way out."""
    notes = getattr(error, "__notes__", [])
    inside = notes.pop() if notes and notes[-1].startswith(_IN_MODULE) else f"{_IN_MODULE}({type(module).__name__})"
    path, kind = inside.removeprefix(_IN_MODULE).split("(")
    path = ".".join(filter(None, [name, path.strip()]))
    if path or outer is None:
        error.add_note(f"{_IN_MODULE}{path} ({kind}" if path else f"{_IN_MODULE}({kind}")


_IN_MODULE = "This was in the module "


def _resolve(module: Module, path: Path) -> Any:
    """What a path leads to now, or None."""
    part: Any = module
    try:
        for key in path:
            part = vars(part)[key] if isinstance(part, Module) or not isinstance(part, CONTAINERS) else part[key]
            part = getattr(part, "__wrapped__", part)  # of a compiled module
    except (LookupError, TypeError, AttributeError):
        return None
    return part


def _remember_name(part: Any, path: Path) -> None:
    """Tell a part its first name: tensors are drawn by it, modules open their scope under it."""
    if isinstance(part, Module):
        part.__dict__.setdefault("_place", (path, _joined(path)))
    elif part.name is None:
        part.name = _joined(path)


def _joined(path: Path) -> str:
    return ".".join(map(str, path))


def _once(named: Any) -> list[tuple[str, Any]]:
    """Each part under its first name."""
    found: dict[int, tuple[str, Any]] = {}
    for name, part in named:
        found.setdefault(id(part), (name, part))
    return list(found.values())
