"""Randomness, always from a generator that the caller names."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.select import kept
from ..primitive import primitive
from ..tensor import Tensor


@primitive(elementwise=True)
def thin(x, mask, *, rate):
    """x / (1 - rate) where the mask holds, else 0. Linear in x."""
    survivors = kept(x, mask)
    return survivors * (1 / (1 - rate)) if rate < 1 else survivors


thin.vjp(x=lambda g, mask, rate: thin(g, mask, rate=rate))


@primitive(extras=("mask",))
def dropout_(x, *, rate, rng):
    """x thinned by a random mask, and that mask, which holds with probability 1 - rate."""
    mask = np.empty_like(x, dtype=np.bool_)  # in the memory order of x, though drawn in row-major order
    np.greater_equal(rng.random(x.shape, dtype=np.float32), rate, out=mask)
    return thin.kernel(x, mask, rate=rate), mask


dropout_.vjp(x=lambda g, mask, rate: thin(g, mask, rate=rate))


def dropout(x: ArrayLike | Tensor, rate: float, *, rng: np.random.Generator) -> Tensor:
    """x with each element set to 0 with probability `rate`, and the others divided by 1 - rate (Srivastava et al., 2014).

    So the expected value of each element stays what it was. The dtype of floats is kept.

    Args:
        x: any array.
        rate: the probability, from 0 (nothing happens) to 1 (all become 0).
        rng: where the mask is drawn from, one float32 for each element.

    Raises:
        ValueError: `rate` is not between 0 and 1.
        TypeError: `rng` is no generator.

    >>> import numpy as np
    >>> import tensorgrad as tg
    >>> tg.dropout([1.0, 2.0, 3.0, 4.0], 0.5, rng=np.random.default_rng(0))
    Tensor([2., 4., 6., 0.], dtype=float32)
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"dropout: rng must be a numpy.random.Generator, e.g. np.random.default_rng(0), not {type(rng).__name__}"
        )
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: the rate is a probability from 0 to 1, and is {rate}")
    return dropout_(x, rate=float(rate), rng=rng)
