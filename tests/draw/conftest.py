"""Graphs to draw, and the layout engines that this machine has."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.draw import engines

ENGINES = ("dot", "graphviz-pure", "pygraphviz")
GALLERY = Path(__file__).parents[2] / "examples" / "gallery.py"


@pytest.fixture(scope="session")
def gallery():
    """The module examples/gallery.py."""
    spec = importlib.util.spec_from_file_location("gallery_under_test", GALLERY)
    module = importlib.util.module_from_spec(spec)
    before = dict(tg.PRIMITIVES)
    spec.loader.exec_module(module)
    tg.PRIMITIVES.clear()
    tg.PRIMITIVES.update(before)
    return module


@pytest.fixture(scope="session")
def graphs(gallery):
    """The graph of each picture in the gallery, with the options that it is drawn with."""
    return {name: (draw(), options) for name, (draw, options) in gallery.PICTURES.items()}


@pytest.fixture
def cnn(graphs) -> tg.Graph:
    """One training step of the MNIST CNN, with times."""
    return graphs["mnist_cnn"][0]


@pytest.fixture
def small() -> tg.Graph:
    """A step of two ops in two modules, and an update, without times."""
    x = tg.Tensor(np.ones((2, 3), np.float32))
    x.name = "x"
    w = tg.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    w.name = "w"
    with tg.trace("small") as graph:
        with tg.scope("net", "Net"), tg.scope("scale", "Scale"):
            y = w * x
        y.sum().backward()
        with tg.no_grad(), tg.phase("update"):
            tg.assign(w, w - 0.5 * w.grad)
    return graph


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    """The name of each layout engine; what is not installed is skipped."""
    if request.param not in [found.name for found in engines.available()]:
        pytest.skip(f"the layout engine {request.param} is not installed")
    return request.param


@pytest.fixture
def any_engine() -> str:
    """The first engine that there is."""
    found = engines.available()
    if not found:
        pytest.skip("no layout engine is installed")
    return found[0].name
