"""The watch over runs: limits, failures, being asked to stop, folders."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fomo.errors import FomoError, Stopped
from fomo.launching import processes
from fomo.launching.job import jobs_of
from fomo.launching.launcher import Counts
from fomo.launching.processes import Processes
from fomo.system.lock import locked
from fomo.system.signals import Stop
from tests import tiny
from tests.fomo.helpers import put
from tests.fomo.launching.stand_in import Listener, Script, script

SAVES = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(75))
pathlib.Path(FILE).write_text("")
time.sleep(600)
"""
HOLDS = """
from pathlib import Path
from fomo.system.lock import locked
with locked(Path({folder!r})):
    print(1, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores_here", lambda: tuple(sorted(os.sched_getaffinity(0)))[:1] * 2)


def test_a_run_that_fails_or_is_killed_stops_no_other(tmp_path: Path) -> None:
    codes = ["print('error: no such dataset'); raise SystemExit(2)", "import os; os.kill(os.getpid(), 9)", "pass"]
    jobs = [script(number, tmp_path, code) for number, code in enumerate(codes, start=1)]
    heard = Listener()
    failures = Processes(processes=2).launch(jobs, Stop(), heard)
    assert sorted((job.number, how) for job, how in failures) == [
        (1, "status 2: no such dataset"),
        (2, "ended by SIGKILL: as a rule, memory ran out"),
    ]
    assert heard.counts[-1] == Counts(3, done=1, failed=2, running=0)
    assert any(f"run 3 is done: seed=3; log: {tmp_path}/seed=3.log" in line for line in heard.lines)
    assert (tmp_path / "seed=1.log").read_text().endswith("error: no such dataset\n")


def test_no_more_runs_are_under_way_than_asked_for(tmp_path: Path) -> None:
    """Each looks at who has begun and not ended; the first two wait for one another, so one of them sees both."""
    code = f"""
import os, pathlib, time
place = pathlib.Path({str(tmp_path)!r})
mine = place / f"{{os.getpid()}}.here"
mine.write_text("")
pathlib.Path(f"{{mine}}.begun").write_text("")
while len(list(place.glob("*.begun"))) < 2:
    time.sleep(0.01)
time.sleep(0.2)
print(len(list(place.glob("*.here"))))
mine.unlink()
"""
    jobs = [script(number, tmp_path, code) for number in range(5)]
    heard = Listener()
    assert Processes(processes=2).launch(jobs, Stop(), heard) == []
    seen = {int(job.log.read_text().splitlines()[-1]) for job in jobs}
    assert max(seen) == 2 and max(each.running for each in heard.counts) <= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_stops_the_runs_and_ends_with_75(number: signal.Signals, tmp_path: Path) -> None:
    ready = [tmp_path / f"ready-{each}" for each in range(3)]
    jobs = [script(each, tmp_path, SAVES.replace("FILE", repr(str(file)))) for each, file in enumerate(ready)]

    def ask(counts: Counts) -> None:
        if not stop.asked and counts.running == 2 and all(file.exists() for file in ready[:2]):
            signal.raise_signal(number)

    heard = Listener(ask)
    with Stop().listening() as stop, pytest.raises(Stopped) as stopped:
        Processes(processes=2).launch(jobs, stop, heard)
    assert stopped.value.status == 75 and f"stopped by {number.name}: 0 of 3 runs are done" in str(stopped.value)
    assert sum("has stopped (it was asked to stop (status 75)" in line for line in heard.lines) == 2
    assert not ready[2].exists()  # the third one never started


def refused(jobs: list[Script]) -> str:
    with pytest.raises(FomoError) as error:
        Processes(processes=1).launch(jobs, Stop(), Listener())
    assert not any("began" in job.log.read_text() for job in jobs if job.log.exists())
    return str(error.value)


def test_folders_are_checked_before_anything_starts(tmp_path: Path) -> None:
    good = script(1, tmp_path, "print('began')")
    put(tmp_path / "seed=2" / "thesis.tex", "x")
    assert "not empty and holds no run" in refused([good, script(2, tmp_path, "")])
    put(tmp_path / "file", "x")
    assert "/file is no folder of yours)" in refused([good, script(3, tmp_path / "file", "")])
    code = HOLDS.format(folder=str(tmp_path / "seed=4"))
    held = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert held.stdout is not None and held.stdout.readline() == b"1\n"
        assert "is in use by process" in refused([good, script(4, tmp_path, "")])
    finally:
        held.kill()
        held.communicate()


def test_two_runs_of_a_sweep_in_one_folder_are_refused(tmp_path: Path) -> None:
    words = [[f"run.dir={tmp_path}/a", f"runtime.num_workers={number}"] for number in (0, 1)]
    with pytest.raises(FomoError, match=r"runs 1 and 2 of the sweep are the same, in .*/a: .*num_workers=1"):
        jobs_of(words, [tiny.resolved(*each) for each in words], None, None, [{}, {}])


def test_a_lock_of_this_process_is_let_go(tmp_path: Path) -> None:
    with locked(tmp_path / "seed=1"):
        pass
    assert Processes(processes=1).launch([script(1, tmp_path, "pass")], Stop(), Listener()) == []
