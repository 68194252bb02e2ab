"""Adam, and AdamW, whose weight decay goes past the moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tensorgrad as tg

from ..arguments import number
from .optimizer import Optimizer, Params
from .pieces import in_pieces

EXTRAS = ("new_mean", "new_square", "new_count")


def _updated(parameter, gradient, mean, square, count, lr, *, betas, eps, weight_decay, decoupled, out):
    """The next values of a parameter, its gradient's moving mean and mean square, and the number of its steps."""
    beta1, beta2 = betas
    count = np.asarray(count + 1)
    rate, steps = float(lr), int(count)
    mean_rate = rate / (1 - beta1**steps)  # corrects the mean for its beginning at 0
    root_correction = math.sqrt(1 - beta2**steps)
    kept = 1 - rate * weight_decay if decoupled else 1.0
    penalty = 0.0 if decoupled else weight_decay

    def step(p, g, m, s, new, new_m, new_s, d, e):
        if penalty:
            np.multiply(p, penalty, out=e)
            e += g
            g = e  # the gradient with the penalty's
        np.subtract(g, m, out=d)
        d *= 1 - beta1
        np.add(m, d, out=new_m)
        np.multiply(g, g, out=d)
        d *= 1 - beta2
        np.multiply(s, beta2, out=new_s)
        new_s += d
        np.sqrt(new_s, out=d)
        d += eps * root_correction
        np.divide(new_m, d, out=d)
        d *= -mean_rate * root_correction
        if kept == 1.0:
            np.add(p, d, out=new)
        else:
            np.multiply(p, kept, out=new)
            new += d

    if out is not None:
        out[3][...] = count
    return *in_pieces(step, parameter, gradient, mean, square, results=3, scratch=2, out=out and out[:3]), count


@tg.primitive(elementwise=True, extras=EXTRAS, flops=lambda out_shape, *_: 12 * math.prod(out_shape))
def adam_update(parameter, gradient, mean, square, count, lr, *, betas, eps, weight_decay, out=None):
    """One step of Adam; weight decay adds to the gradient."""
    return _updated(
        parameter,
        gradient,
        mean,
        square,
        count,
        lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled=False,
        out=out,
    )


@tg.primitive(elementwise=True, extras=EXTRAS, flops=lambda out_shape, *_: 13 * math.prod(out_shape))
def adamw_update(parameter, gradient, mean, square, count, lr, *, betas, eps, weight_decay, out=None):
    """One step of AdamW; weight decay shrinks the parameter itself."""
    return _updated(
        parameter,
        gradient,
        mean,
        square,
        count,
        lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled=True,
        out=out,
    )


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
