"""What show_config tells."""

import os
import subprocess
import sys

import pytest

from tensorgrad.config import processor_vectors, slower_vectors


@pytest.mark.parametrize(
    ("core", "processor", "expected"),
    [
        ("SkylakeX", "AVX-512", None),
        ("Haswell", "AVX-512", "AVX2"),
        ("Sandybridge", "AVX2", "AVX"),
        ("Nehalem", "AVX2", "SSE"),
        ("Zen", "AVX2", None),
        ("neoversen1", None, None),
    ],
)
def test_a_core_type_below_the_processor_is_recognised(core, processor, expected):
    assert slower_vectors(core, processor) == expected


def test_versions_blas_and_environment_are_told():
    pytest.importorskip("threadpoolctl")
    environment = os.environ | {"OPENBLAS_CORETYPE": "Sandybridge"}
    command = [sys.executable, "-c", "import tensorgrad as tg; tg.show_config()"]
    out = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert "tensorgrad" in out and "NumPy" in out and "layout" in out and "OPENBLAS_CORETYPE=Sandybridge" in out
    if "openblas" in out and processor_vectors() in ("AVX2", "AVX-512"):
        assert "warning: this core type uses AVX" in out
