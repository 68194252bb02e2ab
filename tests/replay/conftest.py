"""Small thresholds, so that small arrays are fused, cut and shared out among threads too."""

from __future__ import annotations

import pytest

from tensorgrad.kernels import fused_convolution
from tensorgrad.replay import work


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(work, "WORTHWHILE", 4)
    monkeypatch.setattr(work, "PIECE", 8)
    monkeypatch.setattr(work, "LARGE_PRODUCT", 8)
    monkeypatch.setattr(fused_convolution, "TILE_BYTES", 1 << 10)
    monkeypatch.setattr(fused_convolution, "TILE_COLUMNS", 8)
