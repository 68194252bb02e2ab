"""What computes here: versions, the BLAS library with its core type and threads, and how tensors lie in memory."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from typing import Any

import numpy as np

VECTORS = {
    "AVX-512": ("skylakex", "cooperlake", "sapphirerapids"),
    "AVX2": ("haswell", "zen", "excavator"),
    "AVX": ("sandybridge", "bulldozer", "piledriver", "steamroller"),
}
"""The widest vectors that OpenBLAS's kernels for an x86-64 core type use, widest first."""

FEATURES = {"AVX-512": "AVX512_SKX", "AVX2": "AVX2", "AVX": "AVX"}
"""What NumPy calls a processor's ability to use them."""


def show_config() -> None:
    """Print what a bug report or a benchmark should say: versions, BLAS and its threads, and a warning where it runs
    below its best.

    OpenBLAS has kernels for each type of processor core. With those for a lesser type, which the environment
    variable OPENBLAS_CORETYPE may pin, a matrix product can take twice the time.
    """
    print(f"tensorgrad {sys.modules[__package__].__version__}, NumPy {np.__version__}, Python {platform.python_version()}")
    name = processor_name()
    print(f"processor: {name}, {os.cpu_count()} cores, widest vectors {processor_vectors() or 'unknown'}")
    for library in blas_libraries():
        core = library.get("architecture", "unknown")
        print(f"BLAS: {library['internal_api']} {library['version']}, core type {core}, {library['num_threads']} threads")
        slower = slower_vectors(core, processor_vectors())
        if slower:
            pinned = os.environ.get("OPENBLAS_CORETYPE")
            cause = f"the environment pins it: OPENBLAS_CORETYPE={pinned}; unset it" if pinned else "update NumPy"
            print(
                f"  warning: this core type uses {slower}, and the processor has {processor_vectors()}: "
                f"products are slower; {cause}"
            )
    for name in sorted(os.environ):
        if name.startswith("OPENBLAS_"):
            print(f"environment: {name}={os.environ[name]}")
    print("layout: images (N, C, H, W), stored with the batch innermost, (C, H, W, N)")


def processor_name() -> str:
    """The model, as Linux tells it, and the architecture."""
    model = ""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in file)}
        model = ", ".join(filter(None, [known.get("model name"), _family(known)]))
    return " ".join(filter(None, [model or platform.processor(), f"({platform.machine()})"]))


def _family(known: dict[str, str]) -> str:
    """Cloud machines hide the model's name; family and model number tell the generation."""
    return f"family {known['cpu family']} model {known['model']}" if {"cpu family", "model"} <= known.keys() else ""


def blas_libraries() -> list[dict[str, Any]]:
    """What threadpoolctl tells of the BLAS libraries loaded."""
    import threadpoolctl

    return [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def processor_vectors() -> str | None:
    """The widest vectors of an x86-64 processor, as NumPy found them; None for others."""
    from numpy._core._multiarray_umath import __cpu_features__ as features

    return next((name for name, feature in FEATURES.items() if features.get(feature)), None)


def slower_vectors(core: str, processor: str | None) -> str | None:
    """The vectors that a core type's kernels use, if the processor has wider ones."""
    order = list(VECTORS)
    if processor is None or core == "unknown":
        return None
    used = next((name for name, cores in VECTORS.items() if core.lower() in cores), "SSE")
    return used if used == "SSE" or order.index(used) > order.index(processor) else None
