"""Several runs on one page; runs that go on; pages as a browser shows them."""

import re
from pathlib import Path

import pytest

from fomo.errors import FomoError
from fomo.report.page import write_report, write_side_by_side
from fomo.report.view import read_view
from tests.browser import OpenPage, sideways
from tests.fomo.helpers import error_of, put, status
from tests.fomo.report.runs import large_run
from tests.fomo.report.test_page import NASTY, Page

ODD = ('<script>alert("x")</script>', "'quotes' & \"more\"", "שלום עולם", "🦜" * 30, "x" * 300)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of 20 tasks and 60 datasets: one goes on, one has names that nobody should choose."""
    folder = tmp_path_factory.mktemp("runs")
    large_run(folder / "whole")
    large_run(folder / "going on", done=3, seed=1)
    large_run(folder / "odd", label=NASTY, name=lambda role, each: f"{ODD[each % len(ODD)]} {role}{each}")
    return folder


@pytest.fixture(scope="module")
def together(runs: Path) -> Path:
    """Their page."""
    write_side_by_side(sorted(runs.iterdir()), runs.parent / f"{runs.name}.html")
    return runs.parent / f"{runs.name}.html"


def text_of(path: Path) -> str:
    return " ".join(Page(path.read_text(encoding="utf-8")).text.split())


def test_several_runs_share_one_plane_and_are_told_apart(together: Path) -> None:
    html = together.read_text(encoding="utf-8")
    plane = next(each for each in html.split("<svg") if "KA–ZS plane" in each.split(">", 1)[0])
    assert plane.count('<g class="line') == 3 and all(f'class="line c{number}"' in plane for number in range(3))
    text = text_of(together)
    assert "3 runs side by side" in text and "1 · going on" in text and "3 · whole" in text and NASTY in text
    assert "1 · going on: 3 of 20 updates scored, 30 of 200 steps taken." in text
    shares = html.split("What each run was charged, by phase, in percent.", 2)[2].split("</table>", 1)[0]
    assert re.findall(r"<td>([\d.]+)</td>", shares) == ["32.3", "64.5", "3.2"] * 3 and shares.count('role="img"') == 3
    assert "seed1000" in text, "the setting of each run, and by default"
    assert html.count("<h3>Task 20:") == 1, "one stream is shown once"
    falls = html.split('aria-label="forgetting by domain of each run"', 1)[1].split("</table>", 1)[0]
    assert re.findall("<bdi>(birds|maps|sketches)</bdi>", falls) and falls.count('class="down"') == 3 * 3


def test_a_run_that_cannot_be_shown_is_named_and_the_others_are_shown(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = large_run(tmp_path / "broken", num_tasks=2, done=2, num_new=2, num_old=1)
    put(broken / "scores.json", "{}")
    out = tmp_path / "page.html"
    error = error_of(capsys, "report", str(runs), str(broken), "--out", str(out))
    assert "scores.json: not a scores file" in error
    assert "Not shown: " in text_of(out) and "3 runs side by side" in text_of(out)
    with pytest.raises(FomoError, match="nothing to report"):
        write_side_by_side([broken, broken], tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_runs_that_may_not_be_compared_are_said_to_be_others(runs: Path, tmp_path: Path) -> None:
    other = large_run(tmp_path / "short", num_tasks=2, done=2, num_new=2, num_old=1)
    assert write_side_by_side([runs / "whole", other], tmp_path / "page.html") == []
    text = text_of(tmp_path / "page.html")
    assert "Not all of these may be compared." in text and "2 updates" in text
    write_side_by_side([runs / "whole", runs / "going on"], tmp_path / "page.html")
    assert "may be compared" not in text_of(tmp_path / "page.html")


def test_the_command_asks_where_to(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "these are 3 runs: say where" in error_of(capsys, "report", str(runs))
    (tmp_path / "empty").mkdir()
    assert "config.yaml" in error_of(capsys, "report", str(tmp_path / "empty"))
    out = tmp_path / "page.html"
    assert status("report", str(runs), str(runs / "whole"), "--out", str(out)) == 0
    assert capsys.readouterr().out.strip() == str(out) and "3 runs side by side" in text_of(out)


def test_how_far_a_run_is(runs: Path) -> None:
    """Three tasks have taken 360 s, 17 are left; the last line is of 2001-09-09 01:46:40 + 360 s."""
    view = read_view(runs / "going on")
    assert not view.finished and view.seconds_left == pytest.approx(17 * 360 / 3)
    assert view.how_far == (
        "3 of 20 updates scored, 30 of 200 steps taken. About 34 min 0 s left at the pace so far. "
        "Its last sign of life here: 2001-09-09 01:52:40 UTC."
    )


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_is_as_wide_as_its_window(
    width: int, dark: bool, runs: Path, together: Path, open_page: OpenPage
) -> None:
    """The console stays empty and nothing is asked for, which the fixture sees to."""
    for path in (together, *(write_report(run) for run in runs.iterdir())):
        page = open_page(path, width=width, dark=dark)
        assert sideways(page) <= 0
        broken = "[...document.images].filter(each => !each.complete || !each.naturalWidth).length"
        assert page.evaluate(broken) == 0 and page.evaluate("document.images.length") == 63
        assert page.evaluate("[...document.querySelectorAll('svg')].every(each => each.clientWidth > 300)")


def test_light_and_dark_have_colours_of_their_own_that_can_be_read(runs: Path, open_page: OpenPage) -> None:
    """The contrast of text is at least 4.5 (WCAG 2.1), in cells of any heat too; that of lines 3."""
    path = write_report(runs / "whole")
    pages = [open_page(path, dark=dark) for dark in (False, True)]
    backgrounds = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in pages]
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(23, 20, 18)"]
    for page in pages:
        found = page.evaluate(CONTRASTS)
        assert len(found["text"]) > 100 and min(found["text"]) >= 4.5 and min(found["lines"]) >= 3


CONTRASTS = """() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], [x, y, z]) => [r*a + x*(1-a), g*a + y*(1-a), b*a + z*(1-a)];
  const light = rgb => rgb.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const style = each => getComputedStyle(each);
  const page = numbers(style(document.body).backgroundColor);
  const behind = each => each === document.body ? page
    : over(numbers(style(each).backgroundColor), behind(each.parentElement));
  const text = [...document.querySelectorAll('td, th, p, a, small, h2, figcaption, summary, .mark')];
  const lines = [...document.querySelectorAll('.line path')];
  return {text: text.map(each => ratio(numbers(style(each).color), behind(each))),
          lines: lines.map(each => ratio(numbers(style(each).stroke), page))};
}"""


def test_what_is_folded_opens_by_keyboard(together: Path, open_page: OpenPage) -> None:
    page = open_page(together)
    summary = page.locator("#configuration ~ details summary").first
    shown = page.locator("#configuration ~ details pre").first
    assert not shown.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert shown.is_visible() and "optimizer:" in shown.inner_text()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_odd_names_are_text_on_the_page(runs: Path, open_page: OpenPage) -> None:
    page = open_page(write_report(runs / "odd"), width=390)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    assert page.evaluate("document.scripts.length") == 0
    assert page.locator("h1").inner_text().startswith(NASTY)
    for name in ODD:
        assert page.locator("tbody th", has_text=name).count() > 0


def test_it_prints_within_the_sheet(together: Path, runs: Path, open_page: OpenPage) -> None:
    """A4 with margins of 12 mm is 703 pixels wide; nothing folded or wide is cut off that is not of several runs."""
    page = open_page(write_report(runs / "whole"), width=703)
    page.emulate_media(media="print")
    assert sideways(page) <= 0 and not page.locator("nav").is_visible()
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(each => each.scrollWidth <= 703)")


def test_a_page_of_a_run_that_goes_on_loads_itself_again(runs: Path, together: Path) -> None:
    text = write_report(runs / "going on").read_text(encoding="utf-8")
    assert '<meta http-equiv="refresh" content="60">' in text and "loads itself again" in text
    for path in (together, write_report(runs / "whole")):
        assert "refresh" not in path.read_text(encoding="utf-8")
