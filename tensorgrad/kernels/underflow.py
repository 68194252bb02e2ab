"""Underflow: numbers too small for their dtype become 0, and are meant to."""

from __future__ import annotations

import numpy as np

harmless = np.errstate(under="ignore")
"""Decorates kernels in which numbers vanish by design, as exp(x - max(x)) in a softmax: no error, whatever `np.seterr` says."""
