"""A run as a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fomo.launching import child
from tests.waiting import until


def work(log: Path, code: str, **environment: str) -> child.Work:
    return child.Work((sys.executable, "-c", code), log, environment)


def test_what_it_prints_is_in_its_log_after_what_was_there(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    code = "import os, sys; print(os.environ['OMP_NUM_THREADS'], os.getcwd()); print('to stderr', file=sys.stderr)"
    for threads in "3", "4":
        assert child.run_to_end(work(log, code, OMP_NUM_THREADS=threads)) == 0
    lines = log.read_text().splitlines()
    assert sorted(line for line in lines if not line.startswith("$")) == [
        f"3 {os.getcwd()}",
        f"4 {os.getcwd()}",
        "to stderr",
        "to stderr",
    ]
    assert [line for line in lines if line.startswith("$")] == [lines[0]] * 2 and sys.executable in lines[0]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", ""),
        ("import sys; print('error: batch_size=0: no'); print('more'); sys.exit(2)", "status 2: batch_size=0: no"),
        ("1 / 0", "status 1: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "status 3: it printed nothing"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL: as a rule, memory ran out"),
        ("import os; os.kill(os.getpid(), 6)", "ended by SIGABRT"),
        ("import sys; sys.exit(75)", "it was asked to stop (status 75); the same command goes on"),
        ("import sys; print('error: \\x1b[31m'); sys.exit(2)", "status 2: \x1b[31m"),
    ],
)
def test_how_it_ended_is_told_in_a_line(code: str, expected: str, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("error: of an earlier start\n")
    assert child.failure(child.run_to_end(work(log, code)), log) == expected


def test_a_log_that_is_gone_is_no_further_failure(tmp_path: Path) -> None:
    assert child.failure(2, tmp_path / "none.log") == "status 2: its log cannot be read (No such file or directory)"


WAITS = """
import os, pathlib, signal, sys, time
def told(number, frame):
    pathlib.Path({place!r}, "told").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, told)
said = pathlib.Path({place!r}, "said")
said.write_text(str(signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN))
said.rename(said.with_name("ready"))
time.sleep(600)
"""
PARENT = """
import pathlib, sys
from fomo.launching.child import Work, run_to_end
run_to_end(Work((sys.executable, "-c", {code!r}), pathlib.Path({place!r}, "run.log")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to tell a process of its parent's end")
def test_it_is_asked_to_stop_when_its_launcher_is_killed(tmp_path: Path) -> None:
    code = WAITS.format(place=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(code=code, place=str(tmp_path))])
    until((tmp_path / "ready").exists)
    assert not (tmp_path / "told").exists()
    parent.kill()
    parent.wait()
    until((tmp_path / "told").exists)


def test_it_is_stopped_from_within_a_handler_and_ignores_what_submitit_is_told_by(tmp_path: Path) -> None:
    process = child.start(work(tmp_path / "run.log", WAITS.format(place=str(tmp_path))))
    before = signal.signal(signal.SIGUSR1, lambda number, frame: child.stop_and_wait(process))
    try:
        until((tmp_path / "ready").exists)
        os.kill(process.pid, signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert process.wait(timeout=0) == 75 and (tmp_path / "ready").read_text() == "True"
    child.stop_and_wait(process)  # it has ended: nothing happens
