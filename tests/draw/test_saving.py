"""Files and notebooks: the chain of engines with its timeouts and failures, formats, and what is left behind."""

import json
import os
import stat
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import tensorgrad as tg
from tensorgrad.draw import EngineError, EngineTimeoutError, build, engines, to_graphviz

PNG, PDF = b"\x89PNG\r\n\x1a\n", b"%PDF"


@pytest.fixture
def program(tmp_path):
    """Makes a program that an engine's name can be the path of."""

    def make(body: str, name: str = "program"):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\nimport sys, time\nsource = sys.stdin.read()\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setenv(engines.VARIABLE, "none")


# -- the chain -----------------------------------------------------------------------------------------------------------


def test_every_engine_draws_svg_and_png(small, engine, tmp_path):
    svg = small.save(tmp_path / "a.svg", engine=engine).read_bytes()
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert small.save(tmp_path / "a.png", engine=engine).read_bytes().startswith(PNG)


def test_system_dot_draws_pdf_and_the_wheel_says_that_it_cannot(small, engine, tmp_path):
    if engine == "graphviz-pure":
        with pytest.raises(EngineError):
            small.save(tmp_path / "a.pdf", engine=engine)
    else:
        assert small.save(tmp_path / "a.pdf", engine=engine).read_bytes().startswith(PDF)


def test_the_first_engine_that_can_is_taken(small, monkeypatch):
    calls = []

    def fake(name, formats=None, fails=False):
        def command(format, options):
            calls.append(name)
            return [sys.executable, "-c", "raise SystemExit(3)" if fails else "print('drawn')"]

        return lambda: engines.Engine(name, command, formats)

    monkeypatch.delenv(engines.VARIABLE, raising=False)
    monkeypatch.setattr(engines, "_system_dot", fake("first", fails=True))
    monkeypatch.setattr(engines, "_graphviz_pure", fake("second", formats=("svg",)))
    monkeypatch.setattr(engines, "_pygraphviz", fake("third"))
    assert engines.render("digraph {}", "svg") == b"drawn\n"
    assert calls == ["first", "second"]
    calls.clear()
    assert engines.render("digraph {}", "pdf") == b"drawn\n"
    assert calls == ["first", "third"]


def test_the_wheel_is_found_off_the_path(monkeypatch):
    importlib_metadata = pytest.importorskip("importlib.metadata")
    try:
        importlib_metadata.distribution("graphviz-pure")
    except importlib_metadata.PackageNotFoundError:
        pytest.skip("graphviz-pure is not installed")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    assert next(iter(engines.available())).name == "graphviz-pure"
    assert b"<svg" in engines.render("digraph { a -> b }", "svg", engine="graphviz-pure")


def test_no_engine_is_one_clear_error_and_leaves_the_dot(small, no_engine, tmp_path):
    with pytest.raises(EngineError) as caught:
        small.save(tmp_path / "picture.svg")
    assert caught.value.dot == tmp_path / "picture.dot"
    assert caught.value.dot.read_text() == to_graphviz(small).source
    for word in ("apt install graphviz", "pip install graphviz-pure", ".html", str(caught.value.dot)):
        assert word in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["picture.dot"]


def test_a_named_engine_must_do_it(small, program, monkeypatch, tmp_path):
    broken = program("print('it is Monday', file=sys.stderr); sys.exit(4)")
    with pytest.raises(EngineError, match="failed with code 4: it is Monday"):
        small.save(tmp_path / "a.svg", engine=broken)
    monkeypatch.setenv(engines.VARIABLE, broken)
    with pytest.raises(EngineError, match="it is Monday"):
        small.save(tmp_path / "a.svg")
    with pytest.raises(EngineError, match="'no-such-engine' was asked for and is not installed"):
        small.save(tmp_path / "a.svg", engine="no-such-engine")


def test_the_variable_chooses(small, program, monkeypatch, tmp_path):
    monkeypatch.setenv(engines.VARIABLE, program("print('mine', len(source) > 100)"))
    assert small.save(tmp_path / "a.svg").read_text() == "mine True\n"


