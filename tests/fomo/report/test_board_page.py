"""The board's page in a browser: sorted, filtered, clicked, by keyboard, narrow and wide, light and dark, printed."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from fomo.report import board_page as module
from fomo.report.board_page import as_script, board_page, plotly_source
from fomo.report.entries import Board
from fomo.report.leaderboard import leaderboard
from fomo.results.folders import results
from fomo.system.digest import file_digest
from tests.browser import OpenPage, sideways
from tests.fomo.helpers import error_of, evaluation, put, run_folder, status

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

BASE = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60))
HOSTILE = "</script><script>console.error('run')</script><img src=x onerror=\"console.error(1)\"> 'q' &amp; <b>"
TURNED = "\u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627"
EMOJI = "👩\u200d🔬🎉"
METHODS = {
    "merge": ("merging", "methods.merging.temporal.TemporalMerge", (64, 64)),
    "tune": ("optimizer", "methods.optimizers.adamw", (70, 40)),
    "ewc": ("regularizer", "methods.regularizers.EWC", (30, 80)),
    HOSTILE: ("trainable", "methods.lora.LoRA", (20, 20)),
    f"{TURNED} {EMOJI}": ("optimizer", "guest.sgd", (10, 90)),
}


def made(folder: Path, label: str, ka: float, zs: float, seed: int, model: str = "pocket", budget: float = 100) -> Path:
    """A finished run of the method with this label."""
    group, target, _ = METHODS[label]
    run = run_folder(folder, *BASE, evaluation(2, ka, ka, zs), seed=seed, label=label)
    values = yaml.safe_load((run / "config.yaml").read_text())
    values |= {"label": label, "model": {"name": model}, group: {"_target_": target}}
    put(run / "config.yaml", json.dumps(values, ensure_ascii=False))
    if budget != 100:
        ledger = (run / "ledger.json").read_text().replace("100.0", str(budget))
        put(run / "ledger.json", ledger)
        card = json.loads((run / "card.json").read_text())
        put(run / "card.json", json.dumps({**card, "ledger_sha256": file_digest(run / "ledger.json")}))
    return run


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """Five methods over two seeds, one of them with another budget too, and runs that may not be ranked."""
    folder = tmp_path_factory.mktemp("runs")
    for number, (label, (_, _, (ka, zs))) in enumerate(METHODS.items()):
        for seed in (0, 1):
            made(folder / f"{number} {seed}", label, ka + seed, zs - seed, seed)
    made(folder / "large", "merge", 50, 50, 0, model="vit", budget=200)
    run_folder(folder / f"half {EMOJI} <i>", *BASE)
    return leaderboard(results([folder]), ["forgetting"])


@pytest.fixture(scope="module")
def file(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("page") / "board.html", board_page(board))


@pytest.fixture(scope="module")
def opened(file: Path, open_page_once: OpenPage) -> "Page":
    return open_page_once(file)


@pytest.fixture
def page(opened: "Page") -> "Page":
    """The page as it is when it is opened: what the tests before have done to it is taken back."""
    opened.keyboard.press("Escape")
    opened.evaluate("document.activeElement.blur(); document.getElementById('filters').reset()")
    opened.get_by_role("status").filter(has_text="All").wait_for()
    rank = of_column(opened, "rank")
    while rank.get_attribute("aria-sort") != "ascending":
        rank.get_by_role("button").click()
    opened.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    return opened


def first(page: "Page") -> "Locator":
    """The section of the first table."""
    return page.locator("[data-section='0']")


def labels(page: "Page") -> list[str]:
    """The methods in the rows of the first table that are shown, in order."""
    return first(page).locator("tbody tr:visible th").all_text_contents()


def of_column(page: "Page", name: str) -> "Locator":
    return first(page).get_by_role("columnheader", name=name, exact=True)


def test_every_column_sorts_both_ways_and_says_how(page: "Page") -> None:
    by_rank = labels(page)
    assert by_rank[0] == "merge" and len(by_rank) == 5
    ka = of_column(page, "KA")
    assert ka.get_attribute("aria-sort") == "none"
    ka.get_by_role("button").click()
    assert labels(page)[0] == "tune" and ka.get_attribute("aria-sort") == "descending"
    assert of_column(page, "rank").get_attribute("aria-sort") == "none"
    ka.get_by_role("button").click()
    assert labels(page)[-1] == "tune" and ka.get_attribute("aria-sort") == "ascending"
    of_column(page, "ZS").get_by_role("button").click()
    assert labels(page)[0].endswith(EMOJI)
    of_column(page, "forgetting").get_by_role("button").click()
    assert len(labels(page)) == 5
    of_column(page, "family").get_by_role("button").click()
    assert labels(page)[0] == "tune"  # full fine-tuning
    of_column(page, "rank").get_by_role("button").click()
    assert labels(page) == by_rank


def test_filters_leave_what_was_asked_for_and_say_how_many(page: "Page") -> None:
    shown = page.get_by_role("status")
    assert shown.text_content() == "All 6 entries are shown."
    page.get_by_label("Family", exact=True).select_option("regulariser")
    assert labels(page) == ["ewc"] and shown.text_content() == "1 of 6 entries are shown."
    assert not page.locator("[data-section='1']").is_visible()
    page.get_by_label("Family", exact=True).select_option("all")
    page.get_by_label("Budget", exact=True).select_option("200 MAFs (GFLOPs)")
    assert shown.text_content() == "1 of 6 entries are shown." and not first(page).is_visible()
    page.get_by_label("Budget", exact=True).select_option("all")
    page.get_by_label("Model", exact=True).select_option("vit")
    assert shown.text_content() == "1 of 6 entries are shown."
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("status").filter(has_text="All").wait_for()
    page.get_by_label("Method contains").fill("MER")
    assert labels(page) == ["merge"]
    page.get_by_label("Method contains").fill("")
    page.get_by_label("on the Pareto front only").check()
    assert len(labels(page)) == 4 and HOSTILE not in labels(page)
    page.get_by_label("Stream", exact=True).select_option("made_up")
    assert len(labels(page)) == 4


def test_a_click_on_a_row_shows_curves_and_the_matrix_in_numbers(page: "Page") -> None:
    first(page).locator("tbody tr").first.click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).text_content() == "1. merge"
    assert dialog.locator("#path .scatterlayer .trace").count() == 3 + 6  # means, and each seed
    assert dialog.locator("#tasks .scatterlayer .trace").count() == 2
    assert dialog.locator("#matrix .heatmaplayer image").count() == 1
    dialog.get_by_text("The matrix in numbers").click()
    cells = dialog.locator("#matrix-table tbody tr").all_inner_texts()
    assert [re.split(r"\s*\t\s*", line.strip()) for line in cells] == [
        ["before", "10.0", "20.0"],
        ["after 1", "30.0", "20.0"],
        ["after 2", "64.5", "64.5"],
    ]
    dialog.get_by_label("Runs", exact=True).select_option("seed 1")
    assert dialog.locator("#matrix-table tbody tr").last.locator("td").all_text_contents() == ["65.0", "65.0"]
    assert dialog.locator("#path .scatterlayer .trace").count() == 3
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


def test_everything_works_by_keyboard(page: "Page") -> None:
    first_of_all = page.locator("a, button, input, select").first
    assert first_of_all.text_content() == "Skip to the tables" and first_of_all.get_attribute("href") == "#boards"
    opener = first(page).get_by_role("button", name="ewc")
    opener.focus()
    assert opener.evaluate("each => getComputedStyle(each).outlineStyle") != "none"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible() and "ewc" in str(dialog.get_by_role("heading", level=2).text_content())
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.textContent") == "ewc"
    of_column(page, "GM").get_by_role("button").focus()
    page.keyboard.press("Space")
    assert of_column(page, "GM").get_attribute("aria-sort") == "descending"
    controls = "[...document.querySelectorAll('button, select, input, summary')]"
    assert page.evaluate(f"{controls}.every(each => each.tabIndex === 0)")


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_wider_than_the_window(file: Path, open_page: OpenPage, width: int) -> None:
    page = open_page(file, width=width)
    page.locator(".plane .main-svg").first.wait_for()
    assert sideways(page) == 0
    first(page).locator("tbody th button").first.click()
    assert page.evaluate("(each => each.scrollWidth - each.clientWidth)(document.getElementById('entry'))") == 0
    box = page.get_by_role("dialog").bounding_box()
    assert box and box["width"] <= width
    font = page.evaluate("getComputedStyle(document.querySelector('tbody th')).fontSize")
    assert float(font.removesuffix("px")) >= 14


def test_dark_follows_the_system_and_the_button_and_print_is_light(file: Path, open_page: OpenPage) -> None:
    def back(page: "Page") -> tuple[str, str]:
        page.locator(".plane .main-svg").first.wait_for()
        plot = page.evaluate("document.querySelector('.plane .main-svg').style.background")
        return page.evaluate("getComputedStyle(document.body).backgroundColor"), plot

    light, dark = (back(open_page(file, dark=is_dark)) for is_dark in (False, True))
    assert light == ("rgb(255, 255, 255)",) * 2 and dark == ("rgb(20, 22, 26)",) * 2
    page = open_page(file)
    theme = page.get_by_role("button", name="Colours")
    theme.click()
    assert theme.text_content() == "Colours: light"
    theme.click()
    assert back(page) == dark and theme.text_content() == "Colours: dark"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light[0]
    assert not page.locator("#filters").is_visible() and first(page).locator("tbody tr").first.is_visible()


def test_every_method_is_of_its_family(page: "Page") -> None:
    families = first(page).locator("tbody td.family").all_text_contents()
    shown = dict(zip(labels(page), [text.split(" ", 1)[1] for text in families], strict=True))
    assert (
        shown["merge"] == "temporal merging" and shown["ewc"] == "regulariser" and shown["tune"] == "full fine-tuning"
    )
    assert shown[HOSTILE] == "part of the weights" and shown[f"{TURNED} {EMOJI}"] == "optimizer"


def test_names_stay_text(page: "Page") -> None:
    shown = labels(page)
    assert HOSTILE in shown and f"{TURNED} {EMOJI}" in shown
    assert page.locator("img, b, i, tbody script").count() == 0
    first(page).get_by_role("button", name=HOSTILE).click()
    assert HOSTILE in str(page.get_by_role("dialog").get_by_role("heading", level=2).text_content())
    page.keyboard.press("Escape")
    told = page.evaluate(
        "document.querySelector('.plane').data.flatMap(each => each.hovertext || []).find(each => /onerror/.test(each))"
    )
    assert "&lt;img" in told and "<img" not in told
    row = first(page).locator("tbody tr", has_text="🎉")
    widths = row.locator("bdi").evaluate_all("all => all.map(each => getComputedStyle(each).unicodeBidi)")
    assert widths == ["isolate"]


def test_a_point_says_its_name_as_text_and_opens_its_runs(page: "Page") -> None:
    page.locator(".plane .main-svg").first.wait_for()
    place = page.locator(".plane").first
    at = place.evaluate(
        """each => { const {xaxis, yaxis} = each._fullLayout, box = each.getBoundingClientRect();
        return [box.x + xaxis._offset + xaxis.l2p(20.5), box.y + yaxis._offset + yaxis.l2p(19.5)]; }"""
    )
    page.mouse.move(*at)
    told = place.locator(".hovertext")
    told.wait_for()
    assert "</script><script>" in str(told.text_content())
    page.mouse.click(*at)
    assert HOSTILE in str(page.get_by_role("dialog").get_by_role("heading", level=2).text_content())


def test_what_is_not_ranked_stands_apart_with_its_reason(page: "Page") -> None:
    table = page.get_by_role("region", name="Not ranked").locator("tbody tr")
    assert table.count() == 1
    text = str(table.text_content())
    assert f"half {EMOJI} <i>" in text and "1 of 2 updates are scored" in text


def test_tables_are_there_without_scripts(file: Path, open_page: OpenPage) -> None:
    page = open_page(file, java_script_enabled=False)
    assert labels(page)[0] == "merge" and page.locator("noscript").is_visible()
    assert not page.locator("#filters").is_visible() and not page.locator("figure").first.is_visible()


def test_the_page_is_named_and_structured_for_those_who_hear_it(page: "Page") -> None:
    assert page.title().startswith("Leaderboard") and page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.locator("table:not(:has(> caption))").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    named = "[...document.querySelectorAll('input, select')].every(e => e.labels.length)"
    assert page.evaluate(named)
    assert page.locator("[role=img]:not([aria-label])").count() == 0


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Of two colours in sRGB (WCAG 2.1, 1.4.3)."""

    def luminance(color: tuple[float, ...]) -> float:
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_ground(file: Path, open_page: OpenPage, dark: bool) -> None:
    page = open_page(file, dark=dark)
    for selector in ("p", ".about", "figcaption", "td small", "th button", "label", "button", "summary", "td span"):
        found = page.locator(selector).locator("visible=true")
        each = found.first
        colors = each.evaluate("""each => { let ground = each;
            while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)' && ground.parentElement)
              ground = ground.parentElement;
            return [getComputedStyle(each).color, getComputedStyle(ground).backgroundColor]; }""")
        one, other = (tuple(int(n) / 255 for n in re.findall(r"\d+", color)[:3]) for color in colors)
        assert contrast(one, other) >= 4.5, selector


