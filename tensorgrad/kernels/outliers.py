"""Where Winograd's method would lose digits: tiles with a number far beyond the others, which the maps mix into all outputs.

A tile's outputs are differences of sums over all of its inputs, so their rounding error is that of the largest input, also for
outputs that do not see it: one pixel of 1e5 among ones leaves 1e-2 everywhere in its tile, and infinity leaves nan. Pieces of
work look at what they have made, while it is in cache, and are computed again by plain products where something is that large.
"""

from __future__ import annotations

import numpy as np

FAR = 50.0
"""How many times larger than usual for its image an output may be: then the error of its neighbours is about 1e-4 of theirs."""


class Usual:
    """How large the outputs of a convolution may be, for each image: measured at the beginning of each run.

    Args:
        images: (C, H, W, N), any layout.
        weights: (F, C, KH, KW).
    """

    def __init__(self, images: np.ndarray, weights: np.ndarray) -> None:
        height, width = images.shape[1:3]
        self._sample = images[:, :: max(1, height // 8), :: max(1, width // 8)]  # some hundred numbers for each channel
        self._weights = weights
        self.limit = np.empty(images.shape[3], images.dtype)
        self._least = -1.0

    def measure(self) -> None:
        with np.errstate(all="ignore"):
            mean = np.abs(self._sample).mean((0, 1, 2))
            norm = np.sqrt(np.einsum("fcij,fcij->f", self._weights, self._weights).max())
            np.multiply(mean, FAR * norm, out=self.limit)
            self._least = self.limit.min() if np.isfinite(self.limit).all() else -1.0

    def exceeded(self, values: np.ndarray) -> bool:
        """Whether any of the values (..., N), contiguous, is larger than usual, or not finite."""
        flat = values.reshape(-1)
        with np.errstate(all="ignore"):
            if flat.max() <= self._least and flat.min() >= -self._least:  # five times as fast as image by image
                return False
            rows = values.reshape(-1, values.shape[-1])
            highest, lowest = np.maximum.reduce(rows), np.minimum.reduce(rows)
            return not ((highest <= self.limit) & (lowest >= -self.limit) & np.isfinite(self.limit)).all()
