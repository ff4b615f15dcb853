"""Runs whose files do not tell of one run are found, each by what contradicts what."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fomo.report.leaderboard import leaderboard
from fomo.results.config_file import comparable
from fomo.results.stream import StreamFile
from fomo.system.digest import file_digest, json_digest
from tests.fomo.helpers import evaluation, put, run_folder

STEPS = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60), evaluation(2, 40, 40, 40))
TASKS = [["new_a+++x"], ["new_b+++y"]]
DEFINITION = {"schema": "fomo.stream/1", "name": "made_up", "tasks": TASKS, "retention": ["old"]}
SPENT = {"planned": {"steps": 3}, "charged": {"steps": 3, "mafs": 49.75}, "phases": {}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that says everything twice, as a real one does, and the same both times."""
    hashes = {"sha256": json_digest(DEFINITION), "data_sha256": "d" * 64}
    folder = run_folder(tmp_path / "run", *STEPS, stream={"name": "made_up", **hashes})
    StreamFile("made_up", TASKS, ["old"], **hashes).write(folder)
    said = {"evaluation": {"split": "test"}, "score_version": "1.0", "budget": {"total_mafs": 50, "scale": 2.0}}
    change(folder, "config.yaml", lambda values: {**values, **said})
    change(folder, "ledger.json", lambda values: {**values, "tasks": {"1": SPENT, "2": SPENT}})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    hashes_said = {"config_sha256": json_digest(comparable(config)), "label": "finetune"}
    hashes_said |= {f"stream_{key}": value for key, value in hashes.items()}
    change(folder, "card.json", lambda values: {**values, **hashes_said})
    hashed(folder)
    return folder


def change(folder: Path, name: str, by: Any) -> None:
    put(folder / name, json.dumps(by(yaml.safe_load((folder / name).read_text()))))


def hashed(folder: Path) -> None:
    """The card as one who forges scores and ledger leaves it: with their hashes."""
    hashes = {f"{name}_sha256": file_digest(folder / f"{name}.json") for name in ("scores", "ledger")}
    change(folder, "card.json", lambda values: {**values, **hashes})


def test_a_run_that_says_the_same_everywhere_is_ranked(run: Path) -> None:
    board = leaderboard([run])
    assert not board.refused and board.entries[0].gm == 40


CONTRADICTIONS: dict[str, tuple[str, Any, str]] = {
    "settings": ("config.yaml", lambda v: v | {"optimizer": {"lr": 9}}, "config.yaml has another hash than card.json"),
    "label": ("config.yaml", lambda v: v | {"label": "mine"}, "other labels"),
    "version": ("scores.json", lambda v: v | {"score_version": "2.0"}, "other score versions"),
    "concepts": ("stream.json", lambda v: v | {"tasks": TASKS[::-1]}, "stream.json has another hash than it says"),
    "stream": ("scores.json", lambda v: v | {"stream": v["stream"] | {"sha256": "0" * 64}}, "say other streams"),
    "data": ("scores.json", lambda v: v | {"stream": v["stream"] | {"data_sha256": "0" * 64}}, "say other data"),
    "stream of the card": ("card.json", lambda v: v | {"stream_sha256": "0" * 64}, "card.json and scores.json say"),
    "sums": (
        "ledger.json",
        lambda v: v | {"charged": {"steps": 6, "mafs": 60.0}},
        "ledger.json was edited: 60 mafs in all, 99.5 by task",
    ),
    "budget": ("ledger.json", lambda v: v | {"total": 200.0}, "say other budgets (100.0, 200.0)"),
    "unit": (
        "ledger.json",
        lambda v: v | {"unit": "wishes", "charged": v["charged"] | {"flops": 1}},
        "say other budgets ('none in wishes', 100.0)",
    ),
    "samples": (
        "scores.json",
        lambda v: v | {"evaluations": [*v["evaluations"][:2], v["evaluations"][2] | {"num_samples": {"old": 3}}]},
        "task 2 scored 3 samples of 'old', and not all",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_found_although_the_hashes_fit(name: str, run: Path) -> None:
    file, by, reason = CONTRADICTIONS[name]
    change(run, file, by)
    hashed(run)
    assert reason in leaderboard([run]).refused[str(run)]


@pytest.mark.parametrize("file", ["config.yaml", "stream.json", "scores.json", "ledger.json", "card.json"])
def test_a_link_in_place_of_a_file_of_the_result_is_refused(file: str, run: Path) -> None:
    (run / file).rename(run.parent / file)
    (run / file).symlink_to(run.parent / file)
    assert f"{run / file} is a link" in leaderboard([run]).refused[str(run)]


def test_a_run_without_its_stream_is_refused(run: Path) -> None:
    (run / "stream.json").unlink()
    assert "stream.json: cannot be read" in leaderboard([run]).refused[str(run)]
