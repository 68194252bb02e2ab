"""Which bands of a picture are closed: by depth, by name, or until it is small enough."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase

from .picture import Band, Collapse, Picture


def close(picture: Picture, depth: int | None, collapse: Collapse, limit: int | None) -> None:
    """Set `closed` on the bands of a picture; see `build`."""
    levels = levels_of(picture)
    _refuse_unknown(picture, levels, collapse)
    close_below(picture, levels, depth)
    for index, row in enumerate(picture.rows):
        if isinstance(row, Band) and index in levels and _named(row.path, collapse):
            row.closed = True
    if limit is None or depth is not None:
        return
    for level in range(max(levels.values(), default=-1), -1, -1):
        if sum(1 for _ in picture.visible()) <= limit:
            return
        close_below(picture, levels, level)
        note = f"{picture.total.ops:,} rungs: modules are closed from level {level} on; depth= and collapse= choose otherwise"
        picture.notes = [n for n in picture.notes if "modules are closed from level" not in n] + [note]


def levels_of(picture: Picture) -> dict[int, int]:
    """How deep each band stands, by its index: 0 for the outermost."""
    levels: dict[int, int] = {}
    for index, row in enumerate(picture.rows):
        if isinstance(row, Band):
            levels[index] = levels.get(row.band, -1) + 1
    return levels


def close_below(picture: Picture, levels: dict[int, int], depth: int | None) -> None:
    """Close the bands at this level and below it."""
    if depth is None:
        return
    if depth < 0:
        raise ValueError(f"depth must be 0 or more, or None to open all modules, and is {depth}")
    for index, level in levels.items():
        if level >= depth:
            picture.rows[index].closed = True


def open_levels(picture: Picture) -> int:
    """How many levels of bands are to be seen open: what `depth` says at most."""
    levels = levels_of(picture)
    shown = {id(row) for row in picture.visible()}
    open_bands = [lv for i, lv in levels.items() if id(picture.rows[i]) in shown and not picture.rows[i].closed]
    return max(open_bands, default=-1) + 1


def _refuse_unknown(picture: Picture, levels: dict[int, int], collapse: Collapse) -> None:
    """A path that is no module's, and a pattern that matches none, closes nothing: most likely it is misspelt."""
    if collapse is None or callable(collapse):
        return
    paths = list(dict.fromkeys(picture.rows[index].path for index in levels))
    for name in [collapse] if isinstance(collapse, str) else collapse:
        if not any(path == name or fnmatchcase(path, name) for path in paths):
            near = get_close_matches(name, paths, 3) or [path for path in paths if path][:3]
            known = f"; did you mean {' or '.join(map(repr, near))}?" if near else ", which has no modules"
            raise ValueError(f"collapse: {name!r} is no module of this graph{known}")


def _named(path: str, collapse: Collapse) -> bool:
    if collapse is None:
        return False
    if callable(collapse):
        return bool(collapse(path))
    names = [collapse] if isinstance(collapse, str) else collapse
    return any(path == name or fnmatchcase(path, name) for name in names)
