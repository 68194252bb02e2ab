"""tensorgrad: a small deep-learning framework on NumPy, to see and understand training.

What a program writes in plain Python runs at once and leaves a graph of primitives. That one graph is
differentiated, drawn, and run again: `tensor.backward()`, `tg.trace()`, `graph.save("step.svg")`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

# isort: off
from .tensor import Tensor  # first, since it and the primitives make each other
# isort: on

from . import ops
from .autodiff import backward, grad, value_and_grad, vjp
from .collect import graph
from .config import show_config
from .contexts import detect_anomaly, no_grad, phase, scope
from .graph import Graph
from .kernels.heap import keep_freed_memory, release_memory
from .kernels.pieces import in_pieces
from .kernels.winograd import set_winograd
from .ops import *  # noqa: F403
from .primitive import PRIMITIVES, Primitive, primitive
from .replay import ReplayError, compile
from .state import Watched, reading
from .trace import trace

__version__ = "0.1.0"
__all__ = [
    "PRIMITIVES",
    "Graph",
    "Primitive",
    "ReplayError",
    "Tensor",
    "Watched",
    "backward",
    "compile",
    "detect_anomaly",
    "grad",
    "graph",
    "in_pieces",
    "no_grad",
    "phase",
    "primitive",
    "reading",
    "release_memory",
    "scope",
    "set_winograd",
    "show_config",
    "trace",
    "value_and_grad",
    "vjp",
]
__all__ += ops.__all__

keep_freed_memory()


def __getattr__(name: str) -> ModuleType:
    """`tg.draw` and `tg.testing` are imported when they are first used."""
    if name in ("draw", "testing"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
