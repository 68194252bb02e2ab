"""The page in a real browser: what it shows, what it answers to the mouse and the keyboard, and whether it can be read."""

import json
import random
from html import escape
from pathlib import Path

import pytest
from cases import steps
from cases.browser import CHROMIUM, Visit, browser

import nn
import tensorgrad as tg
from tensorgrad.draw import html
from tensorgrad.draw.picture import build

pytest.importorskip("playwright", reason="no Playwright to drive a browser with")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Every kind of step as a file, and one of all without modules open."""
    folder = tmp_path_factory.mktemp("pages")
    written = {make.__name__: html.page(build(make())) for make in steps.ALL}
    written["timed"] = html.page(build(steps.residual(3, times=True)))
    written["long"] = html.page(build(steps.residual(30)))
    for name, text in written.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return {name: folder / f"{name}.html" for name in written}


@pytest.fixture(scope="module")
def context():
    with browser() as found:
        yield found


@pytest.fixture
def visit(context, pages):
    """Open a page by its name. When the test is over, nothing may have been complained about or asked of the network."""
    opened: list[Visit] = []

    def open_page(name: str, theme: str = "light", fragment: str = "") -> Visit:
        opened.append(Visit(context, pages[name], theme, fragment))
        return opened[-1]

    yield open_page
    for each in opened:
        each.page.close()
        assert each.complaints == []
        assert [url for url in each.requests if not url.startswith("file:")] == []


def picture_of(page) -> dict:
    return json.loads(page.text_content("#picture"))


def row_index(page, op: str, nth: int = 0) -> int:
    """The index of the n-th row with this primitive."""
    return [k for k, row in enumerate(picture_of(page)["rows"]) if row.get("op") == op][nth]


def card(row: int, lane: str = "forward") -> str:
    return f'.card[data-row="{row}"][data-lane="{lane}"]:visible'


def titles(page, selector: str) -> list[str]:
    return page.eval_on_selector_all(
        f"{selector} .title", "all => all.filter(e => e.checkVisibility()).map(e => e.textContent)"
    )


# -- what stands there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [make.__name__ for make in steps.ALL])
def test_every_kind_of_step_draws_itself(visit, name):
    page = visit(name).page
    page.keyboard.press("]")
    ops = [row for row in picture_of(page)["rows"] if row["kind"] == "op"]
    shown = page.locator(".strip.op:visible")
    assert shown.count() == len(ops)


def test_a_rung_shows_the_life_of_a_step(visit):
    page = visit("mnist").page
    strip = page.locator(".strip.op").first
    text = {lane: strip.locator(f'.card[data-lane="{lane}"]').inner_text() for lane in (
        "parameters", "forward", "saved", "backward", "gradients", "update", "next")}  # fmt: skip
    assert text["parameters"].splitlines() == ["parameters v0", "weight (30,1,3,3)", "bias (30,)"]
    assert text["forward"].splitlines()[:3] == ["conv2d", "r1", "(16,30,26,26) f32"]
    assert text["saved"].splitlines()[0] == "◊ x"
    assert text["backward"].splitlines()[:2] == ["∂ conv2d", "■ x needs no gradient"]
    assert text["gradients"].splitlines()[0] == "gradients"
    assert text["update"].splitlines()[:2] == ["SGD", "lr 0.001"]
    assert text["next"].splitlines() == ["v1", "weight", "bias"]


def test_single_numbers_are_given_themselves(context, tmp_path):
    x = tg.Tensor(1.5, requires_grad=True)
    x.name = "x"
    with tg.trace() as step:
        for name in ("y", "loss", "the judge's loss"):
            y = x * x
            y.name = name
            y.backward()
    (tmp_path / "numbers.html").write_text(html.page(build(step)), "utf-8")
    page = Visit(context, tmp_path / "numbers.html").page
    strip = page.locator(".strip.op").first
    assert strip.locator('.card[data-lane="parameters"]').inner_text().splitlines() == ["parameter v0", "x () = 1.5"]
    assert strip.locator('.card[data-lane="gradients"]').inner_text().splitlines() == ["gradient", "∂x = 9"]
    assert page.locator(".pill").all_inner_texts() == ["∂y/∂y = 1", "∂L/∂L = 1", "∂L/∂L = 1"]
    page.close()


def test_a_setting_stands_on_one_line_with_its_name(context, tmp_path):
    layer = nn.Linear(2, 2, rng=0)
    with tg.trace() as step:
        layer(tg.Tensor([[1.0, 2.0]])).sum().backward()
        nn.optim.Adam(layer.parameters()).step()
    (tmp_path / "adam.html").write_text(html.page(build(step)), "utf-8")
    page = Visit(context, tmp_path / "adam.html").page
    wholes = page.locator(".card[data-lane=update] .whole")
    assert wholes.all_text_contents() == ["lr 0.001", "eps 1e-08"]
    assert wholes.evaluate_all("all => all.map(e => e.getClientRects().length)") == [1, 1]
    page.close()


def test_state_stands_on_cards_of_its_own(visit):
    page = visit("normalized").page
    strip = page.locator(f'.strip[data-row="{row_index(page, "batch_norm")}"][data-part="op"]')
    assert strip.locator(".parameters .title").all_inner_texts() == ["parameters v0", "state v0"]
    assert strip.locator(".update .title").all_inner_texts() == ["Adam", "state"]
    assert strip.locator(".update .card").nth(1).inner_text().splitlines()[1:] == [
        "keeps num_batches_tracked, running_mean, running_var"
    ]


@pytest.mark.parametrize("name", ["timed", "normalized"])
def test_the_ranking_has_its_amounts_above_its_bars(visit, name):
    page = visit(name).page
    entries = page.eval_on_selector_all(
        ".ranking li",
        """all => all.map(e => ['.amount', '.link', '.bar'].map(c => e.querySelector(c).getBoundingClientRect()))
                      .map(([amount, link, bar]) => [amount.bottom, link.bottom, bar.top, link.right, amount.left])""",
    )
    assert entries
    for amount_bottom, link_bottom, bar_top, link_right, amount_left in entries:
        assert amount_bottom <= bar_top and link_bottom <= bar_top and link_right <= amount_left


def test_empty_lanes_take_no_room(visit):
    lanes = "#lanes [role=columnheader]:visible"
    assert visit("mnist").page.locator(lanes).count() == 7
    assert visit("prediction").page.locator(lanes).all_inner_texts() == ["PARAMETERS", "FORWARD ↓"]
    assert visit("loop").page.locator(lanes).all_inner_texts() == [
        "PARAMETERS",
        "FORWARD ↓",
        "SAVED",
        "BACKWARD ↑",
        "GRADIENTS",
    ]


def test_no_gradient_flows_where_none_was_asked_for(visit):
    page = visit("expression").page
    assert page.locator(".gives, .takes, .returns, .gutter.right svg").count() == 0
    assert page.locator(".arrives").count() > 0


def test_an_op_that_no_rung_owns_stands_in_its_own_lane(visit):
    page = visit("clipped").page
    norm = row_index(page, "global_norm")
    strip = page.locator(f'.strip[data-row="{norm}"]')
    assert strip.locator(".card").count() == 1
    assert "global_norm" in strip.locator('.card.main[data-lane="update"]').inner_text().replace("\n", "")
    page = visit("two_optimizers").page
    rows = picture_of(page)["rows"]
    sum_of_gradients = next(row for row in rows if row.get("lane") == "backward")
    sources = [next(row for row in rows if row["id"] == edge["row"])["number"] for edge in sum_of_gradients["inputs"]]
    strip = page.locator(f'.strip[data-row="{rows.index(sum_of_gradients)}"]')
    assert f"from r{sources[0]}, r{sources[1]}" in strip.locator('.card.main[data-lane="backward"]').inner_text()
    assert not {"arrives", "leaves", "gives", "takes"} & set(strip.get_attribute("class").split())


def test_what_repeats_is_folded(context, tmp_path):
    (tmp_path / "folded.html").write_text(html.page(build(steps.residual(6), fold=True)), "utf-8")
    page = Visit(context, tmp_path / "folded.html").page
    assert "sigmoid ×5" in titles(page, ".strip.op .forward")  # the first block's takes no gradient to its input
    assert page.locator(".strip.op:visible").count() == 7 + 7 + 2  # two kinds of block, the head, the loss function
    page.close()


def test_a_failed_op_and_the_first_nan_are_laid_open(visit):
    page = visit("raised").page
    failed = page.locator(".card.alarming:visible")
    assert failed.count() == 1 and "linear" in failed.inner_text() and "ValueError" in failed.inner_text()
    assert "ValueError" in page.inner_text("#details")
    assert "the first" in visit("with_nan").page.locator(".card.alarming:visible").first.inner_text()


def test_hostile_names_are_text(visit):
    page = visit("hostile").page
    assert page.title() == steps.HOSTILE
    assert page.inner_text("h1") == steps.HOSTILE
    assert page.locator("img, i:not(#legend i)").count() == 0
    page.click(card(row_index(page, "matmul")))
    assert "<script>alert(1)</script>" in page.inner_text("#details")


# -- modules ----------------------------------------------------------------------------------------------------------


def test_bands_close_and_open(visit):
    page = visit("residual").page
    page.click("#open-all")
    before = page.locator(".strip.op:visible").count()
    page.click('.name[title="blocks.1"]')
    assert page.locator(".strip.op:visible").count() < before
    index, band = next((k, row) for k, row in enumerate(picture_of(page)["rows"]) if row.get("path") == "blocks.1")
    text = page.inner_text(f'.strip.sum[data-row="{index}"]')
    assert "7 ops" in text and f"{band['sum']['parameters']:,}" in text and "4 tensors" in text
    page.click('.name[title="blocks.1"]')
    assert page.locator(".strip.op:visible").count() == before
    page.click("#close-all")
    assert page.locator(".strip.op:visible").count() == 1  # the loss function, outside every module
    assert page.locator("[role=row][aria-expanded=true]").count() == 0


def test_a_picture_that_closes_bands_is_shown_so(context, tmp_path):
    (tmp_path / "closed.html").write_text(html.page(build(steps.residual(), depth=0)), "utf-8")
    page = Visit(context, tmp_path / "closed.html").page
    assert page.locator(".strip.sum:visible").count() == 2
    page.close()


def test_the_page_works_inside_a_notebook(context, tmp_path):
    page = escape(html.page(build(steps.residual())))
    framed = f'<iframe srcdoc="{page}" style="width:100%;height:640px" sandbox="allow-scripts"></iframe>'
    (tmp_path / "notebook.html").write_text(f"<!DOCTYPE html><html data-ready><body>{framed}", "utf-8")
    visit = Visit(context, tmp_path / "notebook.html")
    frame = visit.page.frame_locator("iframe")
    frame.locator(".strip.op .card[data-lane=forward]").first.click()
    assert frame.locator(".selected").count() == 1
    assert visit.complaints == []
    visit.page.close()


# -- search -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("sigmoid", 3),
        ("op:linear", 7),
        ("blocks.1", 7),
        ("4,16", 6),
        ("4x16", 6),
        ("gate sigmoid", 3),
        ("shape:16,8", 3),
        ("r5", 1),
    ],
)
def test_search_finds_by_op_name_and_shape(visit, typed, found):
    page = visit("residual").page
    page.fill("#search", typed)
    page.wait_for_selector("#found:not(:empty)")
    assert page.inner_text("#found") == f"{found} match{'es' if found > 1 else ''}"


def test_search_looks_into_closed_bands_and_jumps_there(visit):
    page = visit("residual").page
    page.click("#close-all")
    page.keyboard.press("/")
    page.keyboard.type("sigmoid")
    page.wait_for_selector("#found:not(:empty)")
    assert page.inner_text(".matches:visible") == "3 matches"
    page.keyboard.press("Enter")
    assert page.inner_text("#found") == "1 of 3"
    assert titles(page, ".current-hit .forward") == ["sigmoid"]
    page.keyboard.press("Shift+Enter")
    assert page.inner_text("#found") == "3 of 3"
    page.keyboard.press("Escape")
    assert page.inner_text("#found") == "" and page.locator(".hit").count() == 0


def test_search_says_when_there_is_nothing(visit):
    page = visit("residual").page
    page.fill("#search", "softplus")
    page.wait_for_selector("#found:not(:empty)")
    assert page.inner_text("#found") == "no match"


# -- looking closer ---------------------------------------------------------------------------------------------------


def test_pointing_shows_the_source_line_and_the_figures(visit):
    page = visit("timed").page
    page.hover(card(row_index(page, "sigmoid", 1)))
    details = page.inner_text("#details").replace("\u00a0", " ")
    assert "gated = tg.sigmoid(x) * x + x" in details and "tests/cases/steps.py:" in details
    assert "(4,8) f32" in details and "128 B" in details
    assert "forward" in details and ("µs" in details or "ms" in details)


def test_a_click_lights_up_what_belongs_to_an_op(visit):
    page = visit("residual").page
    page.click("#open-all")
    chosen = row_index(page, "multiply", 1)  # sigmoid(x) * x of the second block
    page.click(card(chosen))
    tags = page.eval_on_selector_all("[data-tag]", "all => all.map(e => [+e.dataset.row, e.dataset.lane, e.dataset.tag])")
    sigmoid, add = row_index(page, "sigmoid", 1), row_index(page, "add", 2)
    assert [chosen, "forward", "selected"] in tags
    assert [chosen, "backward", "its backward"] in tags
    assert [chosen, "saved", "saved"] in tags
    assert [sigmoid, "forward", "input"] in tags and [sigmoid, "backward", "gets gradient"] in tags
    assert [add, "forward", "output"] in tags and [add, "backward", "sends gradient"] in tags
    assert page.locator(f'.strip[data-row="{chosen}"].hot-arrives.hot-leaves').count() == 1
    assert page.locator(".gutter.left .hot").count() > 0  # the input that skips past sigmoid
    page.keyboard.press("Escape")
    assert page.locator("[data-tag], .gutter .hot, .selected").count() == 0


def test_a_selection_inside_a_closed_band_is_shown_on_it(visit):
    page = visit("residual").page
    page.click("#open-all")
    page.click(card(row_index(page, "add", 1)))  # the end of the first block
    page.click('.name[title="blocks.1"]')
    assert "output (inside)" in page.eval_on_selector_all(".sum [data-tag]", "all => all.map(e => e.dataset.tag)")


def test_an_address_leads_to_a_row(visit):
    page = visit("residual").page
    page.click(card(row_index(page, "sigmoid", 2)))
    fragment = page.evaluate("location.hash")
    again = visit("residual", fragment=fragment).page
    assert again.locator(".strip.selected").get_attribute("data-row") == str(row_index(page, "sigmoid", 2))


def test_links_in_the_details_lead_on(visit):
    page = visit("residual").page
    page.click(card(row_index(page, "multiply")))
    page.click("#close-all")
    page.click('.link:has-text("sigmoid")')
    assert titles(page, ".selected .forward") == ["sigmoid"]


def test_other_measures_change_figures_and_bars(visit):
    page = visit("timed").page
    chosen = card(row_index(page, "linear"))
    texts = {}
    for measure in ("time", "memory", "flops"):
        page.click(f"[data-measure={measure}]")
        assert page.get_attribute(f"[data-measure={measure}]", "aria-pressed") == "true"
        texts[measure] = page.inner_text(f"{chosen} .figures")
        assert page.locator(f"{chosen} .bar:visible").count() == 1
    assert "s ·" in texts["time"] and "B ·" in texts["memory"] and "F ·" in texts["flops"]
    assert "%" in page.inner_text("#legend")


def test_a_measure_that_was_not_taken_can_not_be_chosen(visit):
    page = visit("residual").page
    assert page.is_disabled("[data-measure=time]") and page.is_enabled("[data-measure=memory]")


def test_the_largest_share_shown_fills_its_bar(visit):
    page = visit("mnist").page
    bars = page.eval_on_selector_all(
        ".bar",
        "all => all.filter(e => e.checkVisibility() && e.closest('.strip')).map(e => e.style.getPropertyValue('--share'))",
    )
    largest = float(page.evaluate("document.documentElement.style.getPropertyValue('--largest')"))
    assert max(map(float, bars)) == pytest.approx(largest, abs=1e-4)


# -- theme, zoom and scrolling ----------------------------------------------------------------------------------------


def test_the_theme_follows_the_system_and_can_be_switched(visit):
    page = visit("mnist", theme="dark").page
    assert page.get_attribute("html", "data-theme") == "dark"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("d")
    assert page.get_attribute("html", "data-theme") == "light"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_zoom_keeps_its_limits_and_fits(visit):
    page = visit("mnist").page
    fitted = page.inner_text("#zoom-fit")
    for _ in range(30):
        page.keyboard.press("+")
    assert page.inner_text("#zoom-fit").replace("\u00a0", " ") == "250 %"
    page.keyboard.press("0")
    assert page.inner_text("#zoom-fit") == fitted
    assert page.evaluate("(() => { const v = document.getElementById('view'); return v.scrollWidth <= v.clientWidth + 1 })()")


def test_the_lane_heads_stay_and_the_path_is_told(visit):
    page = visit("long").page
    page.click("#open-all")
    page.evaluate("document.getElementById('view').scrollTop = 4000")
    page.wait_for_selector("#trail:not(:empty)")
    assert page.inner_text("#trail").startswith("blocks \u203a ")
    top, lanes = page.locator("#view").bounding_box()["y"], page.locator("#lanes").bounding_box()["y"]
    assert abs(top - lanes) < 1


def test_a_long_picture_has_a_map_that_leads(visit):
    assert not visit("mnist").page.is_visible("#map")
    page = visit("long").page
    page.click("#open-all")
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + 10, box["y"] + 0.9 * box["height"])
    position = page.evaluate("(() => { const v = document.getElementById('view'); return v.scrollTop / v.scrollHeight })()")
    assert 0.6 < position < 1


# -- the keyboard -----------------------------------------------------------------------------------------------------

FOCUSED = "(() => { const e = document.activeElement; return [e.dataset.lane ?? 'title', +e.dataset.row] })()"


def test_everything_can_be_reached_by_keyboard(visit):
    page = visit("residual").page
    page.click("#open-all")
    assert page.locator("#rows [tabindex='0']").count() == 1
    page.locator("#rows [tabindex='0']").focus()
    page.keyboard.press("Home")
    seen = set()
    for _ in range(200):
        place = tuple(page.evaluate(FOCUSED))
        if place in seen:
            break
        seen.add(place)
        page.keyboard.press("ArrowDown")
    kinds = {row for _, row in seen}
    assert kinds == {k for k, row in enumerate(picture_of(page)["rows"]) if not row.get("beside")}


def test_arrows_walk_through_the_lanes_and_fold_bands(visit):
    page = visit("mnist").page
    chosen = row_index(page, "linear")
    page.locator(card(chosen)).focus()
    lanes = ["forward"]
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        lanes.append(page.evaluate(FOCUSED)[0])
    assert lanes == ["forward", "saved", "backward", "gradients", "update", "next"]
    page.locator(card(chosen, "parameters")).focus()
    page.keyboard.press("ArrowLeft")
    lane, band = page.evaluate(FOCUSED)
    assert lane == "title" and picture_of(page)["rows"][band]["path"] == "hidden"
    page.keyboard.press("ArrowLeft")
    assert page.locator(f'.strip.head[data-row="{band}"]').get_attribute("aria-expanded") == "false"
    page.keyboard.press("ArrowRight")
    assert page.locator(f'.strip.head[data-row="{band}"]').get_attribute("aria-expanded") == "true"
    page.locator(card(chosen)).focus()
    page.keyboard.press("Enter")
    assert page.locator(".strip.selected").get_attribute("data-row") == str(chosen)


def test_tab_leads_from_the_tools_to_the_picture_and_out(visit):
    page = visit("mnist").page
    page.focus("#search")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert "theme" in reached and "link" in reached
    assert sum("card" in name or name == "name" for name in reached[: reached.index("link")]) == 1


# -- arrows -----------------------------------------------------------------------------------------------------------

PIECES = """() => [...document.querySelectorAll('.strip')].filter(e => e.checkVisibility()).map(e => ({
  row: +e.dataset.row, part: e.dataset.part, classes: [...e.classList],
  chips: [...e.querySelectorAll('.chips')].map(c => [c.closest('.card').dataset.lane, c.textContent]),
  gutters: Object.fromEntries(['left', 'right'].map(side => [side, [...e.querySelectorAll(`.gutter.${side} .rail`)].map(r => ({
    below: r.parentNode.hasAttribute('y'), line: r.tagName === 'rect',
    x: r.tagName === 'rect' ? +r.getAttribute('x') : +/^M([-\\d.]+)/.exec(r.getAttribute('d'))[1]}))])),
}))"""


def edges_of(picture: dict, shown: dict[int, int]) -> set[tuple[int, int]]:
    """The edges between shown strips, from the picture. Ops in other lanes than forward name theirs in words."""
    place = {row["id"]: k for k, row in enumerate(picture["rows"]) if row.get("lane", "forward") == "forward"}
    found = set()
    for k, row in enumerate(picture["rows"]):
        sources = [edge["row"] for edge in row.get("inputs", [])] + (
            [row["row"]] if row["kind"] == "loss" and "row" in row else []
        )
        for source in sources:
            if row["id"] in place and source in place and not picture["rows"][place[source]].get("beside"):
                a, b = shown[place[source]], shown[k]
                if a != b:
                    found.add((a, b))
    return found


@pytest.mark.parametrize("name", ["residual", "loop", "two_optimizers", "second_derivative", "hostile"])
def test_no_edge_is_lost_and_no_rails_cross_whatever_is_closed(visit, name):
    page = visit(name).page
    picture, chance = picture_of(page), random.Random(0)
    for _ in range(8):
        strips = page.evaluate(PIECES)
        shown, rungs = {}, [k for k, strip in enumerate(strips) if strip["part"] not in ("head", "foot")]
        for k in rungs:
            row = strips[k]["row"]
            last = picture["rows"][row]["end"] if strips[k]["part"] == "sum" else row + 1
            shown.update(dict.fromkeys(range(row, last), k))
        shown.update({k: -1 for k in range(len(picture["rows"])) if k not in shown})
        edges = edges_of(picture, shown)
        for k in rungs:
            strip = strips[k]
            arriving = sum(not rail["below"] and not rail["line"] for rail in strip["gutters"]["left"])
            named = sum(text.count("from ") for lane, text in strip["chips"] if lane == "forward")
            more = any("more" in text for _, text in strip["chips"])
            expected = len([1 for _, to in edges if to == k])
            found = arriving + named + ("arrives" in strip["classes"])
            assert found == expected or (more and found < expected), (name, strip)
        for side in ("left", "right"):
            below: set[float] = set()
            for strip in strips:
                rails = strip["gutters"][side]
                above = {rail["x"] for rail in rails if not rail["below"]}
                through = {rail["x"] for rail in rails if rail["line"]}
                leaving = [rail["x"] for rail in rails if rail["below"]]
                assert above == below, (name, side, strip)
                assert not through & set(leaving) and len(leaving) == len(set(leaving))
                below = through | set(leaving)
        bands = page.locator(".band .name:visible")
        for _ in range(min(3, bands.count())):
            bands.nth(chance.randrange(bands.count())).click()


# -- reading ----------------------------------------------------------------------------------------------------------

CONTRASTS = Path(__file__).with_name("contrast.js").read_text("utf-8")


def unreadable(page) -> list:
    return page.evaluate(CONTRASTS)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["mnist", "timed", "two_optimizers", "with_nan", "raised", "hostile"])
def test_all_text_can_be_read(visit, name, theme):
    page = visit(name, theme).page
    assert unreadable(page) == []
    page.click(".strip.op .card[data-lane=forward]:visible >> nth=0")
    page.fill("#search", "l")
    page.wait_for_selector("#found:not(:empty)")
    assert unreadable(page) == []
    page.keyboard.press("Escape")
    page.click("#close-all")
    assert unreadable(page) == []


CLIPPED = """() => {
  const boxes = '.card, .summary, #facts, h1, #tools > *, #lanes span, #panel *', slack = 1;
  const sticksOut = (inner, box) => inner.width && (
    inner.left < box.left - slack || inner.right > box.right + slack ||
    inner.top < box.top - slack || inner.bottom > box.bottom + slack);
  return [...document.querySelectorAll(boxes)].filter(e => {
    if (!e.checkVisibility()) return false;
    if (e.scrollWidth > e.clientWidth + slack && getComputedStyle(e).display !== 'inline') return true;
    const box = e.getBoundingClientRect(), texts = e.matches('.card') ? [...e.querySelectorAll('.line, .title, .number')] : [];
    return texts.some(text => sticksOut(text.getBoundingClientRect(), box));
  }).map(e => [e.className || e.id || e.tagName, e.textContent.slice(0, 60)]);
}"""


@pytest.mark.parametrize("name", [make.__name__ for make in steps.ALL] + ["timed"])
def test_nothing_is_cut_off(visit, name):
    page = visit(name).page
    page.click("#open-all")
    assert page.evaluate(CLIPPED) == []
    page.click(".strip.op .card[data-lane=forward]:visible >> nth=0")
    page.click("#close-all")
    assert page.evaluate(CLIPPED) == []
