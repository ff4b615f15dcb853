"""Where evaluations within updates lie, what they say of earlier tasks, and that pages draw them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fomo.report.board_page import board_page
from fomo.report.entries import Board
from fomo.report.leaderboard import leaderboard
from fomo.report.page import write_report, write_side_by_side
from fomo.report.within import earlier, placed
from fomo.results.folders import results
from fomo.results.scores_file import read_scores
from fomo.system.digest import file_digest
from tests.browser import OpenPage, sideways
from tests.fomo.helpers import evaluation, put, run_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page

STEPS = 4
"""Of each update, by the ledgers of these runs."""


def run(folder: Path, seed: int = 0, within: bool = True, **changes: Any) -> Path:
    """A finished run of two updates of four steps, evaluated after two of the first, one and two of the second."""
    made = run_folder(
        folder, evaluation(0, 10, 20, 60), evaluation(1, 40, 20, 50), evaluation(2, 30, 60, 40), seed=seed
    )
    inside = [(1, 2, 30, 10, 40), (2, 1, 20, 30, 30), (2, 2, 24, 40, 36)]
    scores = json.loads((made / "scores.json").read_text()) | changes
    if within:
        scores["within"] = [evaluation(task, *values) | {"step": step} for task, step, *values in inside]
    put(made / "scores.json", json.dumps(scores))
    spent = {"steps": STEPS}
    ledger = json.loads((made / "ledger.json").read_text())
    ledger["charged"] = {**ledger["charged"], "steps": 3 * STEPS}
    ledger["tasks"] = {number: {"planned": spent, "charged": spent, "phases": {}} for number in ("1", "2", "odd")}
    put(made / "ledger.json", json.dumps(ledger))
    hashes = {f"{name}_sha256": file_digest(made / f"{name}.json") for name in ("scores", "ledger")}
    put(made / "card.json", json.dumps(json.loads((made / "card.json").read_text()) | hashes))
    return made


def test_an_evaluation_within_an_update_lies_at_its_share_of_the_steps(tmp_path: Path) -> None:
    found = placed(read_scores(run(tmp_path / "a")), {1: STEPS, 2: STEPS})
    assert [each.at for each in found] == [0, 0.5, 1, 1.25, 1.5, 2]
    assert [each.name for each in found] == ["base", "1, step 2", "1", "2, step 1", "2, step 2", "2"]
    assert [each.ends_update for each in found] == [True, False, True, False, False, True]


def test_it_lies_before_the_end_of_its_update_whatever_is_known_of_its_steps(tmp_path: Path) -> None:
    scores = read_scores(run(tmp_path / "a"))
    assert [each.at for each in placed(scores, {})] == [0, 2 / 3, 1, 1 + 1 / 3, 1 + 2 / 3, 2]
    assert [each.at for each in placed(scores, {1: 1, 2: 100})] == [0, 2 / 3, 1, 1.01, 1.02, 2]


def test_earlier_tasks_are_those_before_the_update_at_hand(tmp_path: Path) -> None:
    """Task 1 is the only one before update 2: its accuracies from the end of update 1 on."""
    found = placed(read_scores(run(tmp_path / "a")), {1: STEPS, 2: STEPS})
    assert earlier(found) == [(1, 40), (1.25, 20), (1.5, 24), (2, 30)]


def test_each_update_adds_a_task_to_the_mean(tmp_path: Path) -> None:
    steps = [evaluation(task, 10 * task, 30, 50) for task in range(4)]
    for each in steps:
        each["tasks"] = {"1": 10.0 * each["task"], "2": 50.0}
    content = json.loads((run(tmp_path / "a") / "scores.json").read_text())
    put(tmp_path / "a" / "scores.json", json.dumps(content | {"num_tasks": 3, "evaluations": steps, "within": []}))
    found = placed(read_scores(tmp_path / "a"), {})
    assert earlier(found) == [(1, 10), (2, 20), (2, 35), (3, 40)]  # task 2 has 50 whatever happens


def test_the_report_draws_them_on_the_path_and_says_their_numbers(tmp_path: Path) -> None:
    text = write_report(run(tmp_path / "a")).read_text(encoding="utf-8")
    drawn = re.findall(r'<g class="line c\d[^"]*"><title>KA: [^<]*</title><path d="([^"]*)"/>(.*?)</g>', text)
    assert len(drawn) == 1
    assert drawn[0][0].count("L") == 5 and drawn[0][1].count("<circle") == 3
    assert "Accuracy on the concepts of earlier tasks, within each update" in text
    assert "2, step 1" in text and "evaluation.every_steps" in text


def test_without_them_the_report_says_nothing_of_them(tmp_path: Path) -> None:
    text = write_report(run(tmp_path / "a", within=False)).read_text(encoding="utf-8")
    assert "within" not in re.sub(r"<style>.*?</style>|<pre>.*?</pre>", "", text, flags=re.DOTALL)


def test_side_by_side_a_run_without_them_stands_beside_one_with_them(tmp_path: Path) -> None:
    file = tmp_path / "both.html"
    assert not write_side_by_side([run(tmp_path / "a"), run(tmp_path / "b", seed=1, within=False)], file)
    text = file.read_text(encoding="utf-8")
    lines = re.findall(r'<g class="line c(\d)[^"]*"><title>[^<]*</title><path d="([^"]*)"/>', text)
    counts = [(number, path.count("L")) for number, path in lines]
    assert counts == [("0", 5), ("1", 2), ("0", 5), ("1", 2), ("0", 2), ("1", 2), ("0", 3)]


@pytest.mark.parametrize("width", [390, 1400])
def test_the_board_draws_what_all_chosen_runs_have(tmp_path: Path, open_page: OpenPage, width: int) -> None:
    run(tmp_path / "runs" / "a")
    run(tmp_path / "runs" / "b", seed=1, within=False)
    file = put(tmp_path / "board.html", board_page(leaderboard(results([tmp_path / "runs"]))))
    page = open_page(file, width=width, dark=width == 390)
    page.locator("tbody tr").first.click()
    assert _across(page) == [0, 1, 2]
    assert not page.locator("#within").is_visible()
    page.get_by_label("Runs", exact=True).select_option("seed 0")
    assert _across(page) == [0, 0.5, 1, 1.25, 1.5, 2]
    assert page.locator("#within").is_visible() and sideways(page) <= 0
    page.get_by_text("The matrix in numbers").click()
    assert page.locator("#matrix-table tbody th").all_text_contents() == ["before", "after 1", "after 2"]


def test_the_board_names_updates_that_were_evaluated_and_no_others(tmp_path: Path, open_page: OpenPage) -> None:
    """With ``evaluation.every_tasks=2`` the second row of the matrix is that after update 2."""
    ends = [evaluation(0, 10, 20, 60), evaluation(2, 30, 60, 40)]
    run(tmp_path / "runs" / "a", within=False, every_tasks=2, evaluations=ends)
    file = put(tmp_path / "board.html", board_page(leaderboard(results([tmp_path / "runs"]))))
    page = open_page(file)
    page.locator("tbody tr").first.click()
    assert _across(page) == [0, 2]
    page.get_by_text("The matrix in numbers").click()
    assert page.locator("#matrix-table tbody th").all_text_contents() == ["before", "after 2"]


def test_many_evaluations_of_a_long_update_never_fall_on_its_ends(tmp_path: Path) -> None:
    board = leaderboard([run(tmp_path / "a")])
    (made,) = board.runs.values()
    assert made.steps_of == {1: STEPS, 2: STEPS} and _places(board) == [0, 50, 100, 125, 150, 200]
    longer = replace(made, steps_of={1: 10**6, 2: 10**6})
    assert _places(replace(board, runs={longer.name: longer})) == [0, 1, 100, 101, 101, 200]


def _places(board: Board) -> list[int]:
    text = re.search(r'id="data">(.*?)</script>', board_page(board), re.DOTALL)
    assert text is not None
    found: list[int] = json.loads(text.group(1))["sections"][0]["entries"][0]["runs"][0][2]
    return found


def _across(page: "Page") -> list[float]:
    """Where the points of the first line of the path lie."""
    found: list[float] = page.evaluate("[...document.getElementById('path').data.at(-1).x]")
    return found
