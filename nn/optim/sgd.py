"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

import tensorgrad as tg

from ..arguments import number
from .optimizer import Optimizer, Params


def prepare_sgd(parameter, gradient, lr, *, weight_decay, out):
    """The calls of `sgd_update`."""
    rate, d = np.empty((), parameter.dtype), np.empty_like(parameter)
    calls = [lambda: rate.fill(-lr)]
    if weight_decay:
        calls += [partial(np.multiply, parameter, weight_decay, out=d), partial(np.add, d, gradient, out=d)]
        gradient = d
    return [*calls, partial(np.multiply, gradient, rate, out=d), partial(np.add, parameter, d, out=out)]


@tg.primitive(elementwise=True, prepare=prepare_sgd, flops=lambda out_shape, *_: 2 * math.prod(out_shape))
def sgd_update(parameter, gradient, lr, *, weight_decay):
    """parameter - lr (gradient + weight_decay parameter)."""

    def prepare(*given, out):
        return prepare_sgd(*given, weight_decay=weight_decay, out=out[0])

    return tg.in_pieces(prepare, (parameter, gradient), lr)[0]


def prepare_momentum(parameter, gradient, velocity, lr, *, momentum, nesterov, weight_decay, out):
    """The calls of `momentum_update`."""
    new, new_velocity = out
    rate, d, slope = np.empty((), parameter.dtype), np.empty_like(parameter), gradient
    calls = [lambda: rate.fill(-lr)]
    if weight_decay:
        slope = np.empty_like(parameter)
        calls += [partial(np.multiply, parameter, weight_decay, out=slope), partial(np.add, slope, gradient, out=slope)]
    calls += [
        partial(np.multiply, velocity, momentum, out=new_velocity),
        partial(np.add, new_velocity, slope, out=new_velocity),
    ]
    if nesterov:
        calls += [partial(np.multiply, new_velocity, momentum, out=d), partial(np.add, d, slope, out=d)]
    calls.append(partial(np.multiply, d if nesterov else new_velocity, rate, out=d))
    return [*calls, partial(np.add, parameter, d, out=new)]


@tg.primitive(
    elementwise=True,
    extras=("new_velocity",),
    prepare=prepare_momentum,
    flops=lambda out_shape, *_: 4 * math.prod(out_shape),
)
def momentum_update(parameter, gradient, velocity, lr, *, momentum, nesterov, weight_decay):
    """With d = gradient + weight_decay parameter: the velocity becomes v = momentum velocity + d, and the parameter
    moves by -lr v, or with Nesterov by -lr (d + momentum v)."""
    prepare = partial(prepare_momentum, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    return tuple(tg.in_pieces(prepare, (parameter, gradient, velocity), lr, results=2))


class SGD(Optimizer):
    """Stochastic gradient descent: p <- p - lr d, with d = gradient + weight_decay p.

    With momentum m a velocity takes the place of d: v <- m v + d, beginning at 0; with `nesterov` it is d + m v.
    These are PyTorch's formulas. Momentum: Polyak 1964; Nesterov's form: Sutskever, Martens, Dahl and Hinton, On the importance
    of initialization and momentum in deep learning, 2013, https://proceedings.mlr.press/v28/sutskever13.html.

    Args:
        params: any iterable of parameters, or of dicts {"params": ..., "lr": ..., "momentum": ...} with settings of their own.
        lr: learning rate.
        momentum: from 0 to 1.
        nesterov: whether to look ahead along the velocity; needs momentum.
        weight_decay: factor of the L2 penalty's gradient.

    >>> import nn
    >>> p = nn.Parameter(1.0)
    >>> optimizer = SGD([p], 0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).backward()
    ...     optimizer.step()
    >>> p
    Parameter(0.46, dtype=float32, requires_grad=True)
    >>> optimizer.lr = 0.01
    """

    def __init__(
        self, params: Params, lr: float, *, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def checked(self, **settings: Any) -> dict[str, Any]:
        momentum = number("SGD", "momentum", settings["momentum"], high=1.0)
        if settings["nesterov"] and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum above 0, such as momentum=0.9")
        weight_decay = number("SGD", "weight_decay", settings["weight_decay"])
        return {"momentum": momentum, "nesterov": bool(settings["nesterov"]), "weight_decay": weight_decay}

    def new_state(self, parameter: tg.Tensor, **settings: Any) -> dict[str, tg.Tensor]:
        return {"velocity": tg.Tensor(np.zeros_like(parameter.data))} if settings["momentum"] else {}

    def update(
        self, parameter: tg.Tensor, gradient: tg.Tensor, rate: tg.Tensor, cells: dict[str, tg.Tensor], **settings: Any
    ) -> None:
        if not cells:
            tg.assign(parameter, sgd_update(parameter, gradient, rate, weight_decay=settings["weight_decay"]))
            return
        new, velocity = momentum_update.outputs(parameter, gradient, cells["velocity"], rate, **settings)
        tg.assign(parameter, new)
        tg.assign(cells["velocity"], velocity)
