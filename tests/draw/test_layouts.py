"""The drawings as DOT: what stands where, held against the picture; which characters and colours; the same bytes each time."""

import contextlib
import inspect
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from cases.dot import read

import nn
import tensorgrad as tg
from tensorgrad.draw import build, drawn, engines, style, to_graphviz
from tensorgrad.draw.picture import Band, Input, Loss, Op

SAFE = set("∂ΣΠ√∞≈≤±×·←↑→↓↔◊●○■□▲▼►◄█░²³₁…") | {chr(c) for c in range(32, 127)} | {chr(c) for c in range(0x391, 0x3CA)}
HOSTILE = "<b>&\"]; x\\N\\G\\l'--><script>alert(1)</script>{|}%s\x00\x07\u202e\ud800\u2028\n"
XMLNS = "{http://www.w3.org/2000/svg}"


def all_dots(graphs):
    return {
        (name, layout, fold): to_graphviz(graph, layout=layout, fold=fold).source
        for name, (graph, _) in graphs.items()
        for layout in ("ladder", "dag")
        for fold in (False, True)
    }


# -- the ladder ------------------------------------------------------------------------------------------------------------


def test_rungs_and_bands_of_the_mnist_cnn(graphs):
    graph, _ = graphs["lenet5"]
    drawing = read(to_graphviz(graph).source)
    assert [title.partition("◊")[0] for _, title in drawing.clusters][:3] == [
        "features: Sequential", "0: Conv2D", "1: Tanh",
    ]  # fmt: skip
    assert [depth for depth, _ in drawing.clusters] == [1, *[2] * 6, 1, *[2] * 6]
    rungs = {name: lines for name, lines in drawing.nodes.items() if re.fullmatch(r"p\d+", name)}
    assert list(rungs) == [f"p{k}" for k in range(15)]  # the images, thirteen ops, the loss
    assert rungs["p0"] == ["images", "(64,1,28,28) f32"]
    conv = rungs["p1"]
    assert conv[:3] == ["parameters v0", "weight (6,1,5,5)", "bias (6,)"]
    assert {"conv2d r1", "p2", "(64,6,28,28) f32", "◊ x", "∂ conv2d", "gradients", "SGD", "v1"} <= set(conv)
    assert "■ stops here: x needs no" in conv
    assert "lr 0.1 momentum 0.9" in conv
    assert drawing.nodes["p14"][0].startswith("loss 2.")
    assert drawing.nodes["p14b"] == ["∂L/∂L = 1"]
    assert drawing.nodes["head"] == [
        "PARAMETERS", "FORWARD ↓", "SAVED", "BACKWARD ↑", "GRADIENTS", "UPDATE", "NEXT STEP",
    ]  # fmt: skip


def test_arrows_go_down_and_gradients_up(cnn):
    drawing = read(to_graphviz(cnn).source)
    down = [(a, b) for a, b, given in drawing.edges if given.get("color") == style.OP.line]
    up = [(a, b, given["dir"]) for a, b, given in drawing.edges if given.get("color") == style.BACKWARD.line]
    assert [(a.split(":")[0], b.split(":")[0]) for a, b in down] == [(f"p{k}", f"p{k + 1}") for k in range(9)]
    assert [(a.split(":")[0], b.split(":")[0]) for a, b, _ in up] == [
        *((f"p{k}", f"p{k + 1}") for k in range(1, 8)), ("p8", "p9b"),
    ]  # fmt: skip
    assert {direction for *_, direction in up} == {"back"}  # so that what is above stays above


def test_a_skip_is_a_rail_on_both_sides(graphs):
    drawing = read(to_graphviz(graphs["residual_block"][0]).source)
    rails = {
        side: [
            (a.split(":")[0], b.split(":")[0]) for a, b, given in drawing.edges if f":{side}0" in a and given["dir"] == "none"
        ]
        for side in "lr"
    }
    assert rails["l"] == [("p2", "p3"), ("p3", "p4"), ("p4", "p5"), ("p5", "p6")]
    assert rails["r"] == rails["l"]
    assert {"●", "◄"} <= set(drawing.nodes["p2"])  # leaves, and what comes back is added up
    assert {"►", "●"} <= set(drawing.nodes["p6"])


