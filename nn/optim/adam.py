"""Adam, and AdamW, whose weight decay goes past the moments."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

import tensorgrad as tg

from ..arguments import number
from .optimizer import Optimizer, Params

EXTRAS = ("new_mean", "new_square", "new_count")


def prepare_adam(parameter, gradient, mean, square, count, lr, *, betas, eps, weight_decay, out, decoupled=False):
    """The calls of `adam_update`."""
    new, new_mean, new_square, new_count = out
    beta1, beta2 = betas
    rate, small, kept = (np.empty((), parameter.dtype) for _ in range(3))
    d, g = np.empty_like(parameter), gradient

    def correct():
        """Both averages are corrected for their beginning at 0."""
        steps = int(count) + 1
        root = math.sqrt(1 - beta2**steps)
        rate.fill(-float(lr) / (1 - beta1**steps) * root)
        small.fill(eps * root)
        kept.fill(1 - float(lr) * weight_decay)
        new_count.fill(steps)

    calls = [correct]
    if weight_decay and not decoupled:
        g = np.empty_like(parameter)
        calls += [partial(np.multiply, parameter, weight_decay, out=g), partial(np.add, g, gradient, out=g)]
    calls += [
        partial(np.subtract, g, mean, out=d),
        partial(np.multiply, d, 1 - beta1, out=d),
        partial(np.add, mean, d, out=new_mean),
        partial(np.multiply, g, g, out=d),
        partial(np.multiply, d, 1 - beta2, out=d),
        partial(np.multiply, square, beta2, out=new_square),
        partial(np.add, new_square, d, out=new_square),
        partial(np.sqrt, new_square, out=d),
        partial(np.add, d, small, out=d),
        partial(np.divide, new_mean, d, out=d),
        partial(np.multiply, d, rate, out=d),
    ]
    if not (weight_decay and decoupled):
        return [*calls, partial(np.add, parameter, d, out=new)]
    return [*calls, partial(np.multiply, parameter, kept, out=new), partial(np.add, new, d, out=new)]


def _updated(prepare, arrays, count, lr, **settings):
    """The next values of a parameter, its gradient's moving mean and mean square, and the number of its steps."""
    new_count = np.empty_like(count)

    def with_count(*given, out):
        return prepare(*given, out=(*out, new_count), **settings)

    return *tg.in_pieces(with_count, arrays, count, lr, results=3), new_count


@tg.primitive(elementwise=True, extras=EXTRAS, prepare=prepare_adam, flops=lambda out_shape, *_: 12 * math.prod(out_shape))
def adam_update(parameter, gradient, mean, square, count, lr, *, betas, eps, weight_decay):
    """One step of Adam; weight decay adds to the gradient."""
    arrays = parameter, gradient, mean, square
    return _updated(prepare_adam, arrays, count, lr, betas=betas, eps=eps, weight_decay=weight_decay)


prepare_adamw = partial(prepare_adam, decoupled=True)


@tg.primitive(elementwise=True, extras=EXTRAS, prepare=prepare_adamw, flops=lambda out_shape, *_: 13 * math.prod(out_shape))
def adamw_update(parameter, gradient, mean, square, count, lr, *, betas, eps, weight_decay):
    """One step of AdamW; weight decay shrinks the parameter itself."""
    arrays = parameter, gradient, mean, square
    return _updated(prepare_adamw, arrays, count, lr, betas=betas, eps=eps, weight_decay=weight_decay)


class Adam(Optimizer):
    """Adam: steps of about the learning rate, whatever the gradient's scale.

    With moving averages m of the gradient g and s of its square, both corrected for their beginning at 0:
    p <- p - lr m / (sqrt(s) + eps). Weight decay adds weight_decay p to g. These are PyTorch's formulas.
    Kingma and Ba, Adam: a method for stochastic optimization, 2014, https://arxiv.org/abs/1412.6980.

    Args:
        params: any iterable of parameters, or of dicts {"params": ..., "lr": ..., "betas": ...} with settings of their own.
        lr: learning rate.
        betas: how much of the averages of the gradient and of its square a step keeps, each from 0 to below 1.
        eps: added to the denominator.
        weight_decay: factor of the L2 penalty's gradient.

    >>> import nn
    >>> p = nn.Parameter(1.0)
    >>> optimizer = Adam([p], 0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.item(), 6)
    0.9
    """

    primitive = adam_update

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def checked(self, **settings: Any) -> dict[str, Any]:
        name = type(self).__name__
        try:
            betas = tuple(number(name, "betas", beta, high=math.nextafter(1.0, 0.0)) for beta in settings["betas"])
        except (TypeError, ValueError):
            betas = ()
        if len(betas) != 2:
            raise ValueError(
                f"{name}: betas must be two numbers from 0 to below 1, such as (0.9, 0.999), not {settings['betas']!r}"
            )
        return {
            "betas": betas,
            "eps": number(name, "eps", settings["eps"]),
            "weight_decay": number(name, "weight_decay", settings["weight_decay"]),
        }

    def new_state(self, parameter: tg.Tensor, **settings: Any) -> dict[str, tg.Tensor]:
        return {
            "mean": tg.Tensor(np.zeros_like(parameter.data)),
            "square": tg.Tensor(np.zeros_like(parameter.data)),
            "count": tg.Tensor(np.array(0, np.int64)),
        }

    def update(
        self, parameter: tg.Tensor, gradient: tg.Tensor, rate: tg.Tensor, cells: dict[str, tg.Tensor], **settings: Any
    ) -> None:
        new, *news = self.primitive.outputs(parameter, gradient, *cells.values(), rate, **settings)
        tg.assign(parameter, new)
        for cell, value in zip(cells.values(), news, strict=True):
            tg.assign(cell, value)


class AdamW(Adam):
    """Adam with decoupled weight decay: each step first shrinks the parameters by the factor 1 - lr weight_decay.

    Loshchilov and Hutter, Decoupled weight decay regularization, 2017, https://arxiv.org/abs/1711.05101.

    Args:
        params, lr, betas, eps: as for `Adam`.
        weight_decay: the share, times the learning rate, that parameters lose in each step.
    """

    primitive = adamw_update

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)
