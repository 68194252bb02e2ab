"""Softmax cross entropy, for integer labels and for rows of class weights alike.

Both kinds of targets come down to rows q of class weights, (N, K): the loss of a sample is the sum over the classes
of -q log(softmax(logits)), and its slope is softmax(logits) sum(q) - q. A mean divides both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.sums import total
from ..kernels.underflow import harmless
from ..primitive import primitive
from ..tensor import Tensor, shape_of
from .normalization import log_softmax_, shifted, softmax_
from .reduction import sum_
from .shape import astype, unsqueeze_

REDUCTIONS = ("mean", "sum", "none")


# -- on arrays: logits (N, K), targets (N,) of integers or (N, K) of floats, weight (K,) or None -----------------------


def _flattened(logits, targets, weight):
    """A single sample as a batch of one; everything but labels in the dtype of the logits."""
    if logits.ndim == 1:
        logits = logits.reshape(1, -1)
    targets = np.asarray(targets)
    rows = targets.dtype.kind == "f"
    targets = targets.reshape(logits.shape).astype(logits.dtype) if rows else targets.reshape(len(logits))
    return logits, targets, None if weight is None else weight.astype(logits.dtype)


def _checked_labels(targets, classes, ignore_index):
    """The labels, 0 where they are to be ignored, and where that is, or None."""
    ignored = None if ignore_index is None else targets == ignore_index
    labels = targets if ignored is None else np.where(ignored, 0, targets)
    outside = (labels < 0) | (labels >= classes)
    if np.count_nonzero(outside):
        raise ValueError(
            f"cross_entropy: a label is {labels[outside][0]}, but with {classes} classes labels go from 0 to {classes - 1}; "
            "pass ignore_index if it marks samples to leave out"
        )
    return labels, ignored


def _counted(labels, ignored, weight):
    """How much each sample counts, (N,); None if each counts 1."""
    if ignored is None and weight is None:
        return None
    counts = np.ones(len(labels), np.float32) if weight is None else weight[labels]
    if ignored is not None:
        counts[ignored] = 0
    return counts


def _class_rows(logits, targets, weight, ignore_index, label_smoothing):
    """The class weights q, (N, K), and what a mean divides by: the samples, or what their labels count."""
    rows, ignored, divisor = targets, None, len(targets)
    if targets.dtype.kind != "f":
        labels, ignored = _checked_labels(targets, logits.shape[1], ignore_index)
        rows = np.zeros_like(logits)
        rows[np.arange(len(labels)), labels] = 1
        counts = _counted(labels, ignored, weight)
        divisor = divisor if counts is None else total(counts, (0,)).item()
    if label_smoothing:
        rows = rows * (1 - label_smoothing) + label_smoothing / logits.shape[1]
    if weight is not None:
        rows = rows * weight
    if ignored is not None:
        rows[ignored] = 0
    return rows, divisor


# -- primitives ----------------------------------------------------------------------------------------------------------


@primitive(flops=lambda out_shape, logits_shape, *others: 7 * math.prod(logits_shape))
@harmless
def cross_entropy_(logits, targets, weight=None, *, ignore_index=None, label_smoothing=0.0, reduction="mean"):
    """(N, K), (N,) of integers or (N, K) of floats, (K,) -> () or, without reduction, (N,)."""
    batch_shape = logits.shape[:-1]
    logits, targets, weight = _flattened(logits, targets, weight)
    z = shifted(logits, 1)
    normalizer = np.log(total(np.exp(z), (1,)))  # (N,)
    if targets.dtype.kind == "f" or label_smoothing:
        rows, divisor = _class_rows(logits, targets, weight, ignore_index, label_smoothing)
        counted = np.not_equal(rows, 0)  # a class without weight costs nothing, even where its likelihood is 0
        costs = np.multiply(rows, normalizer[:, None] - z, where=counted, out=np.zeros_like(rows))
        losses = total(costs, (1,))
    else:  # without rows: only the label's class costs anything
        labels, ignored = _checked_labels(targets, logits.shape[1], ignore_index)
        losses = normalizer - z[np.arange(len(labels)), labels]
        counts, divisor = _counted(labels, ignored, weight), len(labels)
        if counts is not None:
            losses = np.multiply(losses, counts, where=counts != 0, out=np.zeros_like(losses))
            divisor = total(counts, (0,)).item()
    if reduction == "none":
        return losses.reshape(batch_shape)
    loss = total(losses, (0,))
    if reduction != "mean":
        return loss
    return np.divide(loss, divisor) if divisor else np.full_like(loss, np.nan)


@primitive(flops=lambda out_shape, *others: 7 * math.prod(out_shape))
@harmless
def cross_entropy_slope(y, logits, targets, weight=None, *, ignore_index=None, label_smoothing=0.0, reduction="mean"):
    """The cotangent (N, K) of the logits that belongs to a cotangent y of the loss or losses."""
    shape = logits.shape
    logits, targets, weight = _flattened(logits, targets, weight)
    slope = softmax_.kernel(logits, axis=1)
    if targets.dtype.kind == "f" or label_smoothing:
        rows, divisor = _class_rows(logits, targets, weight, ignore_index, label_smoothing)
        slope *= total(rows, (1,), keepdims=True)
        slope -= rows
    else:
        labels, ignored = _checked_labels(targets, logits.shape[1], ignore_index)
        slope[np.arange(len(labels)), labels] -= 1
        counts, divisor = _counted(labels, ignored, weight), len(labels)
        if counts is not None:
            slope *= counts[:, None]
            divisor = total(counts, (0,)).item()
    if reduction != "mean":
        slope *= np.reshape(y, (-1, 1))
    elif divisor:
        slope *= np.divide(y, divisor)
    else:  # no sample counts: the mean is nan, and moves nothing
        slope[...] = 0
    return slope.reshape(shape)


@primitive
def class_rows(logits, targets, weight=None, *, ignore_index=None, label_smoothing=0.0, reduction="mean"):
    """The class weights (N, K) with the factor of a mean in them; of the logits only shape and dtype count."""
    shape = logits.shape
    logits, targets, weight = _flattened(logits, targets, weight)
    rows, divisor = _class_rows(logits, targets, weight, ignore_index, label_smoothing)
    rows = np.divide(rows, (divisor or 1) if reduction == "mean" else 1)
    return rows.reshape(shape)


# -- rules: y is a cotangent of the losses, g one of the output ----------------------------------------------------------


def _per_sample(y, reduction):
    """A cotangent of the losses, so that it can be multiplied with (N, K)."""
    return unsqueeze_(y, axis=(y.ndim,)) if reduction == "none" else y


def _scaled_weight(logits, weight, label_smoothing, reduction):
    """The derivative of the class weights q with respect to targets given as rows."""
    scale = (1 - label_smoothing) / (math.prod(logits.shape[:-1]) if reduction == "mean" else 1)
    return scale if weight is None else weight * scale


def _losses_cotangent(g, y_shape, logits, targets, weight, reduction, **settings):
    slope = cross_entropy_slope(1.0, logits, targets, weight, reduction=reduction, **settings)
    return sum_(g * slope, axis=(g.ndim - 1,) if reduction == "none" else tuple(range(g.ndim)))


def _softmax_pulled_back(g, logits):
    probabilities = softmax_(logits, axis=logits.ndim - 1)
    return probabilities, g - sum_(g * probabilities, axis=(g.ndim - 1,), keepdims=True)


def _logits_cotangent_of_slope(g, y, logits, targets, weight, reduction, **settings):
    probabilities, centred = _softmax_pulled_back(g, logits)
    rows = class_rows(logits, targets, weight, reduction=reduction, **settings)
    return _per_sample(y, reduction) * sum_(rows, axis=(g.ndim - 1,), keepdims=True) * probabilities * centred


def _targets_cotangent_of_slope(g, y, logits, weight, reduction, label_smoothing):
    _, centred = _softmax_pulled_back(g, logits)
    return -(_per_sample(y, reduction) * centred) * _scaled_weight(logits, weight, label_smoothing, reduction)


def _targets_cotangent(g, logits, weight, reduction, label_smoothing):
    losses = -log_softmax_(logits, axis=logits.ndim - 1)
    return _per_sample(g, reduction) * losses * _scaled_weight(logits, weight, label_smoothing, reduction)


cross_entropy_.vjp(
    logits=lambda g, logits, targets, weight, **settings: cross_entropy_slope(g, logits, targets, weight, **settings),
    targets=_targets_cotangent,
    weight=None,
)
cross_entropy_slope.vjp(
    y=_losses_cotangent, logits=_logits_cotangent_of_slope, targets=_targets_cotangent_of_slope, weight=None
)
class_rows.vjp(
    logits=None,
    weight=None,
    targets=lambda g, logits, weight, reduction, label_smoothing: (
        g * _scaled_weight(logits, weight, label_smoothing, reduction)
    ),
)


# -- the public function -------------------------------------------------------------------------------------------------


def cross_entropy(
    logits: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    *,
    weight: ArrayLike | Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of targets under softmax(logits): finite, and with finite slopes, for any finite logits.

    Args:
        logits: (N, K) floats, the scores of K classes for N samples; or (K,), a single sample.
        targets: integer labels (N,), or one label for a single sample; or rows (N, K), one-hot or any class weights,
            which need not sum to 1, and which have a gradient if they require one.
        weight: (K,), how much each class counts, in the loss of a sample and, for labels, in the mean. Has no gradient.
        ignore_index: samples with this label count nothing; for labels only.
        label_smoothing: this part of each target, from 0 to 1, is spread evenly over all classes (Szegedy et al., 2016).
        reduction: "mean" over the samples (for labels the weighted mean; nan, with a gradient of 0, when none counts), "sum",
            or "none".

    Returns:
        A single loss, or for "none" one for each sample, in the dtype of the logits.

    Raises:
        ValueError: shapes do not fit, a label is out of range, or a setting is.
        TypeError: logits are not floats, or labels not integers.

    >>> import tensorgrad as tg
    >>> logits = tg.Tensor([[1000.0, 0.0], [0.0, 0.0]], requires_grad=True)
    >>> tg.cross_entropy(logits, [1, 0], reduction="sum").backward()
    >>> logits.grad
    Tensor([[ 1. , -1. ],
            [-0.5,  0.5]], dtype=float32)
    """
    logits = logits if isinstance(logits, Tensor) else Tensor(logits)
    targets = targets if isinstance(targets, Tensor) else Tensor(targets)
    _refuse_bad_logits(logits)
    _refuse_bad_settings(logits, weight, label_smoothing, reduction)
    if targets.shape == logits.shape:
        if ignore_index is not None:
            raise ValueError("cross_entropy: ignore_index goes with integer labels; for rows of class weights set rows to 0")
        targets = targets if targets.dtype.kind == "f" else astype(targets, logits.dtype)
    elif targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"cross_entropy: targets of shape {targets.shape} do not fit logits of shape {logits.shape}; "
            f"give integer labels of shape {logits.shape[:-1]} or rows of class weights of shape {logits.shape}"
        )
    elif targets.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be integers, not {targets.dtype}; convert them, e.g. with astype(int)")
    settings = {"ignore_index": ignore_index, "label_smoothing": float(label_smoothing), "reduction": reduction}
    return cross_entropy_(logits, targets, weight, **settings)


def _refuse_bad_logits(logits: Tensor) -> None:
    if logits.ndim not in (1, 2) or not logits.shape[-1]:
        raise ValueError(
            f"cross_entropy: logits must have the shape (samples, classes), or (classes,) for one sample, not {logits.shape}; "
            "reshape them, with the classes last"
        )
    if logits.dtype.kind != "f":
        raise TypeError(f"cross_entropy: logits must be floats, not {logits.dtype}; convert them with astype(np.float32)")


def _refuse_bad_settings(logits: Tensor, weight: ArrayLike | Tensor | None, label_smoothing: float, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"cross_entropy: reduction must be one of {', '.join(map(repr, REDUCTIONS))}, not {reduction!r}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is a part from 0 to 1, and is {label_smoothing}")
    if weight is not None and shape_of(weight) != logits.shape[-1:]:
        raise ValueError(
            f"cross_entropy: weight has shape {shape_of(weight)}; it must have one element for each of the "
            f"{logits.shape[-1]} classes"
        )
