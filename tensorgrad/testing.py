"""Checks for gradients, for the project's own tests and for yours: of a function, or of a primitive you registered.

A rule is checked against what it claims to be, the derivative of its kernel: along random directions, the change
of the output seen by central differences must be the one that the rule predicts. The gradient is a function in
turn, of the inputs and of the cotangent, so the same check applied to it tests second derivatives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .autodiff import vjp
from .contexts import no_grad
from .tensor import Tensor


class Settings(NamedTuple):
    """How `gradcheck` looks: where, how far, and how exactly."""

    rng: np.random.Generator
    directions: int
    eps: float
    atol: float
    rtol: float

    def agree(self, rule: float, differences: float) -> bool:
        return bool(abs(rule - differences) <= self.atol + self.rtol * max(abs(rule), abs(differences)))  # False for nan


def gradcheck(
    f: Callable[..., Tensor],
    *inputs: Any,
    order: int = 2,
    rng: np.random.Generator | int = 0,
    directions: int = 2,
    eps: float = 1e-5,
    atol: float = 1e-6,
    rtol: float = 1e-6,
) -> None:
    """Compare the derivatives of f with central differences, (f(x + eps v) - f(x - eps v)) / (2 eps), in float64.

    Each input of floats is moved along random directions v on its own, and the change of the output is weighed by a
    random cotangent. For order 2 the gradients, as functions of the inputs and of the cotangent, are
    treated in the same way, and so on.

    Keep away from kinks (relu at 0, the tie of a maximum) by more than `eps` times a few: differences mean nothing there.
    Where f is linear in each input taken alone, as a convolution is, differences are exact for any step, so that
    `eps=1, atol=1e-10, rtol=1e-10` may be asked for.

    Args:
        f: a function of tensors that returns one tensor; the same for the same inputs, and in float64 for float64.
        *inputs: arrays, tensors or numbers. Those of floats are checked; integers, booleans and None are passed on as they are.
        order: how many times to differentiate: 1, 2 or more.
        rng: where directions and cotangents are drawn from; a generator or a seed.
        directions: how many to try for each derivative.
        eps: the step.
        atol: the absolute tolerance.
        rtol: the relative tolerance.

    Raises:
        AssertionError: f writes into an input; or some derivatives disagree, and the message lists all of them: of which order,
            with respect to which inputs, and both figures.

    >>> import tensorgrad as tg
    >>> gradcheck(lambda x, y: x * tg.exp(y), [1.0, 2.0], [[0.5], [-0.5]])
    >>> gradcheck(lambda x: x * x.detach(), [3.0])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    AssertionError: gradcheck: 2 of 3 derivatives disagree with central differences:
      order 1, the gradient of x (1,): ...
    """
    settings = Settings(np.random.default_rng(rng), directions, eps, atol, rtol)
    arguments = [_in_double(x) for x in inputs]
    names = _names(f, len(inputs))
    _refuse_writes(f, arguments, names)
    checked = [k for k, x in enumerate(arguments) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    if not checked:
        raise TypeError("gradcheck: none of the inputs has floats, so there is no derivative to check")

    def of_checked(*variables: Tensor) -> Tensor:
        filled = list(arguments)
        for k, variable in zip(checked, variables, strict=True):
            filled[k] = variable
        return f(*filled)

    verdicts = list(_verdicts(of_checked, [arguments[k] for k in checked], [names[k] for k in checked], 1, order, "", settings))
    wrong = [verdict for verdict in verdicts if verdict is not None]
    if wrong:
        report = "\n  ".join(wrong)
        raise AssertionError(
            f"gradcheck: {len(wrong)} of {len(verdicts)} derivatives disagree with central differences:\n  {report}"
        )


def _refuse_writes(f: Callable[..., Tensor], arguments: Sequence[Any], names: Sequence[str]) -> None:
    """A kernel that writes into an input changes it for whoever else uses it, and makes all derivatives wrong."""
    given = [x.copy() if isinstance(x, np.ndarray) else x for x in arguments]
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in given]
    with no_grad():
        f(*(Tensor(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in given))
    for name, x, old in zip(names, given, before, strict=True):
        if isinstance(x, np.ndarray) and not np.array_equal(x, old, equal_nan=x.dtype.kind == "f"):
            raise AssertionError(
                f"gradcheck: the function writes into its input {name} {x.shape}; let the kernel make a new array"
            )


def _verdicts(
    f: Callable[..., Tensor],
    inputs: Sequence[np.ndarray],
    names: Sequence[str],
    depth: int,
    order: int,
    of: str,
    settings: Settings,
) -> Iterator[str | None]:
    """For each derivative of f from order `depth` to `order`: None if it agrees with differences, else the report."""
    out, pullback = vjp(f, *inputs)
    if out.dtype != np.float64:
        raise AssertionError(
            f"gradcheck: f returned {out.dtype} for inputs in float64; differences tell nothing in fewer digits"
        )
    cotangent = settings.rng.standard_normal(out.shape)
    gradients = [g.numpy() for g in pullback(cotangent)]
    for k, name in enumerate(names):
        verdict = _compared(f, inputs, k, gradients[k], cotangent, settings)
        subject = f"the gradient of {name}" if depth == 1 else f"the derivative with respect to {name} of {of}"
        yield verdict and f"order {depth}, {subject} {inputs[k].shape}: {verdict}"
    if depth == order:
        return
    for k, name in enumerate(names):
        weights = settings.rng.standard_normal(inputs[k].shape)

        def weighed_gradient(*arguments: Tensor, k: int = k, weights: np.ndarray = weights) -> Tensor:
            *variables, g = arguments
            _, pullback = vjp(f, *variables)
            return (pullback(g)[k] * weights).sum()

        subject = f"the gradient of {name}" if depth == 1 else f"its derivative with respect to {name} of {of}"
        yield from _verdicts(
            weighed_gradient, [*inputs, cotangent], [*names, "the cotangent"], depth + 1, order, subject, settings
        )


def _compared(
    f: Callable[..., Tensor],
    inputs: Sequence[np.ndarray],
    k: int,
    gradient: np.ndarray,
    cotangent: np.ndarray,
    settings: Settings,
) -> str | None:
    """None where the gradient with respect to input k predicts the differences, else both figures."""
    for _ in range(settings.directions):
        direction = settings.rng.standard_normal(inputs[k].shape)
        ahead, behind = (_value(f, inputs, k, inputs[k] + step * direction) for step in (settings.eps, -settings.eps))
        differences = float(np.vdot(cotangent, ahead - behind)) / (2 * settings.eps)
        rule = float(np.vdot(direction, gradient))
        if not settings.agree(rule, differences):
            return f"rules give {rule:.9g}, differences {differences:.9g}"
    return None


def _value(f: Callable[..., Tensor], inputs: Sequence[np.ndarray], k: int, moved: np.ndarray) -> np.ndarray:
    with no_grad():
        return f(*(Tensor(moved if j == k else x) for j, x in enumerate(inputs))).data


def _in_double(x: Any) -> Any:
    """Floats as an array in float64; anything else as it is."""
    if x is None:
        return None
    array = np.asarray(x.data if isinstance(x, Tensor) else x)
    return np.asarray(array, np.float64) if array.dtype.kind == "f" else x


def _names(f: Callable[..., Any], count: int) -> list[str]:
    """What f calls its inputs, as far as its signature tells."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # some callables have no signature
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "input")
    return names + [f"{rest}[{k}]" for k in range(count - len(names))]


