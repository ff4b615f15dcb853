"""Runs side by side: their names, what they changed, what is not finished, and what may not be compared."""

import json
from pathlib import Path

import pytest

from fomo.report.summary import groups, scored_runs, summary
from fomo.results.measures import chosen
from tests.fomo.helpers import error_of, evaluation, put, run_folder, status

BASE = (evaluation(0, 10, 20, 60), evaluation(1, 30, 20, 60))
METRICS = chosen(["ka", "zs", "gm", "ka_change", "zs_change", "gm_change", "forgetting"])


def made(folder: Path, ka: float = 36, zs: float = 36, **about: object) -> Path:
    """A finished run with this result; the base model has KA 15 and ZS 60, GM 30."""
    return run_folder(folder, *BASE, evaluation(2, ka, ka, zs), **about)  # type: ignore[arg-type]


def shown(capsys: pytest.CaptureFixture[str], *words: object, wanted: int = 0) -> str:
    """What ``fomo score`` prints."""
    assert status("score", *map(str, words)) == wanted
    return capsys.readouterr().out


def test_a_row_has_result_and_change_against_the_base_model_by_hand(tmp_path: Path) -> None:
    runs = scored_runs([made(tmp_path / "a", seed=3, label="tune mixture=thirds")], METRICS)
    table = summary(runs, ["forgetting"])
    assert table.heads == ("run", "method", "seed", "status", "KA", "ZS", "GM", "ΔKA", "ΔZS", "ΔGM", "forgetting")
    row = ("a", "tune mixture=thirds", "3", "finished", "36.0", "36.0", "36.0", "+21.0", "-24.0", "+6.0", "-6.0")
    assert table.rows == (row,)


def test_runs_in_folders_named_by_a_hash_are_named_by_method_and_seed(tmp_path: Path) -> None:
    folders = [made(tmp_path / f"{seed:012x}", seed=seed, label=f"{name} x=1") for seed, name in enumerate("ab")]
    runs = scored_runs(folders, METRICS)
    assert [run.name for run in runs] == ["a x=1, seed 0", "b x=1, seed 1"]
    table = summary(runs, [])
    assert (
        table.shared == "x=1" and table.heads[:2] == ("method", "seed") and [row[0] for row in table.rows] == ["a", "b"]
    )
    again = [*folders, made(tmp_path / "0000000000ff", seed=0, label="a x=1", lr=2)]
    runs = scored_runs(again, METRICS)
    assert len({run.name for run in runs}) == 3 and runs[0].name == "a x=1, seed 0 (000000000000)"
    assert summary(runs, []).heads[0] == "run"


def test_names_are_the_shortest_that_tell_folders_apart(tmp_path: Path) -> None:
    folders = [made(tmp_path / place, seed=0) for place in ("one/a", "two/a", "two/b")]
    assert [run.name for run in scored_runs(folders, METRICS)] == ["one/a", "two/a", "two/b"]
    assert [run.name for run in scored_runs(folders[1:], METRICS)] == ["a", "b"]
    assert [run.name for run in scored_runs(folders[:1] * 2, METRICS)] == ["a (a)", "a (a)"]


def test_runs_of_the_validation_split_stand_apart_from_those_of_the_test_split(tmp_path: Path) -> None:
    folders = [
        made(tmp_path / "v1", split="validation"),
        made(tmp_path / "t"),
        made(tmp_path / "v2", split="validation", lr=2),
        made(tmp_path / "other", stream={"name": "another"}),
        put(tmp_path / "bad" / "scores.json", "{").parent,
    ]
    found = {title: [run.name for run in of_group] for title, of_group in groups(scored_runs(folders, METRICS))}
    assert found == {
        "test split · another stream, 2 updates, score version 1.0": ["other"],
        "test split · made_up stream, 2 updates, score version 1.0": ["t"],
        "validation split: to choose settings by, never ranked · made_up stream, 2 updates, score version 1.0": [
            "v1",
            "v2",
        ],
        "without scores that can be read": ["bad"],
    }


@pytest.mark.parametrize("bad", [float("nan"), None])
def test_what_is_missing_is_not_finished_and_never_a_number(bad: object, tmp_path: Path) -> None:
    folders = [
        run_folder(tmp_path / "half", *BASE),
        run_folder(tmp_path / "nan", *BASE, evaluation(2, bad, 3, 4)),
        put(tmp_path / "none" / "config.yaml", "").parent,
    ]
    runs = scored_runs(folders, METRICS)
    assert [run.status for run in runs] == ["not finished"] * 3
    assert [run.problem for run in runs] == [
        "1 of 2 updates are scored",
        f"task 2 has no score of 'new_a' ({bad})",
        "it holds no scores.json. Is it a run folder?",
    ]
    rows = [row for _, of_group in groups(runs) for row in summary(of_group, ["forgetting"]).rows]
    assert len(rows) == 3 and all(set(row[-7:]) == {"–"} for row in rows)
    assert all(set(run.metrics.values()) == {None} for run in runs)


def test_json_says_method_seed_and_change_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "runs" / "a", seed=7, label="tune")
    run_folder(tmp_path / "runs" / "b", *BASE, seed=8, label="merge")
    listed = json.loads(shown(capsys, tmp_path / "runs", "--json", "--metrics", "last", wanted=2))
    assert [(run["name"], run["method"], run["seed"], run["status"]) for run in listed] == [
        ("a", "tune", 7, "finished"),
        ("b", "merge", 8, "not finished"),
    ]
    assert listed[0]["metrics"]["ka_change"] == 21 and listed[0]["metrics"]["last"] == 36
    assert listed[0]["run"] == str(tmp_path / "runs" / "a") and set(listed[1]["metrics"].values()) == {None}


def test_the_path_is_shown_when_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path / "a", 49, 64)
    text = shown(capsys, folder)
    assert "56.0" in text and "25.00" not in text
    assert "25.00" in shown(capsys, folder, "--path")


def test_what_is_wrong_with_one_keeps_no_other_from_being_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "good")
    put(tmp_path / "bad" / "config.yaml", "{")
    put(tmp_path / "bad" / "scores.json", json.dumps({"schema": "other/1"}))
    assert status("score", str(tmp_path)) == 2
    said = capsys.readouterr()
    assert "finished" in said.out and "bad: " in said.out and "not a scores file of schema" in said.err
    assert "holds no scores.json" in error_of(capsys, "score", str(put(tmp_path / "e" / "x", "").parent))


def test_an_unknown_metric_is_refused_with_the_nearest_and_help_lists_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Did you mean 'forgetting'" in error_of(capsys, "score", str(made(tmp_path / "a")), "--metrics", "forgeting")
    text = shown(capsys, "--help")
    assert all(f"\n  {metric.name} " in text for metric in chosen())


def test_strange_names_are_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, made(tmp_path / "a\x1b[31m[b]", label="[red]x[/] \u202e<script>"), "--path")
    assert "\x1b" not in text and "\u202e" not in text and "[red]x[/]" in text


def test_scores_that_the_run_did_not_write_are_shown_as_wrong(tmp_path: Path) -> None:
    mine, other = made(tmp_path / "mine"), made(tmp_path / "other", ka=99)
    put(mine / "scores.json", (other / "scores.json").read_bytes())
    (row, beside) = scored_runs([mine, other], METRICS)
    assert (row.status, beside.status) == ("wrong", "finished") and row.to_json()["final"] is None
    assert "scores.json is not the one that the run wrote" in row.problem
    assert "99.0" not in summary([row], []).rows[0]
