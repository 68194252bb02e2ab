"""What a row of the table of primitives is, and what rows are made of: shapes, domains of values, memory layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad as tg

Domain = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def optional_torch() -> Any:
    """PyTorch, the oracle, or None where it is not installed: then no oracle is asked."""
    try:
        import torch
    except ImportError:
        return None
    return torch


class Call(NamedTuple):
    """One application: positional inputs (arrays of float64 or integers, numbers, None) and keyword settings."""

    inputs: tuple[Any, ...]
    settings: dict[str, Any]


class Row(NamedTuple):
    """What the tests need to know of one primitive.

    Attributes:
        name: in the registry.
        calls: draws applications, from a domain without kinks.
        oracle: the same function in PyTorch, given tensors and the settings.
        function: the public function to call, where it prepares the arguments of the primitive; else None.
        linear: whether the primitive is linear in each input taken alone, so that differences are exact for any step.
        constant: the inputs that have no rule, such as integer labels.
        differentiable: False where no input has a rule.
        dtype: of the result for inputs in float32, where it has floats.
    """

    name: str
    calls: st.SearchStrategy[Call]
    oracle: Callable[..., Any] | None = None
    function: Callable[..., tg.Tensor] | None = None
    linear: bool = False
    constant: tuple[str, ...] = ()
    differentiable: bool = True
    dtype: type = np.float32

    def apply(self, *inputs: Any, **settings: Any) -> tg.Tensor:
        return (self.function or tg.PRIMITIVES[self.name])(*inputs, **settings)

    def asked(self, inputs: tuple[Any, ...]) -> list[int]:
        """The positions of the inputs that a gradient is asked for: arrays of floats that have a rule."""
        primitive = tg.PRIMITIVES[self.name]
        names = [*primitive.inputs, *[primitive.variadic] * len(inputs)]
        ruled = [self.differentiable and name not in self.constant for name in names]
        return [k for k, x in enumerate(inputs) if ruled[k] and isinstance(x, np.ndarray) and x.dtype.kind == "f"]


# -- domains: values that keep away from where a primitive has no derivative ---------------------------------------


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """From 0.5 to 2: for logarithms, roots, and bases of powers."""
    return rng.uniform(0.5, 2, shape)


def nonzero(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Magnitudes from 0.5 to 2 with either sign: for divisors, and where the kink is at 0."""
    return rng.uniform(0.5, 2, shape) * rng.choice([-1.0, 1.0], shape)


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Any two values at least 0.25 apart: for maxima, whose kinks are at ties."""
    size = int(np.prod(shape))
    return 0.25 * (rng.permutation(size).reshape(shape) - size // 2)


def booleans(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.random(shape) < 0.5


def wholes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers from -3 to 3."""
    return rng.integers(-3, 4, shape).astype(float)


def halves(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers and a half, from -3.5 to 3.5: never nearer than 0.5 to a whole number."""
    return rng.integers(-4, 4, shape) + 0.5


# -- memory ----------------------------------------------------------------------------------------------------------


def lay_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another place and order of memory."""
    if layout == "columns":
        return array.copy(order="F")
    if layout == "batch innermost" and array.ndim:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)
    if layout == "every second" and array.ndim:
        wide = np.full([2 * n for n in array.shape], np.nan if array.dtype.kind == "f" else 1, array.dtype)
        view = wide[(slice(None, None, 2),) * array.ndim]
        view[...] = array
        return view
    if layout == "backwards" and array.ndim:
        turn = (slice(None, None, -1),) * array.ndim
        return array[turn].copy()[turn]
    return array.copy()


layouts = st.sampled_from(["rows", "batch innermost", "every second", "columns", "backwards"])
generators = st.integers(0, 2**16).map(np.random.default_rng)


# -- strategies --------------------------------------------------------------------------------------------------------


@st.composite
def arrays(draw: Any, shape: Any, domain: Domain = normal) -> np.ndarray:
    """Float64 of a shape, given or drawn, in any layout."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    return lay_out(np.asarray(domain(draw(generators), shape)), draw(layouts))


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    """Up to four axes of sizes 0 (or 1) to 4."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=4)


def broadcasting(count: int) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    """As many shapes that broadcast with each other, with empty and single axes among them."""
    return hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, min_side=0, max_side=4).map(lambda s: s.input_shapes)


@st.composite
def unary(draw: Any, domain: Domain = normal, shape: Any = None, **settings: st.SearchStrategy[Any]) -> Call:
    """One array, of any shape unless one is given, and settings."""
    x = draw(arrays(shapes() if shape is None else shape, domain))
    return Call((x,), {name: draw(strategy) for name, strategy in settings.items()})


@st.composite
def elementwise(draw: Any, *domains: Domain, numbers: bool = True, **settings: st.SearchStrategy[Any]) -> Call:
    """One array for each domain, of shapes that broadcast, and settings; sometimes a number in place of an array."""
    found = [draw(arrays(shape, domain)) for shape, domain in zip(draw(broadcasting(len(domains))), domains, strict=True)]
    place = draw(st.sampled_from([None, None, *range(len(found))])) if numbers else None
    if place is not None:
        found[place] = float(domains[place](draw(generators), ()))
    return Call(tuple(found), {name: draw(strategy) for name, strategy in settings.items()})
