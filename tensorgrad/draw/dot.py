"""What both layouts share of the DOT language: quoting, the heading, clusters."""

from __future__ import annotations

import graphviz

from . import style, text
from .heading import facts
from .markup import TABLE, Card, cell, font
from .metrics import width
from .picture import Band, Picture
from .style import BODY, LEADING, TITLE

NEXT_LINE = f"<BR/>{font(' ', size=LEADING - BODY)}<BR/>"


def begin(picture: Picture, name: str, **attributes: str) -> graphviz.Digraph:
    """An empty drawing with its heading."""
    graph = graphviz.Digraph(name)
    graph.attr(
        "graph", rankdir="TB", pad="0.25", bgcolor=style.PAPER, fontname=style.FONT, labelloc="t", labeljust="l",
        label=f"<{_heading(picture)}>", tooltip=tip(picture.title or name), **attributes,
    )  # fmt: skip
    graph.attr("node", shape="plain", fontname=style.FONT, fontsize=f"{style.TITLE:g}", fontcolor=style.INK)
    graph.attr("edge", fontname=style.FONT, fontsize=f"{style.BODY:g}", arrowsize="0.6")
    return graph


def _heading(picture: Picture) -> str:
    title = text.shortened(picture.title, 90)
    lines = [font(title, size=17, bold=True, colour=style.INK), font(" · ".join(facts(picture)), size=10, colour=style.GREY)]
    lines += [font(note, size=10, colour=style.GREY) for note in picture.notes]
    rows = "".join(f"<TR>{cell(line, align='LEFT', cellpadding=1)}</TR>" for line in lines if line)
    return f"{TABLE}>{rows}<TR>{cell(height=6)}</TR></TABLE>"


def open_cluster(graph: graphviz.Digraph, band: Band, depth: int, label: str) -> None:
    """Begin the box of a band. Clusters are written into the body as they come, so that any depth of modules will do."""
    name = "".join(c if c.isalnum() else "_" for c in band.id)
    attributes = {
        "label": f"<{label}>",
        "labeljust": "l",
        "style": "rounded,filled",
        "color": style.BAND_LINE,
        "fillcolor": style.BANDS[depth % 2],
        "margin": f"{style.BAND_MARGIN}",
        "tooltip": tip(f"{band.path}{f': {band.module}' if band.module else ''}"),
    }
    graph.body.append(f"\tsubgraph cluster_{name} {{\n")
    graph.body.extend(f"\t\t{key}={_quoted(value)}\n" for key, value in attributes.items())


def close_cluster(graph: graphviz.Digraph) -> None:
    """End the box begun last."""
    graph.body.append("\t}\n")


def shape_node(graph: graphviz.Digraph, name: str, label: str, look: style.Look, words: str, **more: str) -> None:
    """A node that is no card: a filled shape around its label."""
    more = {"style": "filled", "color": look.line, "fillcolor": look.fill} | more
    lowered = font(" ", size=3) + "<BR/>" + label  # Graphviz centres a line as if no letter went below it
    graph.node(name, label=f"<{lowered}>", tooltip=tip(words), **more)


def input_node(graph: graphviz.Digraph, name: str, card: Card, words: str) -> None:
    """A parallelogram for what comes from outside, just as large as its text: by itself Graphviz makes it much larger."""
    title = card.title.removeprefix("► ")
    height = 20 + LEADING * len(card.lines)
    across = max(width(title, TITLE, bold=True), *(width(line.words, BODY) for line in card.lines))
    across += 1.4 * height  # twice the slant that Graphviz gives its sides: the lowest line comes near one of them
    lines = [font(title, bold=True, colour=style.INK)]
    lines += [font(line.words, colour=style.TROUBLE.line if line.trouble else "", size=BODY) for line in card.lines]
    size = {"width": f"{across / 72:.2f}", "height": f"{height / 72:.2f}", "fixedsize": "true"}
    shape_node(graph, name, NEXT_LINE.join(lines), card.outline, words, shape="parallelogram", **size)


def tip(words: str) -> str:
    """A tooltip: Graphviz reads backslashes and HTML marks in it, so these are made plain."""
    return graphviz.nohtml(words.replace("\\", "\\\\").replace("\n", "\\n"))


def _quoted(value: str) -> str:
    is_label = value.startswith("<") and not isinstance(value, graphviz.quoting.NoHtml)
    return value if is_label else '"' + value.replace('"', '\\"') + '"'
