"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import tensorgrad as tg

from ..arguments import number


@tg.primitive(flops=lambda _, *shapes: sum(2 * int(np.prod(shape)) for shape in shapes))
def global_norm(*gradients):
    """The Euclidean norm of all elements of all gradients together, summed in float64."""
    return np.sqrt(np.sum([np.sum(np.square(g, dtype=np.float64)) for g in gradients], dtype=np.float64))


@tg.primitive
def scale_to_norm(gradient, norm, *, max_norm):
    """gradient x min(1, max_norm / (norm + 1e-6))."""
    return gradient * float(np.minimum(1.0, max_norm / (norm + 1e-6)))


@tg.no_grad()
@tg.phase("update")
def clip_grad_norm(params: Iterable[tg.Tensor], max_norm: float) -> tg.Tensor:
    """Scale all gradients by one factor such that their norm together is at most `max_norm`.

    Call it between `backward()` and `step()`. Parameters without a gradient are left out. If a gradient is not
    finite, then all become nan or 0, as in PyTorch: look at the norm returned.
    Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013, https://arxiv.org/abs/1211.5063.

    Returns:
        the norm before, a float64 tensor without axes.

    >>> import nn
    >>> p = nn.Parameter([3.0, 4.0])
    >>> (p * p).sum().backward()
    >>> clip_grad_norm([p], 1.0)
    Tensor(10., dtype=float64)
    >>> p.grad.data.round(3)
    array([0.6, 0.8], dtype=float32)
    """
    if isinstance(params, tg.Tensor):
        raise TypeError("clip_grad_norm: takes an iterable of parameters, not one tensor; put it in a list")
    max_norm = number("clip_grad_norm", "max_norm", max_norm)
    params = [parameter for parameter in params if parameter.grad is not None]
    if not params:
        return tg.Tensor(np.array(0.0))
    norm = global_norm(*(parameter.grad for parameter in params))
    for parameter in params:
        parameter.grad = scale_to_norm(parameter.grad, norm, max_norm=max_norm)
    return norm
