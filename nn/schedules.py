"""Learning-rate schedules: plain functions from the number of steps done to the learning rate of the next.

    schedule = nn.schedules.one_cycle(peak=0.1, steps=1000)
    for step in range(1000):
        optimizer.lr = schedule(step)
        ...

The learning rate is state that a compiled step reads, so schedules work under replay too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .arguments import number, whole

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """The same learning rate throughout."""
    rate = number("constant", "rate", rate)
    return lambda step: rate


def step_decay(rate: float, every: int, factor: float = 0.1) -> Schedule:
    """Multiply the learning rate by `factor` after every so many steps.

    >>> decay = step_decay(0.1, every=100, factor=0.5)
    >>> [decay(step) for step in (0, 99, 100, 200)]
    [0.1, 0.1, 0.05, 0.025]
    """
    rate, factor = number("step_decay", "rate", rate), number("step_decay", "factor", factor)
    every = whole("step_decay", "every", every)
    return lambda step: rate * factor ** (step // every)


def cosine(rate: float, steps: int, final: float = 0.0) -> Schedule:
    """Fall from `rate` to `final` along half a cosine wave, and stay there.

    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2016, https://arxiv.org/abs/1608.03983.

    >>> fall = cosine(1.0, steps=4)
    >>> [round(fall(step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    rate, final = number("cosine", "rate", rate), number("cosine", "final", final)
    steps = whole("cosine", "steps", steps)
    return lambda step: final + (rate - final) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def warm_up(schedule: Schedule, steps: int) -> Schedule:
    """Rise in a straight line to what `schedule` says, over the first steps.

    Goyal and others, Accurate, large minibatch SGD, 2017, https://arxiv.org/abs/1706.02677.

    >>> rise = warm_up(constant(1.0), steps=4)
    >>> [rise(step) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    steps = whole("warm_up", "steps", steps)
    return lambda step: schedule(step) * min((step + 1) / steps, 1.0)


def one_cycle(peak: float, steps: int, *, rise: float = 0.3, start: float = 1 / 25, final: float = 1e-4) -> Schedule:
    """Rise along half a cosine wave to a high learning rate, then fall along another to almost none.

    Smith and Topin, Super-convergence: very fast training of neural networks using large learning rates, 2017,
    https://arxiv.org/abs/1708.07120, with the cosine waves of later practice. The steps are those of PyTorch's OneCycleLR: the
    first has the first rate, the last, steps - 1, has the last.

    Args:
        peak: the highest learning rate.
        steps: of the whole training.
        rise: which share of them it rises for.
        start, final: the first and the last learning rate, as shares of the peak.

    >>> cycle = one_cycle(1.0, steps=10, rise=0.5)
    >>> [round(cycle(step), 4) for step in (0, 4, 9, 10)]
    [0.04, 1.0, 0.0001, 0.0001]
    """
    peak, start, final = (number("one_cycle", n, v) for n, v in (("peak", peak), ("start", start), ("final", final)))
    rise = number("one_cycle", "rise", rise, high=1.0)
    steps = whole("one_cycle", "steps", steps)
    last = steps - 1
    top = min(max(rise * steps - 1, 0.0), last)  # the step at the peak, perhaps between two

    def rate(step: int) -> float:
        if step < top:
            return _between(start * peak, peak, step / top)
        return _between(peak, final * peak, min((step - top) / (last - top), 1.0) if last > top else 0.0)

    return rate


def _between(first: float, last: float, part: float) -> float:
    """Half a cosine wave from one rate to another."""
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2
