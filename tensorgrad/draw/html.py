"""A picture as one HTML file: it shows itself in any browser, with no layout engine and nothing from the network.

The page is put together from the files in `page/`: its frame, and a few style sheets and scripts of one idea each.
Lanes are the columns and rungs the rows of a grid, so nothing needs to be laid out beforehand; the picture stands in the
page as data, and the scripts draw as much of it as is open. A content security policy that names the script's hash lets
no other script run and loads nothing, whatever the names in a graph are.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from . import text
from .heading import facts
from .picture import Array, Back, Band, Edge, Input, Loss, Mark, Op, Param, Picture, Row, Saved, Sums, Update

ASSETS = Path(__file__).parent / "page"
SCRIPTS = (
    "text", "picture", "measure", "cards", "strips", "tree", "rails", "arrows", "selection", "search", "panel", "view", "map",
    "keyboard", "main",
)  # fmt: skip
STYLES = ("colours", "page", "cards", "arrows", "bands", "print")
KEYS = (
    ("↑ ↓", "rung to rung"),
    ("← →", "card to card; on a band close, open"),
    ("Enter", "keep an op, open or close a band"),
    ("/", "search; <kbd>n</kbd> <kbd>N</kbd> next, previous"),
    ("t m f", "colour by time, memory, FLOPs"),
    ("[ ]", "close all, open all"),
    ("+ - 0", "zoom, fit (or Ctrl and wheel)"),
    ("c d p", "compact, dark, this panel"),
    ("Esc", "let go"),
)
OUTLINE_ROWS = 100


def page(picture: Picture) -> str:
    """The whole page as text. The same picture gives the same bytes."""
    script = _script()
    parts = {
        "title": html.escape(picture.title or "graph"),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": "\n".join(_asset(f"{name}.css") for name in STYLES),
        "facts": html.escape(" · ".join(facts(picture))),
        "notes": "".join(f'<p class="note">{html.escape(note)}</p>' for note in picture.notes),
        "keys": "".join(f"<div>{' '.join(f'<kbd>{key}</kbd>' for key in keys.split())} {what}</div>" for keys, what in KEYS),
        "outline": outline(picture),
        "picture": embedded({"defaults": defaults(), **picture.to_dict()}),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))


def embedded(data: Any) -> str:
    """JSON that can't leave the element it stands in: what HTML might read as markup becomes an escape of JSON's own."""
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", written)


def defaults() -> dict[str, dict[str, Any]]:
    """What the fields hold that `Picture.to_dict` leaves out, by kind, for the scripts to fill in."""
    kinds = {
        kind.__name__.lower(): kind for kind in (Band, Op, Input, Loss, Sums, Array, Edge, Param, Saved, Back, Update, Mark)
    }
    return {"sum" if name == "sums" else name: _defaults(kind) for name, kind in kinds.items()}


def _defaults(kind: type) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            found[field.name] = field.default
    return {name: value for name, value in found.items() if not isinstance(value, Sums)}


def outline(picture: Picture) -> str:
    """The outermost rows as a table, for readers who can't see the picture or whose browser runs no script."""
    outermost = [row for row in picture.rows if row.band < 0]
    lines = [
        f"<tr><th>{html.escape(_called(row))}</th><td>{html.escape(_told(row.sum))}</td></tr>"
        for row in outermost[:OUTLINE_ROWS]
    ]
    if len(outermost) > OUTLINE_ROWS:
        lines.append(f"<tr><td>and {len(outermost) - OUTLINE_ROWS:,} more</td></tr>")
    return f"<table><caption>From top to bottom</caption>{''.join(lines)}</table>"


def _called(row: Row) -> str:
    times = f" ×{row.times}" if row.times > 1 else ""
    match row:
        case Band():
            return f"{row.name}{f': {row.module}' if row.module else ''}{times}"
        case Op():
            return f"{row.op}{times}"
        case Input():
            return f"{row.role} {row.name}"
        case Loss():
            return row.name
    return row.id


def _told(sums: Sums) -> str:
    parts = [f"{sums.ops:,} op{'s' if sums.ops != 1 else ''}"] if sums.ops else []
    if sums.parameters:
        parts.append(f"{sums.parameters:,} parameters")
    if sums.ms:
        parts.append(text.ms(sums.all_ms))
    if sums.saved_bytes:
        parts.append(f"saves {text.size(sums.saved_bytes)}")
    return ", ".join(parts)


def _script() -> str:
    """All scripts as one function, so that their names meet no others."""
    return "(() => {\n'use strict';\n\n" + "\n".join(_asset(f"{name}.js") for name in SCRIPTS) + "})();\n"


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")
