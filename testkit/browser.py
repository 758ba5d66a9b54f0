"""A real browser that opens the page's link."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Debian's browser as the page's tests need it; as root it runs without its sandbox.
_OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
_OPTIONS += ["--no-sandbox"] if os.geteuid() == 0 else []


class Linked(Protocol):
    """A page that is served: the link that opens it, and the address of its first view without the last slash."""

    @property
    def link(self) -> str: ...

    @property
    def origin(self) -> str: ...


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


def enter(browser: "Browser", page: Linked, **options: Any) -> "BrowserContext":
    """Open the page's link, as a browser does once."""
    context = browser.new_context(**options)
    tab = context.new_page()
    tab.goto(page.link)
    tab.wait_for_url(f"{page.origin}/")
    tab.close()
    return context
