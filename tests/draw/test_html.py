"""The page as text: what it holds, what it must not, and how large it is. `test_browser.py` looks at it."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cases import steps

from tensorgrad.draw import html
from tensorgrad.draw.picture import Picture, Sums, build

ROOT = Path(__file__).parents[2]


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {make.__name__: html.page(build(make())) for make in steps.ALL}


@pytest.mark.parametrize("name", [make.__name__ for make in steps.ALL])
def test_no_part_of_a_page_comes_from_elsewhere(pages, name):
    elements = Elements(pages[name])
    assert {tag for tag, _ in elements.found}.isdisjoint({"img", "iframe", "link", "object", "embed", "base", "form", "video"})
    for tag, attributes in elements.found:
        assert not {"src", "href", "action", "data"} & set(attributes), tag
        assert not [attribute for attribute in attributes if attribute.startswith("on")], tag
    style = re.search("<style>(.*?)</style>", pages[name], re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style


@pytest.mark.parametrize("name", [make.__name__ for make in steps.ALL])
def test_only_the_pages_own_script_may_run(pages, name):
    elements = Elements(pages[name])
    data, script = elements.scripts
    policy = next(meta["content"] for meta in elements.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "<" not in data and ">" not in data and "&" not in data


@pytest.mark.parametrize("name", [make.__name__ for make in steps.ALL])
def test_the_page_holds_the_picture_unchanged(pages, name):
    make = next(make for make in steps.ALL if make.__name__ == name)
    held = json.loads(Elements(pages[name]).scripts[0])
    del held["defaults"]
    assert held == build(make()).to_dict()


def test_hostile_names_stay_text(pages):
    page = pages["hostile"]
    assert len(Elements(page).scripts) == 2
    assert "<img" not in page and "<i>in" not in page
    assert "&lt;/script&gt;&lt;img src=x" in page


def test_defaults_fill_what_the_picture_leaves_out():
    picture = build(steps.mnist())
    conv = next(row for row in picture.rows if row.kind == "op" and row.op == "conv2d")
    written = next(row for row in picture.to_dict()["rows"] if row["id"] == conv.id)
    filled = html.defaults()["op"] | written
    for name in ("times", "name", "lane", "phase", "attributes", "numbers", "stops", "marks"):
        assert filled[name] == getattr(conv, name), name


def test_the_same_step_gives_the_same_bytes_under_any_hash_seed():
    script = "from cases import steps; from tensorgrad.draw import html, picture; import sys; " + (
        "sys.stdout.buffer.write(html.page(picture.build(steps.residual())).encode())"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1]
    assert made[0].startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("make", [steps.mnist, steps.residual, steps.loop, steps.second_derivative])
def test_a_page_is_small(make):
    graph = make()
    size = len(html.page(build(graph)).encode())
    assert size <= 300_000 + 2_000 * len(graph.nodes)


def test_each_further_node_costs_little():
    few, many = steps.residual(2), steps.residual(20)
    sizes = [len(html.page(build(graph)).encode()) for graph in (few, many)]
    assert (sizes[1] - sizes[0]) / (len(many.nodes) - len(few.nodes)) < 600


def test_the_heading_tells_the_totals():
    page = html.page(build(steps.mnist(), depth=0))
    facts = re.search('<p id="facts">(.*?)</p>', page)[1]
    assert "batch 16" in facts and "1,301,046 parameters" in facts and "saved for backward 1.77 MB" in facts
    assert " ms" not in facts


def test_notes_stand_under_the_heading():
    page = html.page(Picture("a & b", Sums(), [], notes=["collapsed <to> depth 2"]))
    assert "<title>a &amp; b</title>" in page
    assert '<p class="note">collapsed &lt;to&gt; depth 2</p>' in page


def test_the_outline_names_the_outermost_rows(pages):
    outline = re.search('<section id="outline".*?</section>', pages["mnist"])[0]
    rows = re.findall("<th>(.*?)</th><td>(.*?)</td>", outline)
    assert rows[:2] == [("input images", ""), ("conv: Conv2D", "1 op, 300 parameters, saves 50.2 kB")]
    assert rows[-1] == ("loss", "")


def test_a_long_outline_is_cut():
    outline = html.outline(build(steps.loop(300)))
    assert outline.count("<tr>") <= html.OUTLINE_ROWS + 1