def test_a_closed_module_is_one_rung_with_its_sums(graphs):
    graph, _ = graphs["lenet5"]
    picture = build(graph, depth=0)
    drawing = read(to_graphviz(graph, depth=0).source)
    assert not drawing.clusters
    features = next(row for row in picture.rows if isinstance(row, Band))
    lines = drawing.nodes["p1"]
    assert lines[:2] == ["parameters", f"{features.sum.parameters:,} in 4 tensors"]
    assert {"features", "Sequential", "6 ops", "(64,16,5,5) f32", "∂ features"} <= set(lines)


def test_a_closed_module_of_one_op_is_drawn_as_one(graphs):
    graph, _ = graphs["lenet5"]
    drawing = read(to_graphviz(graph, depth=1).source)
    conv = drawing.nodes["p1"]
    at = conv.index("0: Conv2D")
    assert conv[at + 1] == "(64,6,28,28) f32" and " ms · " in conv[at + 2]
    assert 'CELLPADDING="3"' not in to_graphviz(graph, depth=1).source  # no second border, which stands for several
    assert 'CELLPADDING="3"' in to_graphviz(graph, depth=0).source
    loss = drawing.nodes["p13"]
    assert loss[loss.index("logits 2.56 kB") + 1] == "of classifier.5"


def test_the_state_of_an_optimizer_is_told_together(graphs):
    lines = [line for node in read(to_graphviz(graphs["mlp"][0]).source).nodes.values() for line in node]
    assert lines.count("mean, square v0 → v1") == lines.count("count 1 → 2") == 2


@pytest.mark.parametrize("name, begins", [("loss", "∂L/∂L = 1"), ("y", "∂y/∂y = 1"), ("the judge's loss", "∂L/∂L = 1")])
def test_where_a_backward_pass_begins_is_short(name, begins):
    x = tg.Tensor(1.5, requires_grad=True)
    with tg.trace() as graph:
        y = x * x
        y.name = name
        y.backward()
    assert read(to_graphviz(graph).source).nodes["p1b"] == [begins]


def test_every_loss_leads_to_where_its_backward_pass_begins(graphs):
    drawing = read(to_graphviz(graphs["two_networks"][0]).source)
    rung = next(lines for lines in drawing.nodes.values() if lines[0].startswith("judge's loss"))
    assert rung[1:] == ["· " * 15 + "►", "∂L/∂L = 1"]  # rails go past: all in one row
    shape = next(name for name, lines in drawing.nodes.items() if lines[0].startswith("maker's loss"))
    assert [(a, b) for a, b, given in drawing.edges if given.get("style") == "dotted"] == [(shape, f"{shape}b")]


def test_an_input_that_is_not_finite_is_marked_in_both_layouts():
    x = tg.Tensor([1.0, np.nan])
    x.name = "x"
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as graph:
        (x * w).sum().backward()
    for layout in ("ladder", "dag"):
        drawing = read(to_graphviz(graph, layout=layout).source)
        assert ["x", "(2,) f32", "▲ holds infinities or NaN"] in drawing.nodes.values()


def test_folded_rungs_say_how_often(graphs):
    drawing = read(to_graphviz(graphs["recurrent_cell"][0], fold=True).source)
    assert any("repeated ×27" in title for _, title in drawing.clusters)
    assert sum("tanh ×27" in line for lines in drawing.nodes.values() for line in lines) == 2  # and its gradient


def test_more_than_eight_live_skips_become_references():
    x = tg.Tensor(np.ones(3), requires_grad=True)
    with tg.trace() as graph:
        made = [tg.exp(x * float(k)) for k in range(12)]
        total = made[0]
        for value in made[1:]:
            total = total + value
        total.sum().backward()
    lines = [line for node in read(to_graphviz(graph, layout="ladder").source).nodes.values() for line in node]
    assert any(re.fullmatch(r"\+ from r\d+", line) for line in lines)
    assert any(re.fullmatch(r"∂ to r\d+", line) for line in lines)


# -- the dag -----------------------------------------------------------------------------------------------------------------


