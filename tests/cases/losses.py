"""Rows of cross entropy and what its derivatives are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from .table import Call, Row, arrays, generators, normal, optional_torch, positive

torch = optional_torch()


@st.composite
def classifications(draw: Any, slope: bool = False) -> Call:
    """Logits of several samples or of one; labels, some of them ignored, or rows of weights; all settings."""
    classes, reduction = draw(st.integers(1, 4)), draw(st.sampled_from(["mean", "sum", "none"]))
    batch = draw(st.sampled_from([(3,), (1,), (), (5,), *([(0,)] if reduction != "mean" else [])]))
    logits = draw(arrays((*batch, classes), normal))
    settings = {"label_smoothing": draw(st.sampled_from([0.0, 0.1])), "reduction": reduction, "ignore_index": None}
    if draw(st.booleans()):
        targets = draw(arrays((*batch, classes), positive))
    else:
        targets = np.asarray(draw(generators).integers(0, classes, batch))
        settings["ignore_index"] = draw(st.sampled_from([None, -1, -100]))
        if settings["ignore_index"] is not None and targets.size > 1:
            targets[0] = settings["ignore_index"]
    weight = draw(arrays((classes,), positive)) if draw(st.booleans()) else None
    if not slope:
        return Call((logits, targets, weight), settings)
    return Call((draw(arrays(batch if reduction == "none" else ())), logits, targets, weight), settings)


def cross_entropy(logits: Any, targets: Any, weight: Any, ignore_index: int | None, **settings: Any) -> Any:
    ignored = {} if ignore_index is None else {"ignore_index": ignore_index}
    return torch.nn.functional.cross_entropy(logits, targets, weight, **ignored, **settings)


def slope(y: Any, logits: Any, targets: Any, weight: Any, **settings: Any) -> Any:
    loss = cross_entropy(logits, targets, weight, **settings)
    return torch.autograd.grad(loss, logits, y, create_graph=True)[0]


ROWS = [
    Row("cross_entropy", classifications(), cross_entropy, constant=("weight",)),
    Row("cross_entropy_slope", classifications(slope=True), slope, constant=("weight",)),
    Row("class_rows", classifications(), linear=True, constant=("logits", "weight")),
]
