"""How large the page of a picture is, and how fast a browser is with it.

    PYTHONPATH=. python tests/benchmarks/html_page.py            # 50, 500, 2,000 and 5,000 rungs
    PYTHONPATH=. python tests/benchmarks/html_page.py 2000 --slow 4

Prints, for residual blocks and for a loop without modules: nodes and bytes; seconds to build the picture and to write
the page; and in headless Chromium the seconds until the picture is drawn, and those of what a reader does, each until
it is painted.
`--slow 4` makes the browser's processor so many times slower.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cases import steps
from cases.browser import CHROMIUM, Visit, browser

from tensorgrad.draw import html
from tensorgrad.draw.picture import build

PAINTED = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))"
ACTIONS = {
    "open all": "document.getElementById('open-all').click()",
    "close one": "[...document.querySelectorAll('.band:not(.closed) > .head .name')].at(-1)?.click()",
    "select": "document.querySelector('.strip.op.arrives .card[data-lane=forward]').click()",
    "measure": "document.querySelector('[data-measure=memory]').click()",
    "to the end": "document.getElementById('view').scrollTop = 1e9",
    "theme": "document.getElementById('theme').click()",
    "close all": "document.getElementById('close-all').click()",
}


def seconds(visit: Visit, action: str) -> float:
    script = f"(async () => {{ const t = performance.now(); {action}; await {PAINTED}; return performance.now() - t }})()"
    return visit.page.evaluate(script) / 1000


def report(name: str, graph: object, folder: Path, slow: float) -> None:
    began = time.perf_counter()
    picture = build(graph)
    built = time.perf_counter()
    page = html.page(picture).encode()
    written = time.perf_counter()
    nodes = len(graph.nodes)
    (folder / "page.html").write_bytes(page)
    print(f"{name}: {picture.total.ops:,} rungs, {nodes:,} nodes, {len(page):,} bytes (limit {300_000 + 2_000 * nodes:,})")
    print(f"  picture {built - began:.2f} s, page {written - built:.2f} s", end="")
    if CHROMIUM is None:
        print("; no browser is installed")
        return
    with browser() as context:
        if slow != 1:
            context.on(
                "page", lambda page: context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
            )
        visit = Visit(context, folder / "page.html")
        print(f"; drawn after {visit.ready():.2f} s")
        print("  " + ", ".join(f"{what} {seconds(visit, action):.2f} s" for what, action in ACTIONS.items()))
        print(f"  {visit.page.evaluate('document.querySelectorAll(`*`).length'):,} elements")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rungs", nargs="*", type=int, default=[50, 500, 2_000, 5_000])
    parser.add_argument("--slow", type=float, default=1, help="how many times slower the browser's processor is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for rungs in options.rungs:
            report("residual blocks", steps.residual(max(1, rungs // 7), times=True), Path(folder), options.slow)
            report("a loop", steps.loop(rungs, times=True), Path(folder), options.slow)


if __name__ == "__main__":
    main()