def transpose_check(
    f: Callable[[Tensor], Tensor],
    transpose: Callable[[Tensor], Tensor],
    x: ArrayLike | Tensor,
    y: ArrayLike | Tensor,
    *,
    rtol: float = 1e-10,
) -> None:
    """Check that a linear function and its transpose belong together: <f(x), y> = <x, transpose(y)>, in float64.

    Args:
        f: a linear function of one tensor.
        transpose: what is claimed to be its transpose, as `col2im` is of `im2col`.
        x: an input of f; best a random one.
        y: an input of `transpose`, of the shape of f(x); best a random one.
        rtol: the tolerance, relative to the product of the norms of the factors.

    Raises:
        AssertionError: the two products differ, or a shape does not fit.

    >>> import tensorgrad as tg
    >>> transpose_check(lambda x: x.sum(axis=0), lambda y: y.broadcast_to((2, 3)), [[1.0, 2, 3], [4, 5, 6]], [1.0, -1, 2])
    """
    x, y = _in_double(x), _in_double(y)
    with no_grad():
        fx, fty = f(Tensor(x)).data, transpose(Tensor(y)).data
    for what, result, wanted in (("f(x)", fx, y), ("transpose(y)", fty, x)):
        if result.shape != wanted.shape:
            raise AssertionError(f"transpose_check: {what} has shape {result.shape}, which should be {wanted.shape}")
    left, right = float(np.vdot(fx, y)), float(np.vdot(x, fty))
    scale = max(float(np.linalg.norm(fx) * np.linalg.norm(y)), float(np.linalg.norm(x) * np.linalg.norm(fty)))
    if not abs(left - right) <= rtol * scale:
        raise AssertionError(f"transpose_check: <f(x), y> is {left:.12g}, but <x, transpose(y)> is {right:.12g}")
