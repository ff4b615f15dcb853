"""``fomo tune`` from the command line, over tiny real runs."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fomo.cli import main
from tests import tiny, waiting
from tests.fomo.helpers import error_of, put, status

TOP = Path(__file__).parents[3]
TUNE = ["tune", *tiny.TINY, "method=lora", "trainable.rank=2,4", "--trials", "3", "tuner.startup=1"]


def test_a_killed_study_goes_on_and_what_it_chose_stands_on_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in its second trial; then it is in the end what one that nobody killed is, and its first run is kept."""
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra tune")
    killed, whole = (tmp_path / name for name in ("killed", "whole"))
    for folder in (killed, whole):
        folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    command = [sys.executable, "-m", "fomo", *TUNE]
    with subprocess.Popen(command, cwd=killed, env=environment, stdout=subprocess.DEVNULL) as process:
        begun = killed / "runs"
        waiting.until(lambda: len(list(begun.glob("*/events.jsonl"))) == 2, lambda: process.poll() is None)
        process.send_signal(signal.SIGKILL)
    monkeypatch.chdir(killed)
    study = Path("runs/tuning/lora/study.jsonl")
    assert len(study.read_text().splitlines()) == 2
    first = json.loads(study.read_text().splitlines()[1])["runs"][0]
    before = Path(first, "card.json").stat().st_mtime_ns
    capsys.readouterr()
    main(TUNE)
    shown = capsys.readouterr().out
    assert "study.jsonl has 1 trials, 1 runs, 6 steps" in shown and "trial 3 of 3: " in shown and "✓" in shown
    assert Path(first, "card.json").stat().st_mtime_ns == before
    monkeypatch.chdir(whole)
    main([*TUNE, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (killed / study).read_bytes() == (whole / study).read_bytes()
    assert told["trials"][told["best"] - 1]["value"] == max(trial["value"] for trial in told["trials"])
    main([*shlex.split(told["command"])[1:], "run.dir=best"])
    card = json.loads(Path("best/card.json").read_text())["tuning"]
    assert card["trial"] == told["best"] and card["chosen"] and card["trials"] == 3
    assert {key: card[key] for key in told["cost"]} == told["cost"] and card["steps"] == 6 * card["runs"] > 0
    sweep = ["run", "-m", *tiny.TINY, "method=lora,frozen", "--settings", "runs/tuning", "run.dir=all", "--show"]
    main(sweep)
    rate = told["trials"][told["best"] - 1]["overrides"]["optimizer.lr"]
    assert f"lr: {rate}" in capsys.readouterr().out
    given = ["optimizer.lr=0.5", "method=lora", "trainable.rank=2"]
    said = error_of(capsys, "run", *tiny.TINY, *given, f"run.tuned={study}")
    assert "no trial of that study is like the run in the method, optimizer.lr, trainable.rank" in said


def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "settings are chosen on the validation split" in error_of(capsys, *TUNE, "evaluation=test")
    assert "unknown option of launcher 'ry'" in error_of(capsys, *TUNE, "launcher=ry")
    assert status("tune", "--trials", "0") == 2 and "no integer from 1 on" in capsys.readouterr().err
    assert "there is no such file" in error_of(capsys, "run", *tiny.TINY, "run.tuned=none.jsonl")
    assert "add -m, or choose a study" in error_of(capsys, "run", *tiny.TINY, "--settings", "a.yaml")
    put(tmp_path / "runs/tuning/lora/study.jsonl", "{}")
    assert "not the file of a tuning study" in error_of(capsys, *TUNE)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["study.jsonl"]
