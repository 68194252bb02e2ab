"""Settings and fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

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


@pytest.fixture
def environment():
    """That of these tests, for an example that runs as a program of its own, on one thread, whatever is installed or not."""
    paths = [str(Path(tg.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error",
        "OPENBLAS_NUM_THREADS": "1",
    }
