"""What a primitive is: a NumPy kernel, and one vector-Jacobian rule for each input that has a gradient.

    @primitive
    def multiply(x, y):
        return np.multiply(x, y)

    multiply.vjp(x=lambda g, y: g * y,
                 y=lambda g, x: g * x)

The kernel takes arrays and returns an array; it knows nothing of tensors. A rule takes `g`, the cotangent of the
output, and returns the cotangent of its input. It is written with primitives on tensors, so that a backward
pass is a graph like any other and can be differentiated again. What else a rule names, it is given:

=============  =====================================================================================
an input       that input, kept alive until the backward pass
`out`          the primitive's output
an extra       a further output of the kernel, declared as `@primitive(extras=("winners",))`
`x_shape`      the shape of the input `x`; this keeps no array
an attribute   a keyword-only argument of the kernel; `**attrs` takes those that the rule does not name
`position`     in the rule of a variadic input `*xs`: which of them the cotangent is for
=============  =====================================================================================

So the rule's signature declares what must be kept for the backward pass, and nothing else is kept.
The engine brings each cotangent back to its input's shape and dtype, adds it up, and calls no rule in vain.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .kernels.halves import LARGE, elementwise
from .node import Node
from .state import per_thread
from .tensor import Tensor, as_operand

PRIMITIVES: dict[str, Primitive] = {}
"""Every registered primitive by its name."""

RESERVED = ("g", "out", "position", "extras_to")


class Rule(NamedTuple):
    """A VJP rule, and the names that its signature asks for behind `g`."""

    function: Callable[..., Tensor]
    names: tuple[str, ...]
    takes_rest: bool  # of the attributes, as **attrs


class Call(NamedTuple):
    """A rule that will run, and how."""

    index: int  # of the input it is for
    function: Callable[..., Tensor]
    residuals: tuple[int, ...]  # which of those kept it is given behind g, in order
    plain: bool  # whether that is all it is given
    names: tuple[str, ...]  # of these residuals
    position: int | None  # among the inputs behind the *, where the rule asks for it
    takes_rest: bool  # of the attributes


class Pullback(NamedTuple):
    """For one set of inputs that need a gradient: what an application keeps, and the rules that will run."""

    primitive: Primitive
    keeps: tuple[tuple[str, Any], ...]  # the residuals: (kind, which), see Primitive._residual_source
    calls: tuple[Call, ...]
    indices: tuple[int, ...]  # of the inputs that a rule is for


class Primitive:
    """A NumPy kernel with its vector-Jacobian rules; call it on tensors, arrays and numbers.

    Make one with the decorator `primitive`.

    Attributes:
        name: what traces and pictures call it; the key in `PRIMITIVES`.
        kernel: the NumPy function.
        inputs: names of the positional arguments, which are arrays; None stands for an optional one left out.
        variadic: the name behind a `*` where the kernel takes any number of further inputs, else None.
        attributes: names of the keyword-only arguments, which are static settings such as an axis.
        extras: names of the kernel's further outputs.
        view: whether the output may share the first input's memory.
        elementwise: whether each output element depends on the inputs' elements at its place alone.
        takes_out: whether the kernel can write into a buffer given as `out=`. That of an elementwise primitive may be
        one of its inputs.
        sums: whether an element of the output may be made in more than one operation.
        ufunc: the NumPy function that the kernel is another name for, or None.
        prepare: a function of the kernel's arguments and `out=` that returns the kernel's work as a list of calls, or None.
        rules: the VJP rule of each input that has one.
        constant: the inputs declared to have none, since the output is constant in them between jumps.
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        *,
        extras: tuple[str, ...] = (),
        view: bool = False,
        elementwise: bool = False,
        ufunc: np.ufunc | None = None,
        prepare: Callable[..., list[Callable[[], Any]]] | None = None,
        flops: Callable[..., int] | None = None,
    ) -> None:
        self.kernel = kernel
        self.ufunc = ufunc
        self._function = ufunc or kernel
        self.prepare = prepare
        self.name = kernel.__name__.rstrip("_")
        self.extras = tuple(extras)
        self.view = view
        self.elementwise = elementwise
        self.rules: dict[str, Rule] = {}
        self.constant: set[str] = set()
        self._flops = flops
        self.sums = flops is not None or not (view or elementwise)
        self._pullbacks: dict[int, Pullback | None] = {}

        parameters = inspect.signature(kernel).parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.takes_out = any(p.name == "out" for p in keywords)
        self.attributes = tuple(p.name for p in keywords if p.name != "out")
        self._divisible = elementwise and self.takes_out and not (extras or view)
        self._attribute_count = len(self.attributes)
        self._input_count = len(self.inputs)
        self._unseen = True  # until the kernel's first result has been looked at
        self._defaults = {p.name: p.default for p in keywords if p.name != "out" and p.default is not p.empty}
        self._refuse_bad_names(parameters)

        self.__doc__ = kernel.__doc__
        self.__module__ = kernel.__module__
        self.__name__ = self.__qualname__ = self.name
        self.__wrapped__ = kernel  # lets help(), inspect and doctest see the kernel's signature and examples

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self._signature())})>"

    def argument_names(self, count: int) -> list[str]:
        """What this primitive calls each of `count` inputs."""
        names = [*self.inputs[:count]]
        if count > self._input_count:
            names += [f"{self.variadic}[{k}]" for k in range(count - self._input_count)]
        return names

    def _signature(self) -> list[str]:
        names = list(self.inputs)
        if self.variadic:
            names.append(f"*{self.variadic}")
        return names + [f"{name}=" for name in self.attributes]

    def _refuse_bad_names(self, parameters: Any) -> None:
        for p in parameters:
            if p.kind is p.VAR_KEYWORD:
                raise TypeError(f"primitive {self.name}: the kernel must name its attributes instead of taking **{p.name}")
        names = [*self.inputs, *self.attributes, *self.extras]
        for name in names:
            if name in RESERVED or names.count(name) > 1:
                why = "is reserved" if name in RESERVED else "stands twice"
                raise TypeError(f"primitive {self.name}: the name {name!r} {why}; choose another")

    # -- rules ---------------------------------------------------------------------------------------------------

    def vjp(self, **rules: Callable[..., Tensor] | None) -> Primitive:
        """Register the rules of inputs, `x=lambda g, ...: ...`. A wrong name is an error now, not in a backward pass.

        None in the place of a rule says that an input of floats has no gradient, as the sign of x has none: the output is
        constant between jumps. Without a rule and without that word the first call whose input requires a gradient is refused.
        """
        for name, function in rules.items():
            if name not in self.inputs and name != self.variadic:
                raise TypeError(f"{self.name}.vjp: there is no input {name!r}; the inputs are {self._signature()}")
            if function is None:
                self.rules.pop(name, None)
                self.constant.add(name)
            else:
                self.rules[name] = self._checked_rule(name, function)
                self.constant.discard(name)
        self._pullbacks.clear()
        return self

    def _checked_rule(self, name: str, function: Callable[..., Tensor]) -> Rule:
        parameters = list(inspect.signature(function).parameters.values())
        if not parameters or parameters[0].name != "g":
            raise TypeError(f"{self.name}.vjp: the rule for {name} must take the cotangent as its first argument, named g")
        takes_rest = parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
        asking = parameters[1:-1] if takes_rest else parameters[1:]
        if any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in asking):
            raise TypeError(f"{self.name}.vjp: the rule for {name} must name what it asks for without * and /")
        names = tuple(p.name for p in asking)
        for asked in names:
            if asked == "position" and name == self.variadic:
                continue
            if asked not in self.attributes and self._residual_source(asked) is None:
                shapes = [f"{i}_shape" for i in self._array_names()]
                known = [*self._array_names(), *shapes, "out", *self.extras, *self.attributes]
                raise TypeError(f"{self.name}.vjp: the rule for {name} asks for {asked!r}; there is {', '.join(known)}")
        return Rule(function, names, takes_rest)

    def _array_names(self) -> list[str]:
        return [*self.inputs, self.variadic] if self.variadic else list(self.inputs)

    def _residual_source(self, name: str) -> tuple[str, Any] | None:
        """Where an application finds the residual that a rule calls `name`: its kind, and which of that kind."""
        if name in self.inputs:
            return "input", self.inputs.index(name)
        if name == "out":
            return "out", None
        if name in self.extras:
            return "extra", self.extras.index(name)
        if self.variadic and name == self.variadic:
            return "variadic", len(self.inputs)
        if name.removesuffix("_shape") in self.inputs:
            return "shape", self.inputs.index(name.removesuffix("_shape"))
        if self.variadic and name == f"{self.variadic}_shape":
            return "shapes", len(self.inputs)
        return None

    def _pullback(self, needs: int) -> Pullback | None:
        """The pullback when those inputs need a gradient whose bit is set in `needs`."""
        calls, keeps = [], {}
        for index in range(needs.bit_length()):
            rule = self.rules.get(self.inputs[index] if index < len(self.inputs) else self.variadic)
            if rule is None or not needs >> index & 1:
                continue
            names = tuple(asked for asked in rule.names if asked != "position")
            sources = [self._residual_source(asked) or ("attribute", asked) for asked in names]
            where = tuple(keeps.setdefault(source, len(keeps)) for source in sources)
            position = index - len(self.inputs) if "position" in rule.names else None
            plain = position is None and not rule.takes_rest
            calls.append(Call(index, rule.function, where, plain, names, position, rule.takes_rest))
        return Pullback(self, tuple(keeps), tuple(calls), tuple(c.index for c in calls)) if calls else None

    def _refuse_missing_rules(self, needs: int, arrays: list[Any]) -> None:
        """An input that requires a gradient must have a rule, or be declared to have none: else it is lost in silence."""
        for index, name in enumerate(self.argument_names(len(arrays))):
            declared = self.inputs[index] if index < len(self.inputs) else self.variadic
            if needs >> index & 1 and declared not in self.rules and declared not in self.constant:
                raise TypeError(
                    f"{self.name}: the input {name}, {_described(arrays[index])}, requires a gradient, and the primitive has "
                    f"no rule for it; register one with {self.name}.vjp({declared}=lambda g, ...: ...), or say with "
                    f"{self.name}.vjp({declared}=None) that there is no gradient"
                )

    # -- application ---------------------------------------------------------------------------------------------

    def outputs(self, *inputs: Any, **attributes: Any) -> tuple[Tensor, ...]:
        """Like a call, but returns the extras too: (out, *extras)."""
        extras: list[np.ndarray] = []
        out = self(*inputs, **attributes, extras_to=extras)
        return out, *(Tensor.wrap(np.asarray(extra)) for extra in extras)

    def __call__(self, *inputs: Any, extras_to: list[np.ndarray] | None = None, **attributes: Any) -> Tensor:
        """Apply the kernel, and leave a node in the graph if an input needs a gradient. Extras are added to `extras_to`."""
        # Each small operation costs microseconds here, so this is one function and looks things up once.
        arrays, needs, bit = [], 0, 1
        for x in inputs:
            if type(x) is Tensor or isinstance(x, Tensor):
                arrays.append(x._data)
                if x._requires_grad:
                    needs |= bit
            else:
                arrays.append(as_operand(x))
            bit += bit
        if inputs and type(arrays[0]) is not np.ndarray and not any(isinstance(a, np.ndarray) for a in arrays):
            # numbers alone: float32 is the default here too
            return self(*map(Tensor, inputs), extras_to=extras_to, **attributes)
        if len(attributes) != self._attribute_count:
            attributes = self._completed(attributes)

        state = per_thread.state
        recorder = state.recorder
        if recorder is not None:
            inputs = recorder.operands(inputs, arrays, attributes)
        try:
            if recorder is not None:
                result = recorder.run(self, inputs, arrays, attributes)
            elif (
                attributes
                or len(arrays) != self._input_count  # a ufunc would write into a further input
                or (self._divisible and type(arrays[0]) is np.ndarray and arrays[0].size >= LARGE)
            ):
                result = self.compute(arrays, attributes)
            else:
                result = self._function(*arrays)
        except (ValueError, TypeError, IndexError) as error:
            raise self._explained(error, arrays, attributes) from error
        extras: Sequence[np.ndarray] = ()
        if self._unseen:
            self._look_at(result)
        if self.extras:
            result, *extras = result
            if extras_to is not None:
                extras_to += extras
        if type(result) is not np.ndarray:  # NumPy returns a scalar where the result has no axes
            result = np.asarray(result)

        out = Tensor.wrap(result)
        if needs and state.builds_graph:
            try:
                pullback = self._pullbacks[needs]
            except KeyError:
                if result.dtype.kind == "f":
                    self._refuse_missing_rules(needs, arrays)
                pullback = self._pullbacks[needs] = self._pullback(needs)
            if pullback is not None:
                out._node = Node(pullback, inputs, attributes, result, extras, state.scope)
                out._requires_grad = True
        if recorder is not None:
            recorder.record(self, inputs, attributes, (result, *extras), out._node)
        return out

    def _look_at(self, result: Any) -> None:
        """Refuse a kernel whose first result is not what it is said to return."""
        wanted = (
            f"the kernel must return ({', '.join(['out', *self.extras])})"
            if self.extras
            else "the kernel must return one array"
        )
        results = result if self.extras else (result,)
        if self.extras and (type(result) is not tuple or len(result) != 1 + len(self.extras)):
            got = f"{len(result)} results" if isinstance(result, tuple) else type(result).__name__
            raise TypeError(f"{self.name}: {wanted}, and returned {got}")
        for one in results:
            if isinstance(one, tuple | list):
                raise TypeError(
                    f"{self.name}: {wanted}, and returned {len(one)} results; declare the others, as in "
                    '@primitive(extras=("winners",))'
                )
            if np.asarray(one).dtype.kind not in "fiub":
                got = "nothing" if one is None else f"{type(one).__name__} of dtype {np.asarray(one).dtype}"
                raise TypeError(f"{self.name}: {wanted} of real numbers or booleans, and returned {got}")
        self._unseen = False

    def compute(self, arrays: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """What the kernel returns. Large elementwise work is divided between two threads."""
        if self._divisible and type(arrays[0]) is np.ndarray and arrays[0].size >= LARGE:
            return elementwise(self.kernel, arrays, attributes)
        return self.kernel(*arrays, **attributes)

    def _completed(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """The attributes given, and the defaults of the others."""
        for name in attributes:
            if name not in self.attributes:
                known = f"there is {', '.join(self.attributes)}" if self.attributes else "there is none"
                raise TypeError(f"{self.name}: there is no attribute {name!r}; {known}")
        return self._defaults | attributes

    def _explained(self, error: Exception, arrays: list[Any], attributes: dict[str, Any]) -> Exception:
        """The kernel's error again, with the primitive's name and what it was given."""
        names = self.argument_names(len(arrays))
        given = [f"{name} {_described(a)}" for name, a in zip(names, arrays, strict=False) if a is not None]
        given += [f"{name}={value!r}" for name, value in attributes.items()]
        message = str(error).removeprefix(f"{self.name}: ")
        cure = "\nShapes broadcast when their sizes, read from the right, are equal or 1." if "broadcast" in message else ""
        return type(error)(f"{self.name}: {message}\nGiven: {', '.join(given)}.{cure}")

    def flops(self, out_shape: tuple[int, ...], *input_shapes: tuple[int, ...] | None) -> int:
        """Floating-point operations of one application, a multiply-add counting 2.

        What the primitive declares with `@primitive(flops=...)`; else one for each output element of an
        elementwise primitive, and one for each input element of any other, but none for a view.
        """
        if self._flops is not None:
            return int(self._flops(out_shape, *input_shapes))
        if self.view:
            return 0
        return math.prod(out_shape) if self.elementwise else sum(math.prod(s) for s in input_shapes if s is not None)


def _described(operand: Any) -> str:
    return f"{operand.shape} {operand.dtype}" if isinstance(operand, np.ndarray) else repr(operand)


def primitive(kernel: Callable[..., Any] | None = None, **settings: Any) -> Any:
    """Register a NumPy kernel as a primitive; give it its rules with `.vjp(...)`.

    Positional arguments of the kernel are arrays, keyword-only ones are attributes. A kernel returns a new
    array or a view of its input, never the input itself, and writes into none of them. Its name becomes
    the primitive's, without a trailing underscore; a later registration under the same name replaces an earlier one
    in `PRIMITIVES`.

    Args:
        extras: names of further outputs; the kernel then returns (out, *extras). They have no gradient:
            integers, booleans, or figures that no rule differentiates through.
        view: the output may share the first input's memory.
        elementwise: each output element depends on the inputs' elements at its place alone. If the kernel takes `out=` too,
            pieces of large arrays are given to it, two at the same time.
        ufunc: the NumPy function that the kernel is no more than a name for; it is then called itself, which is quicker.
        prepare: a function that takes the kernel's arguments, and `out=`, and returns a list of calls without arguments that
            do what the kernel does on these arrays, whatever they hold when the calls are made. A replay makes them
            again and again.
        flops: a function (out_shape, *input_shapes) -> floating-point operations, where `Primitive.flops` says it wrong.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> @tg.primitive
    ... def smooth_ramp(x):
    ...     return np.logaddexp(x, 0)
    >>> _ = smooth_ramp.vjp(x=lambda g, x: g * tg.sigmoid(x))
    >>> x = tg.Tensor([0.0], requires_grad=True)
    >>> smooth_ramp(x).backward()
    >>> x.grad
    Tensor([0.5], dtype=float32)
    """
    if kernel is None:
        return functools.partial(primitive, **settings)
    made = PRIMITIVES[kernel.__name__.rstrip("_")] = Primitive(kernel, **settings)
    return made
