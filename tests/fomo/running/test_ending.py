"""What a machine lacks at the end of a run keeps no finished run from its card."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from jinja2 import TemplateNotFound

from fomo.budget.cost import Cost
from fomo.doctor.packages import packages
from fomo.errors import FomoError
from fomo.planning import planner
from fomo.report import page
from fomo.report.page import write_report
from fomo.running import known
from fomo.version import __version__
from tests import tiny
from tests.fomo.helpers import status
from tests.waiting import PATIENCE_SECONDS

SHORT = ("num_tasks=1", "budget.steps=2", "stream.adaptation=[pocket_flags]")
REASON = "TemplateNotFound: report.html"


@pytest.fixture
def source_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """No distribution is installed under the name of ours."""
    plain = importlib.metadata.Distribution.from_name

    def from_name(name: str) -> Any:
        if name == "fomo-bench":
            raise importlib.metadata.PackageNotFoundError(name)
        return plain(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", from_name)


def test_a_run_ends_without_metadata_figures_and_a_rehearsal(
    source_tree: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*given: object) -> Cost:
        raise FomoError("a hook reads values.")

    monkeypatch.setattr(planner, "rehearsed", refuse)
    monkeypatch.setattr(page, "_environment", _broken)
    folder = tmp_path / "run"
    monkeypatch.setattr(shutil, "rmtree", _held_fast)
    assert status("run", *tiny.TINY, *SHORT, "runtime.micro_batch=12", f"run.dir={folder}") == 0
    card = json.loads((folder / "card.json").read_text())
    assert card["versions"]["fomo-bench"] == f"{__version__} (source tree)"
    assert card["versions"]["torch"] == importlib.metadata.version("torch")
    assert card["compute"]["mfu"] is None and card["compute"]["hfu"] > 0
    said = [record.getMessage() for record in caplog.records if "no report" in record.getMessage()]
    assert len(said) == 2 and all(REASON in each and f"`fomo report {folder}`" in each for each in said)
    assert not (folder / "report.html").exists() and "report:" not in capsys.readouterr().out
    monkeypatch.undo()
    assert "<td>–</td>" in write_report(folder).read_text(encoding="utf-8")


def _broken() -> NoReturn:
    raise TemplateNotFound("report.html")


def _held_fast(path: Path, ignore_errors: bool = False) -> None:
    """As where a file system keeps names of files that are open."""
    if not ignore_errors:
        raise OSError("Directory not empty")


def test_what_a_card_says_of_the_machine_is_found_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(device: str, precision: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(known, "peak", broken)
    with pytest.raises(ZeroDivisionError):
        tiny.run(tmp_path / "run", *SHORT)
    assert not (tmp_path / "run" / "events.jsonl").exists()


def test_a_doctor_in_a_source_tree_knows_python_alone(source_tree: None) -> None:
    assert [(each.name, each.wanted) for each in packages()] == [("python", "")]


def test_a_screen_that_lacks_signs_shows_the_rest() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "fomo", "methods"]
    shown = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE_SECONDS)
    assert shown.returncode == 0 and "finetune" in shown.stdout, shown.stderr
