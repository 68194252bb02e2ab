"""Drawing: a Graph becomes a picture model, and that a file.

    step.save("step.svg")                 # .png .pdf .dot .json .html
    step.save("step.html", depth=1)
    step.to_graphviz(layout="dag").source

`picture.build` decides what is to be seen; `ladder` and `dag` lay it out as a `graphviz.Digraph`, which a
layout engine draws (`engines`); `html` writes a page that needs none.
"""

from __future__ import annotations

import html as _html
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import replacing
from . import closing, engines
from .engines import EngineError, EngineTimeoutError
from .picture import Collapse, Picture, build

if TYPE_CHECKING:
    import graphviz

    from ..graph import Graph

__all__ = [
    "EngineError",
    "EngineTimeoutError",
    "Picture",
    "build",
    "choose_layout",
    "mimebundle",
    "save",
    "to_graphviz",
    "write",
]

LAYOUTS = ("ladder", "dag")
SUFFIXES = (".svg", ".png", ".pdf", ".dot", ".json", ".html")
MOST_ROWS = {"ladder": 600, "dag": 200}  # more than these are closed into their modules, unless `depth` says otherwise
MOST_ROWS_OF_A_BITMAP = 200


def save(
    graph: Graph,
    path: str | Path,
    *,
    layout: str | None = None,
    depth: int | None = None,
    collapse: Collapse = None,
    fold: bool = False,
    engine: str | None = None,
    timeout: float = 30.0,
) -> Path:
    """Draw a graph into a file, of the kind that its suffix says. Whatever happens, no half a file is left.

    Args:
        graph: what ran.
        path: ends in .svg, .png, .pdf, .dot, .html (a page to explore, for which no engine is needed) or .json (the
            graph itself, for `Graph.from_json`).
        layout: "ladder" (a training step, in lanes) or "dag" (one node for each op); by default what suits the graph.
        depth: how many levels of modules are open: 0 draws one rung for each outermost module; None opens all, unless that
            would be too many.
        collapse: paths of modules to close, with * for any part ("blocks.*"), or a function that is told a path and says
            whether to.
        fold: draw repeated blocks once, with ×N.
        engine: which layout engine to use, see `engines.render`.
        timeout: seconds for the engine. When they are over, modules are closed, one level after another, and the caption
            says so.

    Returns:
        the path.

    Raises:
        ValueError: a suffix or layout that there is not.
        EngineError: no engine could draw it; the DOT is saved beside.
    """
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"save: no picture can be written as {suffix or 'a file without a suffix'!r}; there are {', '.join(SUFFIXES)}"
        )
    if suffix == ".json":
        return write(path, graph.to_json().encode("utf-8", "backslashreplace"))  # a lone surrogate becomes its escape
    if suffix == ".html":
        from . import html

        return write(path, html.page(build(graph, depth=depth, collapse=collapse, fold=fold)).encode())
    layout = choose_layout(graph, layout)
    most = MOST_ROWS_OF_A_BITMAP if suffix == ".png" else MOST_ROWS[layout]
    picture = build(graph, depth=depth, collapse=collapse, fold=fold, limit=most)
    if suffix == ".dot":
        return write(path, drawn(picture, layout).source.encode())
    return write(path, _render(picture, layout, suffix[1:], engine, timeout, path.with_suffix(".dot")))


def to_graphviz(
    graph: Graph,
    *,
    layout: str | None = None,
    depth: int | None = None,
    collapse: Collapse = None,
    fold: bool = False,
) -> graphviz.Digraph:
    """The picture as a `graphviz.Digraph`, to be changed further. The arguments are those of `save`.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor(2.0, requires_grad=True)
    >>> print(tg.graph(x * x).to_graphviz().source[:15])
    digraph picture
    """
    layout = choose_layout(graph, layout)
    return drawn(build(graph, depth=depth, collapse=collapse, fold=fold, limit=MOST_ROWS[layout]), layout)


def choose_layout(graph: Graph, layout: str | None = None) -> str:
    """The layout asked for, or what suits a graph: the ladder for what has a backward pass or an update, else the dag."""
    if layout is None:
        return "ladder" if any(node.phase != "forward" for node in graph.nodes) else "dag"
    if layout not in LAYOUTS:
        raise ValueError(f"there is no layout {layout!r}; there are {' and '.join(LAYOUTS)}")
    return layout


def drawn(picture: Picture, layout: str) -> graphviz.Digraph:
    """A picture in one of the layouts."""
    from .dag import dag
    from .ladder import ladder

    return ladder(picture) if layout == "ladder" else dag(picture)


def mimebundle(graph: Graph) -> dict[str, str]:
    """How a notebook shows a graph: as SVG where a layout engine is installed, else as the page. It never raises."""
    bundle = {"text/plain": repr(graph)}
    try:
        layout = choose_layout(graph)
        picture = build(graph, limit=MOST_ROWS[layout])
        try:
            bundle["image/svg+xml"] = engines.render(drawn(picture, layout).source, "svg", timeout=15.0).decode()
        except EngineError:
            from . import html

            page = _html.escape(html.page(picture), quote=True)
            bundle["text/html"] = (
                f'<iframe srcdoc="{page}" style="width:100%;height:640px;border:0" sandbox="allow-scripts"></iframe>'
            )
    except Exception as error:  # a notebook shows the text then, with the reason
        bundle["text/plain"] += f" (no picture: {type(error).__name__}: {error})"
    return bundle


def _render(picture: Picture, layout: str, format: str, engine: str | None, timeout: float, dot: Path) -> bytes:
    """The drawing; modules are closed, one level after another, until the engine is done in time."""
    levels = closing.levels_of(picture)
    while True:
        source = drawn(picture, layout).source
        rows = sum(1 for _ in picture.visible())
        try:
            return engines.render(source, format, engine=engine, timeout=timeout, dpi=144 if rows < 120 else 96)
        except EngineError as error:
            depth = closing.open_levels(picture)
            if isinstance(error, EngineTimeoutError) and depth:
                closing.close_below(picture, levels, depth - 1)
                opened = f"to a depth of {depth - 1}" if depth > 1 else "at no module"
                picture.notes = [note for note in picture.notes if not note.startswith("opened ")]
                picture.notes.append(f"opened {opened}: the layout engine took longer than {timeout:g} s")
                continue
            write(dot, source.encode())
            raise type(error)(f"{error}. The DOT is saved as {dot}", dot) from error


def write(path: Path, data: bytes) -> Path:
    """Write a file whole, or leave what there was."""
    with replacing(path) as new:
        new.write_bytes(data)
    return path
