"""A run whose workers die, hang or are slow, and one that is told to stop meanwhile."""

import os
import signal
import sys
import threading
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from fomo.errors import Stopped, WorkerHung
from fomo.running.run import execute
from fomo.system.runtime import Runtime
from fomo.system.signals import Stop
from fomo.training.loader import Batches
from tests import tiny
from tests.faults.command import children, fomo_run, patience, wait_for, wait_for_steps, wait_until_gone
from tests.faults.compare import differences
from tests.fomo.helpers import imported
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
WORKERS = "runtime.num_workers=2"


class Killing(tiny.Silent):
    """Kills a worker of the batches after the first step, when most of them are not made."""

    def __init__(self) -> None:
        self.others = set(active_children())
        self.killed: list[int] = []

    def step(self, task: int, step: int, loss: float) -> None:
        if not self.killed:
            self.killed = [pid for each in set(active_children()) - self.others if (pid := each.pid)]
            os.kill(self.killed[0], signal.SIGKILL)


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, steps, killing = tmp_path / "run", "budget.steps=24", Killing()
    execute(tiny.prepared(steps, WORKERS), folder, killing)
    assert len(killing.killed) == 2 and "a loader worker died (by SIGKILL)" in caplog.text
    assert differences(tiny.run(tmp_path / "whole", steps), folder) == []


@pytest.mark.parametrize(
    ("number", "expected", "said"),
    [(signal.SIGTERM, 75, "is task 1 after"), (None, 2, "nothing came from the loader's workers for 0.5 s")],
)
def test_workers_that_hang_stop_neither_a_signal_nor_the_end(
    number: signal.Signals | None, expected: int, said: str, tmp_path: Path
) -> None:
    """Stopped workers answer nobody, not even a request to end. None is left behind."""
    folder, mark = tmp_path / "run", tmp_path / "stopped"
    process = fomo_run(folder, "budget.steps=4000", WORKERS, mark=mark)
    wait_for_steps(folder, process)
    workers = children(process)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    if number is None:
        mark.touch()
    else:
        os.kill(process.pid, number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == expected, errors
    assert said in errors and "the same command goes on" in errors.lower() and "Traceback" not in errors
    assert len(workers) == 2
    wait_until_gone(workers)


def test_drawing_pictures_stops_at_once(tmp_path: Path) -> None:
    process = fomo_run(tmp_path / "run", FOMO_CACHE=str(tmp_path / "cache"))
    wait_for(lambda: bool(list((tmp_path / "cache").glob("pocket-*/lock"))) and bool(children(process)), process)
    workers = children(process)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 75 and "stopped by SIGTERM" in errors and "Traceback" not in errors
    wait_until_gone(workers)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``mine``, an imported dataset; whoever reads its training split waits for ever, as on a file system that is gone.

    Forked workers inherit it. Who waits has left the file ``stuck`` beside the data.
    """
    read = os.pread

    def stuck_read(file: int, size: int, start: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{file}").endswith("train-000000.tar"):
            if threading.current_thread() is not threading.main_thread():  # thumbnails are read, and no batch
                raise OSError("gone")
            (tmp_path / "stuck").touch()
            time.sleep(1000)
        return read(file, size, start)

    monkeypatch.setattr(os, "pread", stuck_read)
    return imported(tmp_path / "data")


def stuck(data: Path, num_workers: int) -> tuple[str, ...]:
    """Overrides of a run that never gets its first batch; the evaluation before it has the base model alone to do."""
    return (f"stream.root={data}", "stream.adaptation=[mine]", f"runtime.num_workers={num_workers}")


def test_what_a_hung_worker_was_reading_is_said(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runtime, "worker_timeout", patience(tmp_path / "stuck"), raising=False)
    expected = r"task 1, step 0: .*worker \d .* at sample \d+ of split 'train' of dataset 'mine' in .*train-000000\.tar"
    with pytest.raises(WorkerHung, match=expected):
        execute(tiny.prepared(*stuck(data, 2)), tmp_path / "run", tiny.Silent())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_read_that_does_not_end_is_left_when_a_signal_comes(
    num_workers: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are stuck from the start; the run itself is once it asks for its first batch."""
    stop, prepared, asked = Stop(), tiny.prepared(*stuck(data, num_workers)), threading.Event()
    of_task = Batches.of_task
    monkeypatch.setattr(Batches, "of_task", lambda *given: (asked.set(), of_task(*given))[1])

    def ask() -> None:
        until(asked.is_set)
        until((tmp_path / "stuck").exists)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()
    with stop.listening(), pytest.raises(Stopped, match="evaluation of the base model") as stopped:
        execute(prepared, tmp_path / "run", tiny.Silent(), stop)
    assert stopped.value.status == 75
