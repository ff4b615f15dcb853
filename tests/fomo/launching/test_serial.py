"""One run after the other, in this process."""

from pathlib import Path

import pytest

from fomo.cli import main
from fomo.config.sweeping import sweep
from fomo.errors import FomoError
from fomo.launching import serial
from fomo.launching.serial import Serial
from fomo.system.signals import Stop
from tests import tiny
from tests.fomo.launching.stand_in import Listener, script


def test_a_run_that_fails_stops_no_other_and_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", *tiny.TINY, "method=frozen", "budget.steps=1,6", "run.dir=out"])
    shown = capsys.readouterr()
    assert ended.value.code == 2 and Path("out/budget.steps=6/card.json").exists()
    assert "1 of 2 runs have failed" in shown.err and "run 1: budget.steps=1\n    budget.steps=1" in shown.err
    assert "log: out/budget.steps=1.log" in shown.err
    assert Path("out/budget.steps=1.log").read_text().startswith("Traceback")


def test_a_fault_of_the_program_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [script(number, tmp_path, "") for number in (1, 2)]

    def broken(resolved: object, audience: Listener, stop: Stop) -> Path:
        if "result of b" not in audience.lines and len(audience.lines) < 2:
            raise ZeroDivisionError("a fault")
        return Path("b")

    monkeypatch.setattr(serial, "complete", broken)
    heard = Listener()
    assert Serial().launch(jobs, Stop(), heard) == [(jobs[0], "ZeroDivisionError: a fault")]
    assert heard.lines[-1] == "result of b" and "ZeroDivisionError" in jobs[0].log.read_text()


@pytest.mark.parametrize("launcher", [[], ["launcher=processes"]])
def test_the_same_run_twice_is_refused(
    launcher: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(sweep(["seed=0,0"])) == 2
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", *tiny.TINY, "seed=0,0", *launcher])
    assert ended.value.code == 2 and "runs 1 and 2 of the sweep are the same, in runs/" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial, "complete", None)
    (tmp_path / "file").write_text("")
    jobs = [script(1, tmp_path, ""), script(2, tmp_path / "file" / "inner", "")]
    heard = Listener()
    with pytest.raises(FomoError, match=r"file/inner/seed=2 cannot be written to \(.*/file is no folder"):
        Serial().launch(jobs, Stop(), heard)
    assert heard.lines == []
