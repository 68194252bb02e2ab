"""A real browser without a window, to look at pages with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def browser(width: int = 1400, height: int = 1000) -> Iterator[BrowserContext]:
    """Chromium with a profile of its own."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=list(FLAGS), viewport={"width": width, "height": height}
        )
        try:
            yield context
        finally:
            context.close()


class Visit:
    """One page opened in a browser, with what it complained about and asked the network for."""

    def __init__(self, context: BrowserContext, path: Path, theme: str = "light", fragment: str = "") -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.emulate_media(color_scheme=theme)
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]", timeout=20_000)

    def ready(self) -> float:
        """Seconds from the start of the navigation until the picture was drawn."""
        return float(self.page.get_attribute("html", "data-ready")) / 1000