# -- timeouts ------------------------------------------------------------------------------------------------------------


def test_a_slow_engine_gets_a_smaller_picture_and_the_caption_says_so(graphs, program, tmp_path):
    log = tmp_path / "log"
    slow = program(
        f"open({str(log)!r}, 'a').write(f'{{source.count(chr(10))}}\\n')\n"
        "time.sleep(60 if 'subgraph' in source else 0)\nprint(source)"
    )
    path = graphs["lenet5"][0].save(tmp_path / "a.svg", engine=slow, timeout=1.0)
    sizes = [int(line) for line in log.read_text().split()]
    assert len(sizes) == 3  # all open, one level, none
    assert sizes == sorted(sizes, reverse=True)
    assert "opened at no module: the layout engine took longer than 1 s" in path.read_text()


def test_an_engine_that_never_ends_is_given_up(small, program, tmp_path):
    stuck = program("time.sleep(60)")
    with pytest.raises(EngineTimeoutError, match=r"took longer than 0\.3 seconds") as caught:
        small.save(tmp_path / "a.png", engine=stuck, timeout=0.3)
    assert caught.value.dot.exists()


# -- files -----------------------------------------------------------------------------------------------------------------


def test_formats_that_need_no_engine(small, no_engine, tmp_path):
    assert small.save(tmp_path / "a.dot").read_text() == to_graphviz(small).source
    assert small.save(tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    again = tg.Graph.from_json(small.save(tmp_path / "a.json").read_text())
    assert to_graphviz(again).source == to_graphviz(small).source
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == "tensorgrad-graph/1"


@pytest.mark.parametrize("name", ["picture.gif", "picture", "picture.SVGZ"])
def test_an_unknown_suffix_is_refused(small, tmp_path, name):
    with pytest.raises(ValueError, match=r"there are .svg, .png, .pdf, .dot, .json, .html"):
        small.save(tmp_path / name)
    assert not os.listdir(tmp_path)


def test_folders_are_made_and_old_files_replaced(small, no_engine, tmp_path):
    path = tmp_path / "new" / "folder" / "a.DOT"
    assert small.save(path) == path
    path.write_text("old")
    small.save(path)
    assert path.read_text().startswith("digraph")
    assert os.listdir(path.parent) == ["a.DOT"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600


def test_a_failure_leaves_the_old_file_whole(small, program, tmp_path):
    path = tmp_path / "a.svg"
    path.write_text("old")
    with pytest.raises(EngineError):
        small.save(path, engine=program("sys.exit(1)"))
    assert path.read_text() == "old"


def test_names_that_are_no_text_still_save(no_engine, tmp_path):
    x = tg.Tensor([1.0], requires_grad=True)
    x.name = "\ud800"
    graph = tg.graph(tg.exp(x))
    again = tg.Graph.from_json(graph.save(tmp_path / "a.json").read_text())
    assert next(v.name for v in again.values if v.name) == "\ud800"
    graph.save(tmp_path / "a.dot")
    graph.save(tmp_path / "a.html")


# -- notebooks -------------------------------------------------------------------------------------------------------------


def test_a_notebook_shows_svg_with_an_engine(small, any_engine):
    bundle = small._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/svg+xml"}
    assert "<svg" in bundle["image/svg+xml"]


def test_a_notebook_shows_the_page_without_one(small, no_engine):
    bundle = small._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "&lt;!DOCTYPE html&gt;" in bundle["text/html"]


def test_a_notebook_is_never_given_an_exception(small, monkeypatch, no_engine):
    small.values.clear()  # a graph that makes no sense
    bundle = small._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert "no picture: IndexError" in bundle["text/plain"]
    assert "text/plain" in tg.Graph()._repr_mimebundle_()


def test_an_empty_graph_draws(any_engine, tmp_path):
    tg.Graph("nothing").save(tmp_path / "a.svg")
    tg.Graph().save(tmp_path / "b.svg", layout="ladder")
    assert not build(tg.Graph()).rows