def test_the_data_is_json_that_ends_no_script(board: Board) -> None:
    assert json.loads(as_script({"a": "</script><!--"})) == {"a": "</script><!--"}
    assert "<" not in as_script({"</script>": ["<!--"]})
    text = board_page(board)
    assert "http" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL).replace("http-equiv", "")
    assert "default-src 'none'" in text


def test_the_command_writes_the_page_and_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "a", "merge", 50, 50, 0)
    file = tmp_path / "board.html"
    assert status("leaderboard", str(tmp_path), "--json", "--html", str(file)) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["entries"]) == 1 and f"page: {file}" in shown.err
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_that_cannot_be_made_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere" / "board.html"
    assert "no folder" in error_of(capsys, "leaderboard", "no-runs", "--html", str(nowhere))
    assert "is a folder" in error_of(capsys, "leaderboard", "no-runs", "--html", str(tmp_path))
    monkeypatch.setattr(module, "files", lambda name: tmp_path / name)
    assert "fomo-bench[board]" in error_of(capsys, "leaderboard", "no-runs", "--html", str(tmp_path / "b.html"))


def test_a_thousand_runs_take_little_room(board: Board) -> None:
    """Of 1,000 runs less than 2 MB is to be had, so of each at most 2,000 bytes; a run of the pocket has 56 scores."""
    size = len(board_page(board).encode()) - len(plotly_source().encode())
    text = re.search(r'id="data">(.*?)</script>', board_page(board), re.DOTALL)
    assert text is not None
    assert len(text.group(1)) / len(board.runs) < 600 and size < 60_000
