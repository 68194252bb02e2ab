"""The module paths that nodes and parameters are filed under."""

from __future__ import annotations

from typing import Any

from .graph import Graph
from .state import Scope


class ScopePaths:
    """Gives scopes their paths.

    A root module has no name, so its children are `conv1`, not `net.conv1`. Where several such roots were
    called, as two networks in one training step, their kinds are put before the paths to tell them apart.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._roots: list[Any] = []  # what the nameless scopes are for
        self.roots: list[Scope] = []  # these scopes, as they were entered first
        self._uses: list[tuple[Any, str, int]] = []  # an object, its attribute that holds a path, and the root
        self._kinds: dict[tuple[int, str], str] = {}

    def set(self, holder: Any, attribute: str, scope: Scope | None, name: str = "") -> None:
        """Set an attribute to the path of a scope, followed by a name in it."""
        path = [] if scope is None else [level.name for level in scope.levels() if level.name]
        setattr(holder, attribute, ".".join([*path, name] if name else path))
        if scope is None:
            return
        levels = scope.levels()
        root = -1 if levels[0].name else self._root(levels[0])
        self._uses.append((holder, attribute, root))
        names: list[str] = []
        for level in levels:
            if level.name:
                names.append(level.name)
                self._kinds.setdefault((root, ".".join(names)), level.kind)

    def _root(self, scope: Scope) -> int:
        what = scope.kind if scope.owner is None else scope.owner
        for k, root in enumerate(self._roots):
            if root is what or (isinstance(what, str) and root == what):
                return k
        self._roots.append(what)
        self.roots.append(scope)
        return len(self._roots) - 1

    def finish(self) -> None:
        """Now all roots are known: tell them apart, and write down what each path is."""
        kinds = [root if isinstance(root, str) else type(root).__name__ for root in self._roots]
        labels = [k if kinds.count(k) == 1 else f"{k}{kinds[:i].count(k) + 1}" for i, k in enumerate(kinds)]
        if len(kinds) == 1:
            labels = [""]
        labels.append("")  # for the root -1: a scope with a name of its own
        for holder, attribute, root in self._uses:
            if labels[root]:
                path = getattr(holder, attribute)
                setattr(holder, attribute, f"{labels[root]}.{path}" if path else labels[root])
        for (root, path), kind in self._kinds.items():
            label = labels[root]
            self._graph.scopes[f"{label}.{path}" if label else path] = kind
        for label, kind in zip(labels, kinds, strict=False):
            self._graph.scopes[label] = kind
        self._uses.clear()
        self._roots.clear()
        self.roots.clear()
