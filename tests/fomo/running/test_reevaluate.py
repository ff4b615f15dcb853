"""Weights in a submission are scored again: those of the run give its scores, others are found out."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from fomo.errors import FomoError
from fomo.model import desktop, shipped, sources
from fomo.results import submission
from fomo.running.reevaluate import Again, reevaluated
from fomo.system.digest import file_digest
from tests import tiny
from tests.fomo.helpers import put, status
from tests.fomo.model.tiny_clip import models

__all__ = ["models"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.run(tmp_path_factory.mktemp("runs") / "run")


def test_the_weights_of_a_run_give_its_scores(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.fomo.zip"
    assert status("submit", str(run), "--weights", "--out", str(file)) == 0
    assert status("leaderboard", "verify", str(file), "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out.partition("verify ")[2].partition("\n")[2])
    (found,) = shown["weights"].values()
    assert shown["problem"] == "" and set(found) == {"pocket_flags", "pocket_solids", "pocket_counting"}
    assert all(each["submitted"] == each["found"] for each in found.values())
    assert status("leaderboard", "verify", str(file), "--no-weights") == 0


def test_the_weights_of_a_run_of_an_open_clip_model_give_its_scores(models: Path, tmp_path: Path) -> None:
    """With a tag, and with the folder of an earlier run in its place."""
    short = ("num_tasks=1", "budget.steps=2", "stream.adaptation=[pocket_flags]", "model=Tiny")
    first = tiny.run(tmp_path / "first", *short, "model.pretrained=squashed")
    second = tiny.run(tmp_path / "second", *short, f"model.folder={first}")
    for each in (first, second):
        assert all(found.submitted == found.found for found in reevaluated(each, None))


def test_all_that_is_stored_beside_weights_may_be_submitted_with_them() -> None:
    assert set(submission.FORM) == {sources.CONFIG, shipped.MERGES.name, desktop.FORM, desktop.TOKENIZER}


def edited(run: Path, to: Path, name: str, change: Any) -> Path:
    """A copy of a run with another file of its."""
    for path in run.rglob("*"):
        if path.is_file():
            put(to / path.relative_to(run), path.read_bytes())
    path = to / name
    put(path, json.dumps(change(yaml.safe_load(path.read_text()))))
    return to


def problem_of(capsys: pytest.CaptureFixture[str], run: Path) -> str:
    """What `verify` says of a run folder that is not fit."""
    capsys.readouterr()
    assert status("leaderboard", "verify", str(run), "--json") == 2
    return str(json.loads(capsys.readouterr().out)[0]["problem"])


def test_other_weights_are_refused_and_other_scores_are_found(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = edited(run, tmp_path / "other", "card.json", lambda card: card)
    file = other / "checkpoint" / "final.safetensors"
    save_file({name: -value for name, value in load_file(file).items()}, file)
    assert "its weights are not those that the run wrote" in problem_of(capsys, other)
    card = json.loads((other / "card.json").read_text())
    put(other / "card.json", json.dumps({**card, "weights_sha256": file_digest(file)}))
    assert "the weights do not give the scores: pocket_" in problem_of(capsys, other)


def test_another_base_and_missing_weights_are_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = edited(run, tmp_path / "other", "card.json", lambda card: {**card, "base_sha256": "0" * 64})
    assert "base model: 000000" in problem_of(capsys, other)
    (other / "checkpoint" / "final.safetensors").unlink()
    with pytest.raises(FomoError, match="it holds no weights"):
        reevaluated(other, None)


def test_what_its_configuration_would_allow_or_name_counts_for_nothing(run: Path, tmp_path: Path) -> None:
    def asking(values: dict[str, Any]) -> dict[str, Any]:
        runtime = {**values["runtime"], "allow_targets": ["os", "shutil"], "num_workers": 64}
        return {
            **values,
            "runtime": runtime,
            "run": {"dir": "/etc"},
            "model": {"_target_": "shutil.rmtree", "path": "/x"},
        }

    other = edited(run, tmp_path / "other", "config.yaml", asking)
    with pytest.raises(FomoError, match="shutil"):
        reevaluated(other, None)


def test_scores_agree_within_the_rounding_of_half_a_percent_of_the_samples() -> None:
    assert Again("a", 50.0, 50.5, 0.5).agrees and not Again("a", 50.0, 50.6, 0.5).agrees
