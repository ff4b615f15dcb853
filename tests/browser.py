"""Pages as their readers have them: in a headless Chromium, where they may ask for nothing and complain of nothing.

The driver is Playwright's; the browser is the machine's own, found by name, or where ``FOMO_CHROMIUM`` says. Where one
of the two is missing, the tests that open a page are skipped with the reason.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

VARIABLE = "FOMO_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-sync", *QUIET)
"""Nothing but the page that is tested is fetched, nobody's profile read, no GPU used; root may start it."""
PATIENCE = 1000 * PATIENCE_SECONDS
"""The way out of a hang, in milliseconds: a busy machine takes its time."""
OWN = ("file:", "data:", "blob:", "about:")
"""Addresses that no network is needed for."""

OpenPage: TypeAlias = "Callable[..., Page]"


def chromium() -> str | None:
    """The path of a Chromium of this machine."""
    found = (shutil.which(name) for name in (os.environ.get(VARIABLE), *NAMES) if name)
    return next((path for path in found if path), None)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """One browser for all tests of the session."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    path = chromium()
    if path is None:
        pytest.skip(f"needs a Chromium: install one, or say where it is in {VARIABLE}")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS), timeout=PATIENCE)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[OpenPage]:
    """A function that opens a file in a window of its own: ``open_page(path, width=390, dark=True)``.

    After the test none of its pages may have complained, as :func:`opening` says.
    """
    with opening(browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def open_page_once(browser: "Browser") -> Iterator[OpenPage]:
    """The same for pages that all tests of a module share."""
    with opening(browser) as opened:
        yield opened


@contextmanager
def opening(browser: "Browser") -> Iterator[OpenPage]:
    """A function that opens pages, which are closed at the end.

    Then none of its pages may have logged an error or a warning, raised one, or asked for another address.
    Playwright's options of a context (``java_script_enabled=False``, ``reduced_motion="reduce"``) may follow.
    """
    complaints: list[str] = []
    contexts = []

    def opened(path: Path, width: int = 1400, height: int = 900, dark: bool = False, **options: object) -> "Page":
        scheme = "dark" if dark else "light"
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme=scheme, **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch(page, complaints)
        page.goto(path.resolve().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


def watch(page: "Page", complaints: list[str]) -> None:
    """Add to ``complaints`` whatever the page logs as error or warning, raises, fails to load, or asks others for."""

    def logged(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"console {message.type}: {message.text}")

    page.on("console", logged)
    page.on("pageerror", lambda error: complaints.append(f"raised: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"not loaded: {request.url}"))
    page.on("request", lambda request: request.url.startswith(OWN) or complaints.append(f"asked for: {request.url}"))


def sideways(page: "Page") -> int:
    """By how many pixels the page is wider than its window: a reader would have to scroll sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
