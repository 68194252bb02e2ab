"""Losses, and the accuracy of a classifier."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

import tensorgrad as tg

cross_entropy = tg.cross_entropy


def mse_loss(prediction: tg.Tensor | ArrayLike, target: tg.Tensor | ArrayLike, reduction: str = "mean") -> tg.Tensor:
    """The squared error (prediction - target)^2.

    Args:
        prediction: a tensor of any shape.
        target: of the same shape; what is no tensor is converted to the prediction's dtype. Integers become floats.
        reduction: "mean" over all elements, their "sum", or "none" for the errors of all elements.

    Raises:
        ValueError: the shapes differ (they do not broadcast here: (N, 1) against (N,) is a common mistake), or
            `reduction` is none of these.

    >>> prediction, target = tg.Tensor([1.0, 2.0, 5.0]), [1.0, 1.0, 3.0]
    >>> mse_loss(prediction, target).item()
    1.6666666269302368
    >>> mse_loss(prediction, target, reduction="none")
    Tensor([0., 1., 4.], dtype=float32)

    The loss of the textbooks, half the sum of squares, is half of "sum":

    >>> 0.5 * mse_loss(prediction, target, reduction="sum")
    Tensor(2.5, dtype=float32)
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"mse_loss: reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
    prediction = prediction if isinstance(prediction, tg.Tensor) else tg.Tensor(prediction)
    if not isinstance(target, tg.Tensor):
        target = tg.Tensor(target, dtype=prediction.dtype if prediction.dtype.kind == "f" else None)
    if prediction.shape != target.shape:
        raise ValueError(
            f"mse_loss: the prediction has shape {prediction.shape} and the target {target.shape}; "
            "they must agree, so reshape one of them"
        )
    error = _in_floats(prediction) - _in_floats(target)
    squares = error * error
    return squares if reduction == "none" else getattr(tg, reduction)(squares)


def _in_floats(x: tg.Tensor) -> tg.Tensor:
    """Integers as floats, in which differences do not wrap around as those of uint8 images do."""
    return x if x.dtype.kind == "f" else tg.astype(x, np.result_type(x.dtype, np.float32))


def accuracy(logits: tg.Tensor | ArrayLike, labels: tg.Tensor | ArrayLike) -> float:
    """The share of samples whose largest logit is that of their label; of equal logits the first counts.

    Args:
        logits: (N, K), or (K,) for a single sample; anything that grows with the probability will do.
        labels: integers (N,), or one-hot rows (N, K).

    Raises:
        ValueError: the shapes do not fit each other, or there are no samples.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 0, 0])
    0.6666666666666666
    """
    scores = logits.data if isinstance(logits, tg.Tensor) else np.asarray(logits)
    truth = labels.data if isinstance(labels, tg.Tensor) else np.asarray(labels)
    if not scores.ndim or not scores.size:
        raise ValueError(f"accuracy: needs the logits of at least one sample, and their shape is {scores.shape}")
    if truth.shape == scores.shape:
        truth = truth.argmax(-1)
    elif truth.shape != scores.shape[:-1] or truth.dtype.kind not in "iu":
        raise ValueError(
            f"accuracy: logits {scores.shape} need integer labels {scores.shape[:-1]} or one-hot rows {scores.shape}, "
            f"not {truth.dtype} {truth.shape}"
        )
    return float(np.mean(scores.argmax(-1) == truth))
