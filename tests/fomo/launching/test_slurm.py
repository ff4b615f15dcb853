"""Runs as jobs of Slurm: by submitit's local executor, and by commands that stand in for Slurm's."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fomo.cli import main
from fomo.errors import FomoError, Stopped
from fomo.launching import in_job
from fomo.launching.launcher import Counts
from fomo.launching.slurm import Submitit
from fomo.system.signals import Stop
from tests import tiny
from tests.fomo.launching import fake_slurm
from tests.fomo.launching.stand_in import Listener, script
from tests.waiting import until

pytest.importorskip("submitit")
GOES_ON = """
import pathlib, signal, sys, time
place = pathlib.Path({place!r})
print("began", flush=True)
def told(number, frame):
    (place / "saved").write_text("")
    sys.exit(75)
signal.signal(signal.SIGTERM, told)
if (place / "saved").exists():
    sys.exit(0)
(place / "ready").write_text("")
time.sleep(600)
"""
"""A run that saves when it is asked to stop, and is done when it is started again."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that says how the jobs of a stand-in for Slurm are."""
    fake_slurm.install(tmp_path / "bin")
    home = tmp_path / "slurm"
    home.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.setattr(in_job, "GRACE_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    return home


def once(condition: Callable[[], bool], act: Callable[[], None]) -> Callable[[Counts], None]:
    """What calls ``act`` once, when the condition holds."""
    left = [act]

    def look(counts: Counts) -> None:
        if left and condition():
            left.pop()()

    return look


def task_of(place: Path) -> int:
    """The process in which submitit's local executor has the run that is in ``place``."""
    log = next((place / ".submitit").glob("*_0_log.out"))
    return pids("-P", log.name.split("_")[0])[0]


def pids(*arguments: str) -> list[int]:
    """The processes that ``pgrep`` finds."""
    found = subprocess.run(["pgrep", *arguments], capture_output=True, text=True, check=True)
    return [int(line) for line in found.stdout.split()]


def test_a_preempted_run_saves_is_requeued_and_goes_on(tmp_path: Path) -> None:
    job = script(1, tmp_path, GOES_ON.format(place=str(tmp_path)))
    preempt = once((tmp_path / "ready").exists, lambda: os.kill(task_of(tmp_path), signal.SIGUSR2))
    heard = Listener(preempt)
    assert Submitit(cluster="local").launch([job], Stop(), heard) == []
    assert (tmp_path / "saved").exists() and job.log.read_text().count("\nbegan") == 2
    (log,) = (tmp_path / ".submitit").glob("*_0_log.out")
    assert "Calling checkpoint method" in log.read_text() and "Requeued job" in log.read_text()


def test_a_failure_is_told_and_another_run_is_done(tmp_path: Path) -> None:
    codes = ["print('error: no such dataset'); raise SystemExit(2)", "pass"]
    jobs = [script(number, tmp_path, code) for number, code in enumerate(codes, start=1)]
    failures = Submitit(cluster="local").launch(jobs, Stop(), Listener())
    assert failures == [(jobs[0], "status 2: no such dataset")]


def test_asked_to_stop_it_has_the_runs_save(tmp_path: Path) -> None:
    job = script(1, tmp_path, GOES_ON.format(place=str(tmp_path)))
    heard = Listener(once((tmp_path / "ready").exists, lambda: signal.raise_signal(signal.SIGTERM)))
    with Stop().listening() as stop, pytest.raises(Stopped) as stopped:
        Submitit(cluster="local").launch([job], stop, heard)
    assert stopped.value.status == 75
    until((tmp_path / "saved").exists)


def test_an_array_asks_slurm_for_what_was_set(slurm: Path, tmp_path: Path) -> None:
    launcher = Submitit(
        partition="gpu",
        constraint="h100",
        minutes=90,
        cpus_per_run=4,
        memory_gb=32,
        at_once=2,
        setup=["export A=b"],
        more={"nodelist": "n1"},
    )
    assert launcher.place({"auto"}) == 1
    codes = ["import os; print(os.environ['A'])", "raise SystemExit(3)", "pass"]
    jobs = [script(number, tmp_path / "out", code, gpus=1) for number, code in enumerate(codes, start=1)]
    assert launcher.launch(jobs, Stop(), Listener()) == [(jobs[1], "status 3: it printed nothing")]
    assert jobs[0].log.read_text().endswith("\nb\n")
    asked = (slurm / "submitted.sh").read_text()
    for line in ("partition=gpu", "constraint=h100", "time=90", "gpus-per-node=1", "cpus-per-task=4", "mem=32GB"):
        assert f"#SBATCH --{line}\n" in asked
    assert "#SBATCH --array=0-2%2\n" in asked and "#SBATCH --requeue\n" in asked and "--signal=USR2@120" in asked
    assert "--nodelist=n1" in asked
    assert not list((tmp_path / "out").glob(".seed=*"))  # the numbers of jobs that have ended


def test_slurms_signal_requeues_by_scontrol(slurm: Path, tmp_path: Path) -> None:
    """Slurm sends it to every process of the job: submitit's has the run save, which ignores it itself."""
    job = script(1, tmp_path / "out", GOES_ON.format(place=str(tmp_path)))

    def preempt() -> None:
        group = int((slurm / "17.pid").read_text())
        os.kill(pids("-g", str(group), "-f", "submitit.core._submit")[-1], signal.SIGUSR2)

    assert Submitit().launch([job], Stop(), Listener(once((tmp_path / "ready").exists, preempt))) == []
    assert job.log.read_text().count("\nbegan") == 2


def test_a_job_that_an_earlier_launcher_has_submitted_is_not_submitted_again(slurm: Path, tmp_path: Path) -> None:
    job = script(1, tmp_path / "out", GOES_ON.format(place=str(tmp_path)))

    class Killed(Exception):
        pass

    def die() -> None:
        raise Killed

    launcher = Submitit()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("fomo.launching.slurm.Submitted.stop", lambda self: None)  # as a launcher that is killed
        launcher.launch([job], Stop(), Listener(once((tmp_path / "ready").exists, die)))
    (slurm / "submitted.sh").unlink()
    (pid,) = pids("-f", f"place = .*{re.escape(str(tmp_path))}")
    heard = Listener(once(lambda: True, lambda: os.kill(pid, signal.SIGTERM)))
    ((failed, how),) = launcher.launch([job], Stop(), heard)
    assert failed is job and "asked to stop (status 75)" in how
    assert not (slurm / "submitted.sh").exists() and "run 1 is job 17 already: seed=1" in heard.lines


def test_a_job_that_slurm_has_killed_is_told_with_its_state(slurm: Path, tmp_path: Path) -> None:
    job = script(1, tmp_path / "out", GOES_ON.format(place=str(tmp_path)))

    def kill() -> None:
        (slurm / "17").write_text("OUT_OF_MEMORY")
        os.killpg(int((slurm / "17.pid").read_text()), signal.SIGKILL)

    ((_, how),) = Submitit().launch([job], Stop(), Listener(once((tmp_path / "ready").exists, kill)))
    assert re.fullmatch(r"job 17 has ended without a result: OUT_OF_MEMORY; its log: .*/\.submitit/17_0_log\.out", how)


def test_what_slurm_does_not_take_is_told_in_a_line(slurm: Path, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"Slurm takes no such job: .*Invalid partition name specified\. See launcher"):
        Submitit(partition="full").launch([script(1, tmp_path / "out", "pass")], Stop(), Listener())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cluster": "slrum"}, "slrum"),
        ({"minutes": 0}, "launcher.minutes=0"),
        ({"minutes": "4:00"}, "launcher.minutes=4:00"),
        ({"memory_gb": -1}, "launcher.memory_gb=-1"),
        ({"partition": ""}, "launcher.partition=''"),
        ({"partition": "a\nb"}, "launcher.partition="),
        ({"setup": [1]}, "launcher.setup=[1]"),
        ({"setup": "module load cuda"}, "launcher.setup="),
        ({"more": "x"}, "launcher.more=x"),
        ({"gpus_per_run": 1, "cluster": "local"}, "launcher.gpus_per_run=1: there are 0 here"),
        ({}, "Slurm is not here (sbatch is not found)"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    with pytest.raises(FomoError) as error:
        Submitit(**settings).place({"auto"})
    assert said in str(error.value)


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FomoError, match=r"pip install 'fomo-bench\[slurm\]'"):
        Submitit().place({"auto"})


def test_a_real_run_on_the_local_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    launcher = ["launcher=submitit", "launcher.cluster=local"]
    main(["run", "-m", *tiny.TINY, "method=choice(frozen)", "run.dir=out", *launcher])
    assert Path("out/method=frozen/card.json").exists() and Path("out/method=frozen.log").exists()
