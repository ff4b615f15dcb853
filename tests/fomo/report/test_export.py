"""The tidy table of all scores, as CSV and as Parquet."""

import csv
import json
from pathlib import Path

import pytest

from fomo.report.export import COLUMNS, PATH
from fomo.results.measures import METRICS
from tests.fomo.helpers import error_of, evaluation, put, run_folder, status
from tests.plugin import install, seen

WHOLE = (evaluation(0, 10, 20, 60), evaluation(1, 30, 20, 60), evaluation(2, 36, 40, 50))
OF_AN_EVALUATION = 3 + 3 + 2
"""Datasets, KA, ZS and GM, and tasks."""
WITHIN = {"min_accuracy", "worst_case_accuracy", "stability_gap"}
"""Of runs that were evaluated within updates alone."""
OF_A_RUN = len([each for each in METRICS if each.name not in WITHIN]) - len(PATH)


def exported(file: Path, *folders: Path) -> list[dict[str, str]]:
    """The rows of the CSV file that the command writes."""
    assert status("export", *map(str, folders), "--out", str(file)) == 0
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_number_is_a_row(tmp_path: Path) -> None:
    run_folder(tmp_path / "runs" / "a", *WHOLE, seed=3, label="tune")
    rows = exported(tmp_path / "out.csv", tmp_path / "runs")
    assert list(rows[0]) == list(COLUMNS) and len(rows) == 3 * OF_AN_EVALUATION + OF_A_RUN
    keys = {(row["task"], row["dataset"], row["metric"]): float(row["value"]) for row in rows}
    assert len(keys) == len(rows)
    assert keys["2", "new_b", "accuracy"] == 40 and keys["0", "", "ka"] == 15 and keys["1", "", "zs"] == 60
    assert keys["1", "", "accuracy_of_task_1"] == 30 and keys["2", "", "forgetting"] == 30 - 36
    first = {name: rows[0][name] for name in list(COLUMNS)[:8]}
    assert first == {
        "run": str(tmp_path / "runs" / "a"),
        "seed": "3",
        "method": "tune",
        "model": "",
        "stream": "made_up",
        "split": "test",
        "budget": "total_mafs 100",
        "score_version": "1.0",
    }


def test_what_is_scored_on_a_part_of_the_samples_has_other_names(tmp_path: Path) -> None:
    parts = [each | {"subset": 0.5} for each in WHOLE]
    run_folder(tmp_path / "a", *parts, in_full=[WHOLE[0], evaluation(2, 1, 3, 5)])
    rows = exported(tmp_path / "out.csv", tmp_path / "a")
    keys = {(row["task"], row["metric"]): float(row["value"]) for row in rows if not row["dataset"]}
    assert keys["2", "ka"] == 2 and keys["2", "ka_on_subset"] == 38 and ("1", "ka") not in keys
    assert len({(row["task"], row["dataset"], row["metric"]) for row in rows}) == len(rows)


def test_an_unfinished_run_has_what_is_scored_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(tmp_path / "half", *WHOLE[:2])
    run_folder(tmp_path / "nan", *WHOLE[:2], evaluation(2, float("nan"), 1, 1))
    put(tmp_path / "begun" / "config.yaml", "")
    rows = exported(tmp_path / "out.csv", tmp_path)
    assert {row["run"] for row in rows} == {str(tmp_path / "half")} and len(rows) == 2 * OF_AN_EVALUATION
    said = capsys.readouterr()
    assert said.err.count("not finished") == 3 and "16 rows of 3 runs" in said.out


def test_what_cannot_be_read_is_named_and_the_rest_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        run_folder(tmp_path / name, *WHOLE)
    put(tmp_path / "b" / "scores.json", json.dumps({"schema": "other"}))
    put(tmp_path / "c" / "ledger.json", "{")
    edited = run_folder(tmp_path / "d", *WHOLE) / "scores.json"
    put(edited, edited.read_text().replace("36", "96"))
    out = tmp_path / "out.csv"
    said = error_of(capsys, "export", str(tmp_path), "--out", str(out))
    assert f"{tmp_path / 'b' / 'scores.json'}: not a scores file" in said and "ledger.json" in said
    assert f"{tmp_path / 'd'}: scores.json is not the one that the run wrote" in said
    with out.open(encoding="utf-8") as stream:
        assert {row["run"] for row in csv.DictReader(stream)} == {str(tmp_path / "a")}


def test_a_run_that_is_given_twice_counts_once_and_names_are_no_formulas(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "a", *WHOLE, label='=cmd|"x"\n,\x1b')
    rows = exported(tmp_path / "out.csv", folder, tmp_path, folder / ".." / "a")
    assert len(rows) == 3 * OF_AN_EVALUATION + OF_A_RUN
    assert {row["method"] for row in rows} == {'\'=cmd|"x" ,\\x1b'}


def test_a_guests_metric_is_a_row_and_one_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "def half(scores): return scores.final.ka / 2\ndef bad(scores): return 1 / 0\n"
    entries = {"metrics.half": "half", "metrics.bad": "bad", "metrics.gone": "gone"}
    install(tmp_path / "site", "exported_guest", source, entries)
    folder = run_folder(tmp_path / "a", *WHOLE)
    with seen(tmp_path / "site", monkeypatch):
        said = error_of(capsys, "export", str(folder), "--out", str(tmp_path / "out.csv"))
    assert "metric 'bad' of exported_guest 1.2: ZeroDivisionError" in said and "'gone' of exported_guest" in said
    with (tmp_path / "out.csv").open(encoding="utf-8") as stream:
        values = {row["metric"]: row["value"] for row in csv.DictReader(stream) if row["task"] == "2"}
    assert values["half"] == "19.0" and "bad" not in values


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("a.xlsx", "allowed are .csv and .parquet"),
        ("scores", "the ending says"),
        ("none/a.csv", "no folder 'none'"),
    ],
)
def test_what_cannot_be_written_is_refused_first(out: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in error_of(capsys, "export", "absent", "--out", out)


def test_parquet_without_pyarrow_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    said = error_of(capsys, "export", str(tmp_path), "--out", str(tmp_path / "a.parquet"))
    assert "pip install 'fomo-bench[parquet]'" in said and not list(tmp_path.iterdir())


def test_parquet_holds_the_same_as_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("fomo.report.export.BATCH", 50)
    for seed in range(4):
        run_folder(tmp_path / "runs" / str(seed), *WHOLE, seed=seed)
    rows = exported(tmp_path / "out.csv", tmp_path / "runs")
    assert status("export", str(tmp_path / "runs"), "--out", str(tmp_path / "out.parquet")) == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert [{name: str(value) for name, value in row.items()} for row in table.to_pylist()] == rows
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups > 1