def test_the_dag_of_a_formula(graphs):
    graph, options = graphs["expression"]
    assert options["layout"] == "dag"
    drawing = read(to_graphviz(graph, layout="dag").source)
    texts = {lines[0]: lines for name, lines in drawing.nodes.items()}
    assert texts["x"][1:] == ["f32 = 2", "∂ = 3.2696"]
    assert texts["tanh"][1:] == ["() f32 = 0.7163", "∂ = 0.5"]
    assert texts["2"] == ["2"]  # the constant
    names = {name: lines[0] for name, lines in drawing.nodes.items()}
    edges = {(names[a], names[b]) for a, b, _ in drawing.edges}
    assert edges == {
        ("x", "multiply"), ("w", "multiply"), ("multiply", "add"), ("b", "add"), ("add", "tanh"), ("tanh", "divide"),
        ("2", "divide"), ("divide", "add"), ("x", "nth_power"), ("nth_power", "add"), ("add", "y 4.3581"),
    }  # fmt: skip


def test_a_failed_op_tells_each_input_once(graphs):
    drawing = read(to_graphviz(graphs["raised"][0], layout="dag").source)
    failed = next(lines for lines in drawing.nodes.values() if lines[0] == "linear")
    assert failed[1:5] == ["4: Linear", "x (16,1352) f32", "w (10,1152) f32", "b (10,) f32"]
    assert sum("1152" in line for line in failed) == 1


def test_layout_suits_the_graph(cnn):
    x = tg.Tensor(np.ones((2, 1, 28, 28), np.float32))
    with tg.trace() as forward:
        nn.models.MnistCNN(rng=0)(x)
    assert "BACKWARD ↑" in to_graphviz(cnn).source
    assert "BACKWARD" not in to_graphviz(forward).source
    assert "BACKWARD" not in to_graphviz(cnn, layout="dag").source
    with pytest.raises(ValueError, match="no layout 'spiral'; there are ladder and dag"):
        to_graphviz(cnn, layout="spiral")


def test_every_op_of_a_forward_graph_is_a_node(graphs):
    for graph, _ in graphs.values():
        rows = [row for row in build(graph).rows if isinstance(row, Op | Loss | Input)]
        drawing = read(to_graphviz(graph, layout="dag").source)
        assert sum(bool(re.fullmatch(r"d\d+", name)) for name in drawing.nodes) == len(rows)


# -- the same bytes ------------------------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np, nn, sys, tensorgrad as tg
model = nn.models.MnistCNN(hidden=8, rng=0)
optimizer = nn.optim.Adam(model.parameters())
with tg.trace("step") as graph:
    loss = nn.cross_entropy(model(tg.Tensor(np.ones((4, 1, 28, 28), np.float32))), np.arange(4))
    loss.backward()
    optimizer.step()
