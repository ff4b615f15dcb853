"""What every import shares: order, interruption, one at a time, nothing half-finished."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest

from fomo.data.importing import split_writer
from fomo.data.importing.folder import folder_source
from fomo.data.importing.job import LEFT_OUT_FILE, ImportSource, bring_in, fingerprint, resumed
from fomo.data.importing.reference import reference_source
from fomo.data.importing.webdataset import webdataset_source
from fomo.data.shards import open_dataset, present
from fomo.errors import FomoError, WorkerDied, WorkerHung
from fomo.system import workers
from fomo.system.workers import batched, num_cores, runner
from tests.fomo.helpers import encoded, error_of, picture, put, status
from tests.fomo.tars import tar

PROGRAM = """
import sys
from fomo.data.importing import split_writer
split_writer.SHARD_BYTES = 2000
from fomo.cli import main
main(sys.argv[1:])
"""

KILLED = """
import os, signal
from fomo.data.importing.split_writer import SplitWriter
plain = SplitWriter.add
def add(self, *sample):
    plain(self, *sample)
    if len(self.hashes) == 3 and self._shard is not None:
        os.kill(os.getpid(), signal.SIGKILL)
SplitWriter.add = add
"""
"""Before the program: it is killed within the fourth shard."""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_writer, "SHARD_BYTES", 2000)


def tree(root: Path, number: int = 120) -> Path:
    for index in range(number):
        put(root / f"class {index % 3}" / f"{index:03d}.png", picture(index, (20, 16)))
    put(root / "class 0" / "broken.png", b"no picture")
    put(root / "class 2" / "same.png", picture(5, (20, 16)))
    return root


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> None:
    os._exit(1)


def test_jobs_come_back_in_order_and_lazily() -> None:
    taken = []

    def jobs() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with runner(2) as run:
        results = run(double, jobs())
        assert next(results) == 0 and len(taken) < 20
        assert list(results) == [2 * number for number in range(1, 100)]


def test_a_worker_that_dies_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(WorkerDied, match="--workers"), runner(2) as run:
        list(run(die, [1]))


def test_a_worker_that_hangs_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(WorkerHung, match="file system"), runner(2) as run:
        list(run(time.sleep, [1000]))
    assert not active_children()


def test_batches_hold_everything_once() -> None:
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]] and list(batched([], 3)) == []
    assert num_cores() >= 1


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    source = folder_source(tree(tmp_path / "tree"), "mine")
    for num_workers in (1, 2):
        bring_in(source, tmp_path / str(num_workers), num_workers)
    one, two = files(tmp_path / "1" / "mine"), files(tmp_path / "2" / "mine")
    assert one == two and sum(name.startswith("train-") for name in one) > 3


def test_every_step_is_reported_once(tmp_path: Path) -> None:
    source = folder_source(tree(tmp_path / "tree", 40), "mine")
    ticks: list[int] = []
    bring_in(source, tmp_path / "out", 1, ticks.append)
    assert sum(ticks) == source.total == 84


def test_what_is_left_out_is_listed_with_its_reason(tmp_path: Path) -> None:
    card = bring_in(folder_source(tree(tmp_path / "tree"), "mine"), tmp_path / "out")
    lines = (tmp_path / "out" / "mine" / LEFT_OUT_FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"path": "class 0/broken.png", "reason": "broken image"},
        {"path": "class 2/same.png", "reason": "exact duplicate"},
    ]
    assert card.counts == {"broken image": 1, "exact duplicate": 1}


@pytest.mark.parametrize("step", [3, 70, 120, 180, 230])
def test_an_interrupted_import_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, step: int) -> None:
    source = folder_source(tree(tmp_path / "tree"), "mine")
    bring_in(source, tmp_path / "whole")
    ticks: list[int] = []

    def stop(number: int) -> None:
        ticks.append(number)
        if sum(ticks) >= step:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        bring_in(source, out, 1, stop)
    assert present(out) == {}
    kept = {path: path.stat().st_mtime_ns for path in out.glob(".mine.partial/*.tar")}
    assert bool(kept) == (step > 122)
    bring_in(source, out)
    assert files(out / "mine") == files(tmp_path / "whole" / "mine")
    assert [path.name for path in out.iterdir()] == ["mine"]
    unchanged = [out / "mine" / path.name for path, written in kept.items()]
    assert [path.stat().st_mtime_ns for path in unchanged] == list(kept.values())


def reference(folder: Path) -> ImportSource:
    """Forty pictures in a tar, every seventh missing."""
    paths = [f"{number}.png" for number in range(40)]
    members = [(f"SETS/{path}", encoded(picture(n, (20, 16)))) for n, path in enumerate(paths) if n % 7]
    tar(folder / "raw" / "SETS.tar", reversed(members))
    entries = {path: {"classname": None, "target": 0, "default_caption": f"picture {path}"} for path in paths}
    put(folder / "info" / "SETS_test.json", json.dumps(entries))
    return reference_source(folder / "raw", folder / "info", "SETS")


def foreign(folder: Path) -> ImportSource:
    """Forty pictures in four tars, every seventh without a text."""
    for shard in range(4):
        numbers = range(10 * shard, 10 * shard + 10)
        pictures = [(f"{number}.png", encoded(picture(number, (20, 16)))) for number in numbers]
        tar(folder / "raw" / f"{shard}.tar", [*pictures, *((f"{n}.txt", b"text") for n in numbers if n % 7)])
    return webdataset_source(folder / "raw", "SETS")


@pytest.mark.parametrize("make", [reference, foreign])
@pytest.mark.parametrize("step", range(1, 40, 4))
def test_every_kind_goes_on_wherever_it_stopped(
    tmp_path: Path, make: Callable[[Path], ImportSource], step: int
) -> None:
    source = make(tmp_path)
    card = bring_in(source, tmp_path / "whole")
    assert sum(card.num_samples.values()) == 34 and sum(card.counts.values()) == 6
    ticks: list[int] = []

    def stop(number: int) -> None:
        ticks.append(number)
        if sum(ticks) >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_in(source, tmp_path / "out", 1, stop)
    bring_in(source, tmp_path / "out")
    assert files(tmp_path / "out" / "SETS") == files(tmp_path / "whole" / "SETS")


def test_a_shard_that_was_damaged_meanwhile_is_written_anew(tmp_path: Path) -> None:
    source = folder_source(tree(tmp_path / "tree"), "mine")
    bring_in(source, tmp_path / "whole")
    ticks: list[int] = []

    def stop(number: int) -> None:
        ticks.append(number)
        if sum(ticks) > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_in(source, tmp_path / "out", 1, stop)
    put(tmp_path / "out" / ".mine.partial" / "train-000001.tar", b"x")
    bring_in(source, tmp_path / "out")
    assert files(tmp_path / "out" / "mine") == files(tmp_path / "whole" / "mine")


def test_an_import_of_something_else_starts_anew(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree")
    put(tmp_path / "out" / ".mine.partial" / "fingerprint", folder_source(root, "mine").fingerprint)
    stale = put(tmp_path / "out" / ".mine.partial" / "train-000077.tar", b"stale")
    put(root / "class 0" / "new.png", picture(777))
    bring_in(folder_source(root, "mine"), tmp_path / "out")
    assert stale.name not in files(tmp_path / "out" / "mine")


def test_killed_in_the_middle_the_same_command_gives_the_same_bytes(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "tree", 200), tmp_path / "out"
    arguments = ["data", "import", "folder", str(root), "--name", "mine", "--workers", "2", "--out"]
    ended = subprocess.run([sys.executable, "-c", KILLED + PROGRAM, *arguments, str(out)], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert present(out) == {} and len(list(out.glob(".mine.partial/train-*.tar"))) >= 3
    assert status(*arguments, str(out)) == 0 and status(*arguments, str(tmp_path / "whole")) == 0
    assert files(out / "mine") == files(tmp_path / "whole" / "mine")
    assert sum(open_dataset(out / "mine").card.num_samples.values()) == 200


def test_two_imports_of_one_name_do_not_mix(tmp_path: Path) -> None:
    source = folder_source(tree(tmp_path / "tree"), "mine")

    def again(number: int) -> None:
        with pytest.raises(FomoError, match=r"'mine'.*under way"):
            bring_in(source, tmp_path / "out")

    bring_in(source, tmp_path / "out", 1, again)


def test_a_name_that_is_taken_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "import", "folder", str(tree(tmp_path / "tree")), "--name", "mine", "--out", str(tmp_path)]
    assert status(*arguments) == 0
    assert "exists" in error_of(capsys, *arguments)
    assert "--workers 0" in error_of(capsys, *arguments[:4], "--name", "other", "--out", str(tmp_path), "--workers=0")


def test_a_full_disk_is_an_error_and_what_was_done_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder_source(tree(tmp_path / "tree"), "mine")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device", "train-000001.partial")

    with pytest.raises(FomoError, match=r"No space left.*goes on"):
        bring_in(source, tmp_path / "out", 1, full)
    assert (tmp_path / "out" / ".mine.partial" / "fingerprint").is_file()


def test_a_place_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    source = folder_source(tree(tmp_path / "tree", 3), "mine")
    with pytest.raises(FomoError, match="Not a directory"):
        bring_in(source, put(tmp_path / "file", "x") / "out")


def test_notes_are_read_again_up_to_the_first_torn_line(tmp_path: Path) -> None:
    notes, asked = tmp_path / "notes" / "n", []

    def work(job: int) -> list[int]:
        asked.append(job)
        return [10 * job]

    put(notes, "[0]\n[10]\n[2")
    assert list(resumed(work, range(4), map, notes, lambda number: None)) == [[0], [10], [20], [30]]
    assert asked == [2, 3]


def test_a_fingerprint_follows_values_and_files(tmp_path: Path) -> None:
    file = put(tmp_path / "a", "one")
    first = fingerprint("x", 1, files=[file])
    assert first == fingerprint("x", 1, files=[file]) != fingerprint("x", 2, files=[file])
    put(file, "longer")
    assert fingerprint("x", 1, files=[file]) != first
