"""Settings and fixtures for all tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tensorgrad as tg

settings.register_profile("same every time", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same every time")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def registry():
    """The registry of primitives; what a test registers is gone after it, so that the table of cases stays exact."""
    before = dict(tg.PRIMITIVES)
    yield tg.PRIMITIVES
    tg.PRIMITIVES.clear()
    tg.PRIMITIVES.update(before)
