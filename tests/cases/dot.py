"""A reader of the DOT that the drawings write, for tests that look at what it says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field


@dataclass
class Drawing:
    """What a DOT says: nodes with their texts, edges with their attributes, clusters with title and depth, in order."""

    nodes: dict[str, list[str]] = field(default_factory=dict)
    labels: list[ElementTree.Element] = field(default_factory=list)
    edges: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    clusters: list[tuple[int, str]] = field(default_factory=list)
    attributes: list[dict[str, str]] = field(default_factory=list)


def read(dot: str) -> Drawing:
    """Read the DOT that the drawings write, one statement a line."""
    found, depth = Drawing(), 0
    for line in dot.splitlines()[1:]:
        line = line.strip()
        if line.startswith("subgraph"):
            depth += 1
        elif line == "}":
            depth -= 1
        elif depth and line.startswith("label="):
            found.labels.append(label(line[len("label=") :]))
            found.clusters.append((depth, "".join(found.labels[-1].itertext())))
        elif match := re.fullmatch(r'([\w":]+) -> ([\w":]+) \[(.*)\]', line):
            found.edges.append((match[1], match[2], attributes(match[3])))
        elif match := re.fullmatch(r"(\w+) \[(.*)\]", line):
            given = attributes(match[2])
            found.attributes.append(given)
            if "label" in given:
                found.labels.append(label(given["label"]))
                if match[1] != "graph":
                    found.nodes[match[1]] = lines_of(found.labels[-1])
    assert depth == -1  # the last } ends the drawing
    return found


def attributes(text: str) -> dict[str, str]:
    """A list of attributes; a label in angle brackets is taken as a whole."""
    found = {}
    while text:
        name, _, rest = text.partition("=")
        if rest.startswith("<"):
            level, length = 0, 0
            while level or not length:
                level += {"<": 1, ">": -1}.get(rest[length], 0)
                length += 1
            value, text = rest[:length], rest[length:]
        else:
            match = re.match(r'"((?:[^"\\]|\\.)*)"|[^ ]+', rest)
            value, text = match[1] if match[1] is not None else match[0], rest[match.end() :]
        found[name.strip()], text = value, text.strip()
    return found


def label(text: str) -> ElementTree.Element:
    """An HTML-like label as a tree."""
    assert text.startswith("<") and text.endswith(">"), text
    return ElementTree.fromstring(f"<label>{text[1:-1]}</label>")


def lines_of(label: ElementTree.Element) -> list[str]:
    """The texts of a label, one for each line of a card."""
    found = [""]

    def end() -> None:
        if found[-1].strip():
            found.append("")

    stack = [label]
    while stack:
        item = stack.pop()
        if item is None:
            end()
        elif isinstance(item, str):
            found[-1] += item
        else:
            breaks = item.tag in ("TD", "BR")
            stack.append(item.tail or "")
            if breaks:
                stack.append(None)
            for child in reversed(item):
                stack.append(child)
            stack.append(item.text or "")
            if breaks:
                stack.append(None)
    return [line.strip() for line in found if line.strip()]
