"""KA, ZS and GM by hand, and scores files that say they are none."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fomo.errors import FomoError
from fomo.results.scores import NotFinished, Point
from fomo.results.scores_file import read_scores
from tests.fomo.helpers import error_of, evaluation, put, run_folder, scores_content, status

WHOLE = (evaluation(0, 10, 20, 64), evaluation(1, 30.5, 20, 60), evaluation(2, 40, 32, 36))


def stored(folder: Path, content: Any) -> Path:
    put(folder / "scores.json", json.dumps(content))
    return folder


def test_ka_zs_and_gm_by_hand(tmp_path: Path) -> None:
    scores = read_scores(run_folder(tmp_path, *WHOLE))
    assert [(point.task, point.ka, point.zs) for point in scores.points] == [(0, 15, 64), (1, 25.25, 60), (2, 36, 36)]
    assert scores.final == Point(2, 36, 36) and scores.final.gm == 36
    assert scores.points[0].gm == pytest.approx(math.sqrt(15 * 64)) and scores.finished and scores.num_tasks == 2


def test_gm_is_zero_where_either_is() -> None:
    assert Point(1, 0, 90).gm == 0 and Point(1, 90, 0).gm == 0


def test_sums_are_exact(tmp_path: Path) -> None:
    scores = read_scores(run_folder(tmp_path, evaluation(0, 0.1, 0.2, 0.3)))
    assert scores.points[0].ka == math.fsum([0.1, 0.2]) / 2


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_unfinished_run_has_points_and_no_result(tmp_path: Path, number: int) -> None:
    scores = read_scores(run_folder(tmp_path, *WHOLE[:number]))
    assert len(scores.points) == number and not scores.finished
    with pytest.raises(NotFinished, match=rf"not finished: {max(number - 1, 0)} of 2 updates"):
        _ = scores.final


@pytest.mark.parametrize("score", [None, float("nan"), float("inf"), "50", True, False, [1], {}])
def test_what_is_no_number_is_not_finished(tmp_path: Path, score: Any) -> None:
    with pytest.raises(NotFinished, match=r"task 1 has no score of 'new_b'"):
        read_scores(run_folder(tmp_path, WHOLE[0], evaluation(1, 1, score, 3)))


def test_a_score_that_is_missing_is_not_finished(tmp_path: Path) -> None:
    lacking = evaluation(1, 1, 2, 3)
    del lacking["scores"]["old"]
    with pytest.raises(NotFinished, match="'old'"):
        read_scores(run_folder(tmp_path, WHOLE[0], lacking))


@pytest.mark.parametrize("score", [100.0001, -0.5, 6400])
def test_what_is_no_percentage_is_refused(tmp_path: Path, score: float) -> None:
    with pytest.raises(FomoError, match=rf"'new_a' in task 0 is {score}, not a percentage"):
        read_scores(run_folder(tmp_path, evaluation(0, score, 2, 3)))


def test_the_ends_of_the_range_are_percentages(tmp_path: Path) -> None:
    assert read_scores(run_folder(tmp_path, evaluation(0, 0, 0, 100))).points[0].zs == 100


@pytest.mark.parametrize("key", ["stream", "split", "marks", "num_tasks", "datasets", "evaluations"])
def test_a_key_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    content = scores_content(*WHOLE)
    del content[key]
    with pytest.raises(FomoError, match=f"'{key}' is missing"):
        read_scores(stored(tmp_path, content))


@pytest.mark.parametrize("content", [[], None, 3, {}, {"schema": "fomo.scores/2"}])
def test_another_schema_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(FomoError, match=r"fomo\.scores/1"):
        read_scores(stored(tmp_path, content))


@pytest.mark.parametrize(
    "changes",
    [
        {"datasets": []},
        {"datasets": {"old": 3}},
        {"datasets": {**scores_content()["datasets"], "more": 3}},
        {"datasets": {"old": {"role": "retention"}}},
        {"num_tasks": "two"},
        {"num_tasks": None},
        {"evaluations": {"0": {}}},
        {"evaluations": ["x"]},
        {"evaluations": [{"task": 0}]},
        {"evaluations": [{"scores": {}}]},
        {"evaluations": [{"task": 0, "scores": []}]},
        *({"evaluations": [{**WHOLE[0], "subset": share}]} for share in (None, "half", 0, 1.5, True)),
    ],
    ids=str,
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(FomoError, match=r"scores\.json"):
        read_scores(stored(tmp_path, scores_content(*WHOLE, **changes)))


@pytest.mark.parametrize("order", [(1, 0), (0, 2), (0, 0)])
def test_evaluations_are_in_order_and_whole(tmp_path: Path, order: tuple[int, ...]) -> None:
    with pytest.raises(FomoError, match="evaluation"):
        read_scores(run_folder(tmp_path, *(WHOLE[number] for number in order)))


def test_more_evaluations_than_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="4 evaluations of 2 updates"):
        _ = read_scores(run_folder(tmp_path, *WHOLE, evaluation(3, 1, 1, 1))).final


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe\x00"])
def test_what_is_no_json_is_named(tmp_path: Path, text: str | bytes) -> None:
    put(tmp_path / "scores.json", text)
    with pytest.raises(FomoError, match=r"scores\.json: not JSON"):
        read_scores(tmp_path)


def test_a_folder_without_scores_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(NotFinished, match="Is it a run folder"):
        read_scores(tmp_path / "nowhere")


def test_the_command_prints_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "a", *WHOLE)
    assert status("score", str(folder), "--json") == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert run["finished"] and run["final"] == {"task": 2, "ka": 36, "zs": 36, "gm": 36} and len(run["tasks"]) == 3


def test_the_command_shows_an_unfinished_run_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [run_folder(tmp_path / "[half]", *WHOLE[:2]), run_folder(tmp_path / "whole", *WHOLE)]
    assert status("score", "--json", *map(str, folders)) == 2
    captured = capsys.readouterr()
    half, whole = json.loads(captured.out)
    assert half["final"] is None and whole["final"]["gm"] == 36
    assert "[half] is not finished" in captured.err and "whole" not in captured.err
    assert status("score", str(folders[0]), "--path") == 2
    captured = capsys.readouterr()
    assert "25.25" in captured.out and "[half" in captured.out.replace("\n", "")


def test_the_command_names_a_folder_without_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no scores.json" in error_of(capsys, "score", str(tmp_path))


def test_a_result_that_says_no_score_version_is_of_the_first_and_is_read(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "new", *WHOLE)
    content = json.loads((run / "scores.json").read_text())
    assert read_scores(run).score_version == content.get("score_version", "1.0")
    old = stored(tmp_path / "old", {key: value for key, value in content.items() if key != "score_version"})
    assert read_scores(old).score_version == "1.0" and read_scores(old).final == read_scores(run).final
    said = read_scores(stored(tmp_path / "said", content | {"score_version": "7.1"}))
    assert said.score_version == said.to_json()["score_version"] == "7.1"
    with pytest.raises(FomoError, match="score_version holds 2, no string"):
        read_scores(stored(tmp_path / "odd", content | {"score_version": 2}))
