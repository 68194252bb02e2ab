"""Doctests, the README's among them, leave nothing behind: no files in the tree, and no primitives in the registry."""

from collections.abc import Iterator

import pytest

import tensorgrad as tg


@pytest.fixture(autouse=True)
def leaving_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    primitives = dict(tg.PRIMITIVES)
    request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
    yield
    tg.PRIMITIVES.clear()
    tg.PRIMITIVES.update(primitives)
