"""The module paths that nodes and parameters are filed under."""

from __future__ import annotations

from typing import Any

from .graph import Graph
from .state import Scope


class ScopePaths:
    """Gives scopes their paths.

    A root module has no name, so its children are `conv1`, not `net.conv1`. Where several such roots were
    called, as two networks in one training step, their kinds are put before the paths to tell them apart.
    So nothing is worked out before all are known.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._uses: list[tuple[Any, str, Scope | None, str]] = []

    def set(self, holder: Any, attribute: str, scope: Scope | None, name: str = "") -> None:
        """Set an attribute to the path of a scope, followed by a name in it, when `finish` is called."""
        self._uses.append((holder, attribute, scope, name))

    def roots(self) -> list[Scope]:
        """The nameless scopes around everything that was set, as they were entered first."""
        return _roots(self._levels())

    def _levels(self) -> dict[int, list[Scope]]:
        """Each scope that something was set to, by its id: its levels."""
        found: dict[int, list[Scope]] = {}
        for _, _, scope, _ in self._uses:
            if scope is not None and id(scope) not in found:
                found[id(scope)] = scope.levels()
        return found

    def finish(self) -> None:
        """Now all roots are known: tell them apart, set the paths, and write down what each of them is."""
        levels_of = self._levels()
        roots = [_what(scope) for scope in _roots(levels_of)]
        kinds = [root if isinstance(root, str) else type(root).__name__ for root in roots]
        labels = [k if kinds.count(k) == 1 else f"{k}{kinds[:i].count(k) + 1}" for i, k in enumerate(kinds)]
        if len(kinds) == 1:
            labels = [""]
        paths = {id(None): ""}
        for key, levels in levels_of.items():
            path = "" if levels[0].name else labels[_place(levels[0], roots)]
            for level in levels:
                if level.name:
                    path = f"{path}.{level.name}" if path else level.name
                    self._graph.scopes.setdefault(path, level.kind)
            paths[key] = path
        self._graph.scopes |= zip(labels, kinds, strict=True)
        for holder, attribute, scope, name in self._uses:
            path = paths[id(scope)]
            setattr(holder, attribute, f"{path}.{name}" if path and name else path or name)
        self._uses.clear()


def _roots(levels_of: dict[int, list[Scope]]) -> list[Scope]:
    found: list[Scope] = []
    known: list[Any] = []
    for levels in levels_of.values():
        if not levels[0].name and _place(levels[0], known) is None:
            found.append(levels[0])
            known.append(_what(levels[0]))
    return found


def _what(scope: Scope) -> Any:
    """What a nameless scope is for: its owner, or all that is of its kind."""
    return scope.kind if scope.owner is None else scope.owner


def _place(scope: Scope, roots: list[Any]) -> int | None:
    what = _what(scope)
    same = (k for k, root in enumerate(roots) if root is what or (isinstance(what, str) and root == what))
    return next(same, None)