from tensorgrad.draw import html
drawings = graph.to_graphviz().source + graph.to_graphviz(layout="dag").source
sys.stdout.write(drawings + graph.to_json() + html.page(tg.draw.build(graph)))
"""


def test_the_same_bytes_under_two_hash_seeds():
    root = str(Path(tg.__file__).parent.parent)
    outputs = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True)
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 50_000


def test_a_graph_read_from_json_draws_the_same(graphs):
    for name, (graph, _) in graphs.items():
        again = tg.Graph.from_json(graph.to_json())
        for layout in ("ladder", "dag"):
            for fold in (False, True):
                same = (
                    to_graphviz(again, layout=layout, fold=fold).source == to_graphviz(graph, layout=layout, fold=fold).source
                )
                assert same, (name, layout)


# -- names, glyphs, colours --------------------------------------------------------------------------------------------------


def hostile() -> tg.Graph:
    @tg.primitive
    def drawn_hostile(x, *, setting):
        return x * 2

    drawn_hostile.vjp(x=lambda g, **attrs: g * 2)
    drawn_hostile.name = HOSTILE
    x = tg.Tensor(np.ones((2, 2), np.float32))
    x.name = HOSTILE
    w = tg.Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    w.name = HOSTILE
    with tg.trace(HOSTILE) as graph, tg.scope(HOSTILE, HOSTILE), tg.scope("", ""):
        y = drawn_hostile(x * w, setting=HOSTILE)
        z = y.sum()
        z.name = HOSTILE
        z.backward()
        with tg.phase("update"):
            tg.assign(w, w.detach() * 2.0)
    del tg.PRIMITIVES["drawn_hostile"]
    graph.source = {HOSTILE: {1: HOSTILE}}
    for node in graph.nodes:
        node.source = (HOSTILE, 1)
    return graph


@pytest.mark.parametrize("layout", ["ladder", "dag"])
@pytest.mark.parametrize("depth", [None, 0])
def test_hostile_names_stay_text(layout, depth):
    source = to_graphviz(hostile(), layout=layout, depth=depth).source
    source.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u2028\ud800]", source)
    drawing = read(source)  # every label is well-formed
    elements = {element.tag for label in drawing.labels for element in label.iter()}
    assert elements <= {"label", "TABLE", "TR", "TD", "FONT", "B", "BR"}
    allowed = re.compile(r"(p\d+b?|d\d+[pc]?\d*|head)(:[A-Za-z]\w*)?(:[nsc])?")
    assert all(allowed.fullmatch(end) for a, b, _ in drawing.edges for end in (a, b))
    for given in drawing.attributes:  # outside of labels, Graphviz puts names in for \\N and \\G
        assert not re.search(r"(?<!\\)(\\\\)*\\[NGTHEL]", given.get("tooltip", ""))


@pytest.mark.parametrize("layout", ["ladder", "dag"])
def test_hostile_names_give_valid_svg_and_no_script(layout, engine):
    source = to_graphviz(hostile(), layout=layout).source
    svg = ElementTree.fromstring(engines.render(source, "svg", engine=engine))
    tags = {element.tag.removeprefix(XMLNS) for element in svg.iter() if isinstance(element.tag, str)}
    assert tags <= {
        "svg",
        "g",
        "title",
        "polygon",
        "path",
        "text",
        "a",
        "ellipse",
        "polyline",
        "defs",
        "linearGradient",
        "stop",
    }
    assert not [e for e in svg.iter() if any("href" in name for name in e.attrib)]
    assert '<b>&"]; x' in "".join(svg.itertext())


def test_only_glyphs_that_every_engine_draws(graphs):
    for key, source in all_dots(graphs).items():
        for label in read(source).labels:
            strange = set("".join(label.itertext())) - SAFE
            assert not strange, (key, strange)


def test_nothing_that_breaks_layouts(graphs):
    for source in all_dots(graphs).values():
        for word in ("ortho", "constraint", "<SUB>", "<SUP>", "&nbsp;"):
            assert word not in source
        assert not re.search(r"<T[DR][^>]*TOOLTIP", source)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_every_text_with_what_it_stands_on(graphs):
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    pairs = set(style.text_pairs())
    used = set()
    for source in all_dots(graphs).values():
        for tree in read(source).labels:
            stack = [(tree, style.INK, None)]
            while stack:
                element, ink, ground = stack.pop()
                ground = element.get("BGCOLOR", ground)
                ink = element.get("COLOR", ink) if element.tag == "FONT" else ink
                if (element.text or "").strip():
                    used |= {(ink, g) for g in ([ground] if ground else [style.PAPER, *style.BANDS])}
                stack += [(child, ink, ground) for child in element]
    assert len(used) > 20
    too_faint = {(a, b, round(contrast(a, b), 2)) for a, b in pairs | used if contrast(a, b) < 4.5}
    assert not too_faint


# -- size ------------------------------------------------------------------------------------------------------------


def test_a_chain_of_20000_nodes_draws_closed_and_without_recursion(any_engine):
    x = tg.Tensor(np.ones(3), requires_grad=True)
    with tg.trace("chain") as graph:
        y = x
        for k in range(10_000):
            y = y * 1.0 if k % 2 else y + 0.5
        y.sum().backward()
    depth = len(inspect.stack())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 120)
    try:
        picture = build(graph, limit=600)
        source = drawn(picture, "ladder").source
        build(graph, fold=True)
        json.dumps(picture.to_dict())
        graph.summary(0)
    finally:
        sys.setrecursionlimit(limit)
    assert picture.total.ops == 10_001
    assert sum(1 for _ in picture.visible()) < 600
    assert "modules are closed" in picture.notes[0]
    assert len(engines.render(source, "svg", engine=any_engine)) > 10_000


def test_deeply_nested_modules_draw(any_engine):
    x = tg.Tensor([1.0], requires_grad=True)
    with tg.trace() as graph, contextlib.ExitStack() as stack:
        for k in range(40):
            stack.enter_context(tg.scope(f"m{k}"))
        tg.exp(x)
    assert max(d for d, _ in read(to_graphviz(graph, layout="ladder").source).clusters) == 40
    assert b"svg" in engines.render(to_graphviz(graph).source, "svg", engine=any_engine)
