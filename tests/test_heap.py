"""Memory of freed arrays is kept for new ones, within bounds, and can be handed back."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")

FAULTS = """
import resource
import numpy as np
import tensorgrad as tg

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.full(1 << 18, 1.0, np.float64) for _ in range(4)]  # 2 MB each, in all 2048 pages of 4 kB
    del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(sum(faults() for _ in range(4)))
tg.release_memory()
print(faults())
"""


def page_faults(**environment):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "TENSORGRAD_"))}
    inherited["NUMPY_MADVISE_HUGEPAGE"] = "0"  # whether pages are large depends on the machine
    command = [sys.executable, "-c", FAULTS]
    out = subprocess.run(command, capture_output=True, text=True, env=inherited | environment, check=True).stdout
    return [int(line) for line in out.split()]


def test_freed_memory_is_used_again_until_it_is_released():
    again, released = page_faults()
    assert again < 100
    assert released > 1000


def test_the_environment_switches_it_off():
    again, _ = page_faults(TENSORGRAD_KEEP_MEMORY="0")
    assert again > 4000
