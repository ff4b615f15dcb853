"""A disk that is full: the run stops cleanly, and with room again it ends as if there always had been."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fomo.checkpoint.files import latest
from fomo.errors import FomoError
from fomo.results.layout import CHECKPOINTS
from fomo.results.record import Record
from fomo.results.scores import ScoredStream, Scores
from fomo.running.folder import is_full
from fomo.running.run import execute
from tests import tiny
from tests.faults.compare import differences

OFTEN = "checkpoint.every_steps=1"
FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.run(tmp_path_factory.mktemp("whole") / "run")


class Filling(tiny.Silent):
    """From the evaluation of task 1 on, what is written to ``path`` meets a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def evaluating(self, task: int, dataset: str) -> None:
        if task == 1 and not self._path.exists():
            self._path.symlink_to(FULL)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_the_scores_may_meet_it(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    scratch = folder / ".scores.json.partial"
    with pytest.raises(FomoError, match=rf"{folder}.*No space left.*the same command goes on"):
        execute(tiny.prepared(), folder, Filling(scratch))
    assert not (folder / "card.json").exists()
    assert latest(folder / CHECKPOINTS, folder / "events.jsonl") is not None
    scratch.unlink(missing_ok=True)
    assert differences(whole, tiny.run(folder)) == []


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_the_events_may_meet_it(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to(FULL)
    record = Record(Scores(tmp_path, ScoredStream("none"), "test", (), 1, {}), tiny.Silent().step)
    for act in (lambda: record.event("resume"), record.close):
        with pytest.raises(OSError, match="No space left") as caught:
            act()
        assert is_full(caught.value)


SMALL = """
set -u
mount -t tmpfs -o size=12m tmpfs "$1"
run() {{ "$2" -m fomo run {overrides} run.dir="$1/run"; }}
run "$1" "$2"; first=$?
ls -A "$1/run/checkpoint"
mount -o remount,size=1g "$1"
run "$1" "$2"; second=$?
cp -r "$1/run" "$3"
echo "status $first, then $second"
"""


def may_mount() -> bool:
    """Whether this user may mount in a namespace of their own."""
    unshare = shutil.which("unshare")
    probe = [unshare or "", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return unshare is not None and subprocess.run(probe, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="may not mount a file system")
def test_a_small_disk_fills_and_grows(whole: Path, tmp_path: Path) -> None:
    """The first checkpoint (the network) fits, and then not the network with the optimizer."""
    small, copy = tmp_path / "small", tmp_path / "copy"
    small.mkdir()
    script = SMALL.format(overrides=" ".join(f"'{each}'" for each in (*tiny.TINY, OFTEN)))
    command = ["unshare", "-Urm", "bash", "-c", script, "bash", str(small), sys.executable, str(copy)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert "status 2, then 0" in ended.stdout, ended.stderr
    assert "could not be written" in ended.stderr and "is whole" in ended.stderr and "Traceback" not in ended.stderr
    assert differences(whole, copy) == []
