"""First values of weights. Each function returns a callable (shape, rng) -> float32 array, to pass to a layer as `init=`.

>>> import numpy as np
>>> normal(0.01)((2, 3), np.random.default_rng(0)).dtype
dtype('float32')

Shapes are those of weights: (out, in) of linear layers, (F, C, KH, KW) of convolutions. The fan-in of a
weight is the number of inputs that one output sums over, C x KH x KW; the fan-out is F x KH x KW.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import Rng, generator
from .parameter import Parameter

Shape = tuple[int, ...]
Initializer = Callable[[Shape, "np.random.Generator"], np.ndarray]


def normal(std: float, mean: float = 0.0) -> Initializer:
    """Values from the normal distribution N(mean, std^2)."""

    def initial(shape: Shape, rng: Rng = None) -> np.ndarray:
        values = generator("nn.init.normal", rng).standard_normal(shape, np.float32)
        return np.float32(mean) + np.float32(std) * values

    return initial


def uniform(low: float, high: float) -> Initializer:
    """Values spread evenly over [low, high)."""

    def initial(shape: Shape, rng: Rng = None) -> np.ndarray:
        values = generator("nn.init.uniform", rng).random(shape, np.float32)
        return np.float32(low) + np.float32(high - low) * values

    return initial


def zeros() -> Initializer:
    """Zeros."""
    return constant(0.0)


def constant(value: float) -> Initializer:
    """The same value everywhere."""

    def initial(shape: Shape, rng: Rng = None) -> np.ndarray:
        return np.full(shape, value, np.float32)

    return initial


def kaiming_normal(*, negative_slope: float = 0.0, mode: str = "fan_in") -> Initializer:
    """N(0, 2 / ((1 + negative_slope^2) fan)): keeps the variance of signals through ReLU layers.

    With `mode="fan_in"` it is the signals of the forward pass, with "fan_out" those of the backward pass.
    He, Zhang, Ren and Sun, Delving Deep into Rectifiers, 2015, https://arxiv.org/abs/1502.01852.
    """
    _check_mode("kaiming_normal", mode)
    return _scaled(normal, lambda shape: _kaiming_std(shape, negative_slope, mode))


def kaiming_uniform(*, negative_slope: float = 0.0, mode: str = "fan_in") -> Initializer:
    """As `kaiming_normal`, of the same variance, but spread evenly over [-b, b). With slope sqrt(5), b is 1 / sqrt(fan)."""
    _check_mode("kaiming_uniform", mode)
    return _scaled(_symmetric, lambda shape: _kaiming_std(shape, negative_slope, mode))


def xavier_normal(gain: float = 1.0) -> Initializer:
    """N(0, gain^2 x 2 / (fan_in + fan_out)): a compromise between both passes, for tanh and the like.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010,
    https://proceedings.mlr.press/v9/glorot10a.html.
    """
    return _scaled(normal, lambda shape: _xavier_std(shape, gain))


def xavier_uniform(gain: float = 1.0) -> Initializer:
    """As `xavier_normal`, of the same variance, but spread evenly over [-b, b)."""
    return _scaled(_symmetric, lambda shape: _xavier_std(shape, gain))


def fans(shape: Shape) -> tuple[int, int]:
    """Fan-in and fan-out of a weight.

    >>> fans((64, 3, 5, 5))
    (75, 1600)
    """
    if len(shape) < 2:
        raise ValueError(f"nn.init: a weight of shape {shape} has no fans; Kaiming and Xavier need at least two axes (out, in)")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _check_mode(name: str, mode: str) -> None:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"nn.init.{name}: mode must be 'fan_in' or 'fan_out', not {mode!r}")


def _kaiming_std(shape: Shape, negative_slope: float, mode: str) -> float:
    fan = fans(shape)[mode == "fan_out"]
    return math.sqrt(2 / ((1 + negative_slope**2) * fan)) if fan else 0.0


def _xavier_std(shape: Shape, gain: float) -> float:
    return gain * math.sqrt(2 / sum(fans(shape))) if sum(fans(shape)) else 0.0


def _scaled(spread: Callable[[float], Initializer], std_of: Callable[[Shape], float]) -> Initializer:
    """Values whose standard deviation follows from the shape of the weight."""

    def initial(shape: Shape, rng: Rng = None) -> np.ndarray:
        return spread(std_of(shape))(shape, generator("nn.init", rng))

    return initial


def _symmetric(std: float) -> Initializer:
    bound = math.sqrt(3) * std  # the standard deviation of U(-b, b) is b / sqrt(3)
    return uniform(-bound, bound)


def weight_and_bias(
    layer: str, shape: Shape, *, bias: bool, init: Initializer | None, rng: Rng, dtype: Any
) -> tuple[Parameter, Parameter | None]:
    """The parameters of a layer, the weight drawn before the bias.

    Without `init` both are PyTorch's defaults: U(-b, b) with b = 1 / sqrt(fan_in). With `init` the bias is 0.
    """
    source = generator(layer, rng)
    drawn = np.asarray((init or kaiming_uniform(negative_slope=math.sqrt(5)))(shape, source))
    if drawn.shape != shape:
        raise ValueError(f"{layer}: init returned an array of shape {drawn.shape}, and the weight has shape {shape}")
    weight = Parameter(drawn.astype(dtype))
    if not bias:
        return weight, None
    bound = 0.0 if init else 1 / math.sqrt(fans(shape)[0])
    return weight, Parameter(uniform(-bound, bound)(shape[:1], source).astype(dtype) if bound else np.zeros(shape[:1], dtype))
