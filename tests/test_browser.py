"""What the tests of pages rest on: a page's faults are seen."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import OpenPage, sideways, watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FAULTY = {
    "raised: ": "<script>throw new Error('no')</script>",
    "console error: ": "<script>console.error('no')</script>",
    "console warning: ": "<script>console.warn('no')</script>",
    "not loaded: ": "<img src='missing.png'>",
    "asked for: ": "<img src='http://127.0.0.1:9/picture.png'>",
}


@pytest.mark.parametrize("said", FAULTY)
def test_what_a_page_complains_of_or_asks_for_is_seen(browser: "Browser", tmp_path: Path, said: str) -> None:
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><title>faulty</title>{FAULTY[said]}")
    page = browser.new_page()
    complaints: list[str] = []
    watch(page, complaints)
    page.goto(file.as_uri())
    page.close()
    assert [each for each in complaints if each.startswith(said)]


def test_a_window_has_the_width_and_colours_asked_for(open_page: OpenPage, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<!doctype html><title>fine</title><style>body { margin: 0 }</style><p style='width: 500px'>wide")
    assert sideways(open_page(file)) == 0
    page = open_page(file, width=390, dark=True)
    assert sideways(page) == 110
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
