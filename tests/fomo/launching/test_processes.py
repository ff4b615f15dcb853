"""Several runs at a time on this machine."""

import os
import signal
from pathlib import Path

import pytest
import torch

from fomo.cli import main
from fomo.errors import FomoError, Stopped
from fomo.launching import processes
from fomo.launching.job import jobs_of
from fomo.launching.launcher import Counts
from fomo.launching.processes import Processes, Share, gpus_here, shares
from fomo.system.signals import Stop
from tests import tiny
from tests.fomo.launching.stand_in import Listener, script

SHOWS = "import os; print(*(os.environ[name] for name in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')), sep='|')"


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores_here", lambda: tuple(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch and the environment show them where somebody has four of eight."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,GPU-aa, 7")


def test_without_a_gpu_each_run_has_its_share_of_the_cores() -> None:
    assert shares(3, 0) == [Share((), 2, (0, 1)), Share((), 2, (2, 3)), Share((), 2, (4, 5))]
    assert Processes().place({"auto"}) == 0 and Processes(processes=8).place({"auto"}) == 0
    assert Processes()._at_once(0) == 2


def test_each_run_has_gpus_of_its_own(four_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus_here() == ["2", "3", "GPU-aa", "7"]
    assert shares(2, 2) == [Share(("2", "3"), 4, ()), Share(("GPU-aa", "7"), 4, ())]
    assert Processes().place({"auto"}) == 1 and Processes()._at_once(1) == 4
    assert Processes().place({"cpu"}) == 0 and Processes(gpus_per_run=0).place({"auto", "cpu"}) == 0
    assert Processes(gpus_per_run=2).place({"cuda"}) == 2
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus_here() == ["0", "1", "2", "3"]


def test_runs_at_a_time_see_other_gpus_and_a_free_one_is_taken_again(four_gpus: None, tmp_path: Path) -> None:
    jobs = [script(number, tmp_path, SHOWS, gpus=1) for number in range(6)]
    assert Processes(processes=2).launch(jobs, Stop(), Listener()) == []
    seen = [job.log.read_text().splitlines()[-1] for job in jobs]
    assert set(seen) == {"2|4", "3|4"} and seen[:2] == ["2|4", "3|4"]


def test_what_the_user_says_of_threads_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = tuple(sorted(os.sched_getaffinity(0)))[:1]
    monkeypatch.setattr(processes, "cores_here", lambda: one)
    (job,) = [script(1, tmp_path, f"{SHOWS}; print(os.sched_getaffinity(0))")]
    assert Processes().launch([job], Stop(), Listener()) == []
    assert job.log.read_text().splitlines()[-2:] == ["|1", str(set(one))]


@pytest.mark.parametrize(
    ("settings", "devices", "said"),
    [
        ({"processes": 0}, set(), "launcher.processes=0: allowed are integers from 1 on"),
        ({"processes": 2.5}, set(), "launcher.processes=2.5"),
        ({"processes": True}, set(), "launcher.processes=True"),
        ({"processes": 9}, {"auto"}, "launcher.processes=9: allowed are 1 to 4, and null: each run has 1 of 4 GPUs"),
        ({"processes": 9}, {"cpu"}, "launcher.processes=9: allowed are 1 to 8, and null: each run has a core at least"),
        ({"processes": 3, "gpus_per_run": 2}, {"auto"}, "launcher.processes=3: allowed are 1 to 2"),
        ({"gpus_per_run": 5}, {"auto"}, "launcher.gpus_per_run=5: there are 4 here; allowed are 0 to 4"),
        ({"gpus_per_run": -1}, {"auto"}, "launcher.gpus_per_run=-1"),
        ({}, {"cuda:1"}, "runtime.device=cuda:1: each run sees its own GPUs alone"),
        ({"gpus_per_run": 0}, {"cuda"}, "runtime.device=cuda: each run sees no GPU"),
    ],
)
def test_what_is_not_there_is_refused(settings: dict[str, int], devices: set[str], said: str, four_gpus: None) -> None:
    with pytest.raises(FomoError) as error:
        Processes(**settings).place(devices)
    assert said in str(error.value)


def test_a_sweep_of_real_runs_goes_on_lists_what_failed_and_scores_as_a_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``budget.steps=1`` is too few for two tasks, which shows when a run is prepared."""
    one = tuple(sorted(os.sched_getaffinity(0)))[:1]
    monkeypatch.setattr(processes, "cores_here", lambda: one * 2)
    monkeypatch.chdir(tmp_path)
    tiny.run(tmp_path / "alone")
    command = ["run", "-m", *tiny.TINY, "run.dir=out", "launcher=processes"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "budget.steps=6,1", "launcher.processes=2"])
    shown = capsys.readouterr()
    assert ended.value.code == 2 and "is done: budget.steps=6; log: out/budget.steps=6.log" in shown.out
    assert "2 running, 0 done, 0 failed of 2" in shown.out and "0 running, 1 done, 1 failed of 2" in shown.out
    assert "1 of 2 runs have failed; the same command goes on with them" in shown.err
    assert "run 2: budget.steps=1\n    status 2: budget.steps=1" in shown.err
    assert "log: out/budget.steps=1.log" in shown.err
    scores = [Path(name, "scores.json").read_bytes() for name in ("alone", "out/budget.steps=6")]
    assert scores[0] == scores[1] and not Path("out/budget.steps=1").exists()
    main([*command, "budget.steps=choice(6)"])
    assert "run 1 is finished: " in capsys.readouterr().out


def test_a_real_run_saves_when_its_launcher_is_asked_to_stop(tmp_path: Path) -> None:
    """The one under way makes a checkpoint, the other one never starts."""
    words = [[*tiny.TINY, f"budget.steps={number}", f"run.dir={tmp_path}/{number}"] for number in (4000, 8000)]
    first, second = jobs_of(words, [tiny.resolved(*each) for each in words], None, 0, [{}, {}])
    events = first.folder / "events.jsonl"

    def ask(counts: Counts) -> None:
        if not stop.asked and events.exists() and '"step"' in events.read_text():
            signal.raise_signal(signal.SIGTERM)

    heard = Listener(ask)
    with Stop().listening() as stop, pytest.raises(Stopped, match=r"stopped by SIGTERM: 0 of 2 runs are done"):
        Processes(processes=1).launch([first, second], stop, heard)
    assert heard.lines[-1].startswith("run 1 has stopped (it was asked to stop (status 75)")
    assert f"stopped by SIGTERM: saved in {first.folder}" in first.log.read_text()
    assert list((first.folder / "checkpoint").glob("0*")) and not second.folder.exists()
