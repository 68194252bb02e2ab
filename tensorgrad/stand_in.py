"""StandIn: a number among the arguments of a compiled function, while the function is recorded.

Wherever a primitive takes it, a replay puts the number that it is given then. Arithmetic with other numbers makes further
stand-ins, which a replay computes anew. Python code that needs the value itself is given it; then the recording is good for
this number alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Argument(NamedTuple):
    """The formula of a number that is an argument: which one."""

    index: int


class Applied(NamedTuple):
    """The formula of a number that a function made of others, which are formulas or known values."""

    function: Callable[..., Any]
    operands: tuple[Any, ...]


def evaluate(formula: Any, numbers: list[Any]) -> Any:
    """What a formula, or a list or tuple of formulas, comes to for the numbers given."""
    if isinstance(formula, Argument):
        return numbers[formula.index]
    if isinstance(formula, Applied):
        return formula.function(*[evaluate(operand, numbers) for operand in formula.operands])
    if isinstance(formula, list | tuple):
        return type(formula)(evaluate(part, numbers) for part in formula)
    return formula


def arguments_of(formula: Any) -> set[int]:
    """Which arguments a formula depends on."""
    if isinstance(formula, Argument):
        return {formula.index}
    parts = formula.operands if isinstance(formula, Applied) else formula
    return set().union(*map(arguments_of, parts)) if isinstance(parts, list | tuple) else set()


class StandIn:
    """Stands for a number; see the top of this file.

    Attributes:
        known: the value that it has in this recording.
        formula: how a replay comes to its value.
        tell_read: called with the formula when Python code needs the value itself.
    """

    __slots__ = ("formula", "known", "tell_read")

    def __init__(self, known: Any, formula: Any, tell_read: Callable[[Any], None]) -> None:
        self.known = known
        self.formula = formula
        self.tell_read = tell_read

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return type(self.known)  # so that isinstance(rate, float) holds

    @property
    def operand(self) -> Any:
        """What a kernel is given: a Python number."""
        return self.known.item() if isinstance(self.known, np.generic) else self.known

    def read(self) -> Any:
        """The value, for Python code."""
        self.tell_read(self.formula)
        return self.known

    def through(self, function: Callable[..., Any], *operands: Any) -> Any:
        """function(*operands), one of which is this stand-in, as a number that a replay computes anew."""
        known = function(*[operand.known if type(operand) is StandIn else operand for operand in operands])
        if not isinstance(known, int | float | np.number):
            self.read()
            return known
        formulas = tuple(operand.formula if type(operand) is StandIn else operand for operand in operands)
        return StandIn(known, Applied(function, formulas), self.tell_read)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if method == "__call__" and not settings and ufunc.nout == 1 and all(map(_is_number, inputs)):
            return self.through(ufunc, *inputs)
        return getattr(ufunc, method)(*map(plain, inputs), **settings)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(), dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__array") or name == "_data":
            raise AttributeError(name)
        return getattr(self.read(), name)

    def __reduce__(self) -> Any:
        return _same, (self.read(),)


def _same(value: Any) -> Any:
    return value


def _is_number(x: Any) -> bool:
    return type(x) in (int, float, StandIn) or isinstance(x, np.number)


def plain(structure: Any) -> Any:
    """A number, tuple or list with the values themselves in the place of stand-ins, which counts as reading them."""
    if type(structure) is StandIn:
        return structure.read()
    if type(structure) in (list, tuple):
        return type(structure)(map(plain, structure))
    if type(structure) is slice:
        return slice(plain(structure.start), plain(structure.stop), plain(structure.step))
    return structure


def holds_stand_ins(structure: Any) -> bool:
    """Whether a number, or the lists, tuples and slices that it may be, has stand-ins in it."""
    if type(structure) is slice:
        structure = (structure.start, structure.stop, structure.step)
    return type(structure) is StandIn or (type(structure) in (list, tuple) and any(map(holds_stand_ins, structure)))


def formula_of(structure: Any) -> Any:
    """The formula of a number, or of lists and tuples of numbers."""
    if type(structure) is StandIn:
        return structure.formula
    return type(structure)(map(formula_of, structure)) if type(structure) in (list, tuple) else structure


def known_of(structure: Any) -> Any:
    """The value in this recording of a number, or of lists and tuples of numbers."""
    if type(structure) is StandIn:
        return structure.known
    return type(structure)(map(known_of, structure)) if type(structure) in (list, tuple) else structure


def _add_arithmetic() -> None:
    def forward(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, other: self.through(function, self, other) if _is_number(other) else NotImplemented

    def reflected(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, other: self.through(function, other, self) if _is_number(other) else NotImplemented

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        function = getattr(operator, name)
        setattr(StandIn, f"__{name}__", forward(function))
        setattr(StandIn, f"__r{name}__", reflected(function))
    for function in (operator.neg, operator.pos, abs):
        setattr(StandIn, f"__{function.__name__}__", lambda self, function=function: self.through(function, self))


def _add_reading() -> None:
    def forward(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *rest: function(self.read(), *map(plain, rest))

    def reflected(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, other: function(plain(other), self.read())

    for function in (float, int, complex, bool, hash, repr, str, format, round, divmod):
        setattr(StandIn, f"__{function.__name__}__", forward(function))
    for name in ("index", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "lshift", "rshift", "invert"):
        setattr(StandIn, f"__{name}__", forward(getattr(operator, f"__{name}__")))
    for name in ("and", "or", "xor", "lshift", "rshift"):
        setattr(StandIn, f"__r{name}__", reflected(getattr(operator, f"__{name}__")))
    StandIn.__rdivmod__ = reflected(divmod)
    for name in ("trunc", "floor", "ceil"):
        setattr(StandIn, f"__{name}__", lambda self, name=name: getattr(self.read(), f"__{name}__")())


_add_arithmetic()
_add_reading()
