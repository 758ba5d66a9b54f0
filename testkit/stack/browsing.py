"""The operators' page as it is started from a shell, and a real browser that opens its link."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testkit.stack.plant import Plant

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Debian's browser as the page's tests need it; as root it runs without its sandbox.
_OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
_OPTIONS += ["--no-sandbox"] if os.geteuid() == 0 else []


class Served:
    """``jitr page`` in a process of its own; ``link`` is what it printed, ``origin`` where it is."""

    def __init__(self, plant: Plant, *options: str) -> None:
        words = [sys.executable, "-c", "from jitr_cli.main import run; run()", "page", "--no-browser", *options]
        self.process = subprocess.Popen(
            words, cwd=plant.folder, env=plant.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.told = ""
        assert self.process.stderr
        while "/enter?token=" not in self.told:
            line = self.process.stderr.readline()
            assert line, f"the page did not start: {self.told}"
            self.told += line
        found = re.search(r"http://\S+", self.told.rpartition("is at")[2])
        assert found
        self.link = found[0]
        self.origin = self.link.partition("/enter")[0]

    def end(self) -> tuple[int, str]:
        """End it as Ctrl-C does; its exit code, and what else it told."""
        self.process.send_signal(signal.SIGINT)
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told


@contextmanager
def served(plant: Plant, *options: str) -> Iterator[Served]:
    """Serve the page while the block runs."""
    page = Served(plant, *options)
    try:
        yield page
    finally:
        if page.process.poll() is None:
            page.end()


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Run a browser while the block runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


def enter(browser: "Browser", page: Served, **options: Any) -> "BrowserContext":
    """Open the page's link, as a browser does once."""
    context = browser.new_context(**options)
    tab = context.new_page()
    tab.goto(page.link)
    tab.wait_for_url(f"{page.origin}/")
    tab.close()
    return context
