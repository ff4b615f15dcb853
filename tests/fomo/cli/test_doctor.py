"""``fomo doctor``: the table, JSON, exit status; nothing is left behind."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fomo.cli.doctor import document, offline, show
from fomo.doctor.examine import examine
from fomo.doctor.facts import Package
from fomo.doctor.machine import versions
from fomo.doctor.verdict import Level
from tests.fomo.doctor.settings import FACTS
from tests.fomo.helpers import error_of, status
from tests.tiny import TINY

CHECKS = [
    *("versions", "GPU driver", "CPU threads", "load", "matmul fp32", "matmul bf16", "bf16", "memory copy", "job"),
    *("same bits", "training step"),
    *("memory", "data loading", "open files", "disk space", "disk speed", "cache space", "network backend", "clock"),
]


def numbers(node: Any) -> Iterator[float]:
    """All numbers of a document."""
    if isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from numbers(each)
    elif isinstance(node, int | float):
        yield node


def test_the_command_judges_this_machine_and_leaves_nothing(tmp_path: Path) -> None:
    top = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(top), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "fomo", "doctor", "--json", "--seconds", "1", *TINY]
    command += ["run.dir=a/run", "runtime.num_workers=2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)  # and nothing else is on standard output
    assert said["schema"] == "fomo.doctor/1" and {each["check"] for each in said["checks"]} >= {*CHECKS}
    levels = {each["check"]: each["verdict"] for each in said["checks"]}
    assert done.returncode == ("red" in levels.values()), done.stderr
    assert said["verdict"] == next(name for name in ("red", "yellow", "green") if name in levels.values())
    assert all(bool(each["advice"]) == (each["verdict"] != "green") for each in said["checks"])
    assert all(map(math.isfinite, numbers(said["facts"]))) and said["facts"]["job"]["step_seconds"] > 0
    assert levels["job"] == levels["versions"] == "green" and not list(tmp_path.iterdir())


def test_the_table_has_a_row_per_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    assert status("doctor", "--seconds=0.1", *TINY) in (0, 1)
    shown = capsys.readouterr().out
    assert all(f"│ {check} " in shown for check in CHECKS if check != "GPU driver") and "6 steps: about" in shown
    assert not list(tmp_path.iterdir()) and not active_children() and dict(os.environ) == before


def test_a_job_that_fomo_run_would_refuse_is_red_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert status("doctor", "--json", "--seconds=0.1", *TINY, f"run.dir={tmp_path}") == 1
    said = json.loads(capsys.readouterr().out)
    job = next(each for each in said["checks"] if each["check"] == "job")
    assert said["verdict"] == job["verdict"] == "red" and "holds no run" in job["advice"]
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_mistake_in_the_overrides_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'finetune'" in error_of(capsys, "doctor", "method=finetun")
    for seconds in ("0", "-1", "nan", "inf"):
        assert "numbers above 0" in error_of(capsys, "doctor", f"--seconds={seconds}")


def test_colours_are_not_needed_to_read_it() -> None:
    console = Console(width=160, record=True, file=StringIO())
    verdicts = [versions(FACTS.packages), *examine(FACTS)[1:]]
    show(console, FACTS, verdicts)
    assert console.export_text().count("✓ green") == len(verdicts)


def test_without_its_libraries_the_rest_is_not_examined() -> None:
    said = versions([Package("torch", None, ">=2.6")])
    console = Console(width=120, record=True, file=StringIO())
    show(console, None, [said])
    text = console.export_text()
    assert said.level is Level.RED and "✗ red" in text and "pip install --upgrade 'torch>=2.6'" in text
    assert document(None, [said])["facts"] is None


def test_libraries_are_told_to_stay_off_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    with offline():
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
    assert os.environ["HF_HUB_OFFLINE"] == "0" and "TRANSFORMERS_OFFLINE" not in os.environ
