"""Loader workers that fail, die or hang: what they were to make comes all the same, or the reason why not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Value, active_children
from pathlib import Path
from types import SimpleNamespace

import pytest

from fomo.errors import FomoError, WorkerDied, WorkerHung
from fomo.system.feed import Feed
from fomo.system.posts import post
from fomo.system.runtime import Runtime
from tests.faults.command import children, patience, wait_for, wait_until_gone
from tests.waiting import PATIENCE_SECONDS, until


def runtime(num_workers: int, worker_timeout: float = 100) -> Runtime:
    return Runtime("cpu", num_workers=num_workers, worker_timeout=worker_timeout)


def squared(key: int) -> int:
    return key * key


def own_children() -> set[int]:
    return {child.pid for child in active_children() if child.pid}


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    before = own_children()
    yield
    assert own_children() == before


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_passes_in_order_by_the_same_workers(num_workers: int) -> None:
    before = own_children()
    feed = Feed(squared, runtime(num_workers))
    assert list(feed(range(5, 25))) == [key * key for key in range(5, 25)]
    workers = own_children() - before
    assert list(feed(range(3))) == [0, 1, 4] and list(feed(())) == []
    assert own_children() - before == workers and len(workers) == num_workers
    del feed


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_of_the_user_arrives_as_it_was_raised(num_workers: int) -> None:
    def refuse(key: int) -> int:
        if key == 3:
            raise FomoError("sample 3 is gone.")
        return key

    made = Feed(refuse, runtime(num_workers))(range(6))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(FomoError) as caught:
        next(made)
    assert str(caught.value) == "sample 3 is gone."


def test_any_other_error_arrives_with_its_trace() -> None:
    def broken(key: int) -> int:
        raise KeyError("a defect of the program")

    with pytest.raises(RuntimeError, match=r"batch 7, in a loader worker:\nTraceback(.|\n)*a defect of the program"):
        next(Feed(broken, runtime(1), "batch {}".format)(range(7, 9)))


def once(mark: Path, act: Callable[[], object]) -> None:
    """Act if nobody has before."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    act()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_replaced_and_nothing_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def dies_twice(key: int) -> int:
        if key in (4, 11):
            once(tmp_path / str(key), die)
        return key * key

    feed = Feed(dies_twice, runtime(2), "batch {}".format)
    assert list(feed(range(20))) == [key * key for key in range(20)]
    assert len(caplog.messages) == 2 and all("a loader worker died (by SIGKILL)" in text for text in caplog.messages)
    (tmp_path / "4").unlink()
    assert list(feed(range(6))) == [0, 1, 4, 9, 16, 25]


def test_a_second_death_at_the_same_place_is_reported() -> None:
    def deadly(key: int) -> int:
        if key == 2:
            os._exit(9)
        return key

    with pytest.raises(WorkerDied, match=r"batch [12]: two loader workers in a row died \(status 9\).*num_workers"):
        list(Feed(deadly, runtime(1), "batch {}".format)(range(4)))


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a worker leaves before it hangs, and is waited for."""
    monkeypatch.setattr(Runtime, "worker_timeout", patience(tmp_path / "hangs"), raising=False)
    return tmp_path / "hangs"


def hanging(mark: Path) -> Callable[[int], int]:
    """Work that never ends for the fourth key."""

    def hang(key: int) -> int:
        if key == 3:
            post("sample 7 of 'mine'")
            mark.touch()
            time.sleep(1000)
        return key

    return hang


def test_a_worker_that_hangs_is_reported_with_what_it_was_reading(mark: Path) -> None:
    expected = r"batch 3: nothing came .* for 0\.5 s.* worker \d \(process \d+\) at sample 7 of 'mine'.*worker_timeout"
    made = Feed(hanging(mark), runtime(2), "batch {}".format)(range(9))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    until(mark.exists)
    with pytest.raises(WorkerHung, match=expected):
        next(made)


def test_one_that_is_stopped_is_reported_too(mark: Path) -> None:
    """With all its threads: what it has made already cannot be fetched any more."""

    def stopped(key: int) -> int:
        if key == 3:
            mark.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        return key

    with pytest.raises(WorkerHung, match="nothing came"):  # in its feeder thread, batch 2 may be stopped too
        list(Feed(stopped, runtime(1), "batch {}".format)(range(9)))


def test_slow_is_not_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the worker moves on by less than it may be silent, once its parent has seen its line."""
    looks, seconds = Value("i", 0), Value("d", 0.0)

    def clock() -> float:
        looks.value += 1
        return seconds.value

    def slow(key: int) -> int:
        for number in range(6):
            post(f"file {number}")
            before = looks.value
            until(lambda: looks.value >= before + 2)  # noqa: B023 - called here
            seconds.value += 0.15
        return key

    monkeypatch.setattr("fomo.system.feed.time", SimpleNamespace(monotonic=clock, sleep=time.sleep))
    assert list(Feed(slow, runtime(1, 0.2))(range(1))) == [0]


ORPHANS = """
import os, time
os.register_at_fork(after_in_child=lambda: time.sleep(2))
from fomo.system.feed import Feed
from fomo.system.runtime import Runtime
list(Feed(lambda key: key, Runtime("cpu", num_workers=2))(range(4)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_do_not_outlive_a_parent_that_is_killed() -> None:
    """Nor do those whose parent is gone when they look first: torch's take whom they find there for their parent."""
    process = subprocess.Popen([sys.executable, "-c", ORPHANS], text=True, stdout=subprocess.PIPE)
    wait_for(lambda: len(children(process)) == 2, process)
    workers = children(process)
    process.kill()  # they are still on their way to their first line
    process.communicate(timeout=PATIENCE_SECONDS)
    wait_until_gone(workers)


def test_a_pass_that_is_left_ends_its_workers(tmp_path: Path) -> None:
    before = own_children()
    made = Feed(hanging(tmp_path / "hangs"), runtime(2))(range(9))
    assert next(made) == 0 and own_children() > before
    made.close()  # type: ignore[attr-defined]  # a generator
    assert own_children() == before


def noting(folder: Path) -> Callable[[int], int]:
    """Work that leaves a file for each key that was made, named by it and by how often."""

    def make(key: int) -> int:
        number = len(list(folder.glob(f"{key}-*")))
        (folder / f"{key}-{number}").touch()
        return key * key

    return make


def made(folder: Path) -> list[int]:
    return sorted(int(path.name.split("-")[0]) for path in folder.iterdir())


def test_what_is_announced_is_made_once_by_the_same_workers_and_no_more_than_is_bounded(tmp_path: Path) -> None:
    before = own_children()
    feed = Feed(noting(tmp_path), runtime(2))
    feed.announce(range(20))
    workers = own_children() - before
    assert len(workers) == 2
    until(lambda: made(tmp_path) == [0, 1, 2, 3])  # two a worker, before anybody has asked
    assert list(feed(range(5))) == [0, 1, 4, 9, 16]
    until(lambda: made(tmp_path) == list(range(9)))  # and two a worker while nobody asks
    assert list(feed(range(5, 12))) == [key * key for key in range(5, 12)]
    assert list(feed(range(12, 20))) == [key * key for key in range(12, 20)]
    assert made(tmp_path) == list(range(20)) and own_children() - before == workers
    assert list(feed(range(3))) == [0, 1, 4] and own_children() - before == workers
    feed.close()
    assert own_children() == before


def test_other_keys_than_those_announced_are_made_all_the_same(tmp_path: Path) -> None:
    before = own_children()
    feed = Feed(noting(tmp_path), runtime(2))
    feed.announce(range(9))
    assert list(feed(range(4, 7))) == [16, 25, 36] and list(feed(range(2))) == [0, 1]
    feed.announce(range(9))
    feed.close()
    assert own_children() == before and list(feed(range(2))) == [0, 1]
    feed.close()


def test_nothing_is_made_ahead_without_workers(tmp_path: Path) -> None:
    feed = Feed(noting(tmp_path), runtime(0))
    feed.announce(range(9))
    assert made(tmp_path) == [] and next(feed(range(3))) == 0 and made(tmp_path) == [0]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_in_what_is_made_ahead_waits_for_its_turn(num_workers: int, tmp_path: Path) -> None:
    def refuse(key: int) -> int:
        (tmp_path / str(key)).touch()
        if key == 4:
            raise FomoError("sample 4 is gone.")
        return key

    feed = Feed(refuse, runtime(num_workers))
    feed.announce(range(9))
    assert list(feed(range(4))) == [0, 1, 2, 3]
    until(lambda: (tmp_path / "4").exists())
    with pytest.raises(FomoError, match=r"sample 4 is gone\."):
        next(feed(range(4, 9)))


def test_a_worker_that_dies_between_two_calls_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def dies_once(key: int) -> int:
        if key == 5:
            until((tmp_path / "all of the first have come").exists)
            once(tmp_path / "died", die)
        return key * key

    feed = Feed(dies_once, runtime(2), "batch {}".format)
    feed.announce(range(12))
    assert list(feed(range(4))) == [0, 1, 4, 9]
    (tmp_path / "all of the first have come").touch()
    until((tmp_path / "died").exists)
    assert caplog.messages == []
    assert list(feed(range(4, 8))) == [16, 25, 36, 49] and list(feed(range(8, 12))) == [64, 81, 100, 121]
    (line,) = caplog.messages
    assert "a loader worker died (by SIGKILL)" in line and line.startswith("batch ")
    feed.close()


LEFT = """
import atexit
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter as Loading
begin = Loading.__init__

def begin_and_register(self, loader):
    begin(self, loader)
    for worker in self._workers:  # as torch does where memory is pinned: it waits for each of them
        atexit.register(lambda worker=worker: print("alive" if worker.is_alive() else "ended"))

Loading.__init__ = begin_and_register
from fomo.system.feed import Feed
from fomo.system.runtime import Runtime
feed = Feed(lambda key: key, Runtime("cpu", num_workers=2))
feed.announce(range(9))
for _ in feed(range(3)):
    pass
raise KeyError("a defect of the program")
"""


def test_workers_are_ended_before_torch_waits_for_them_at_the_end_of_the_process() -> None:
    process = subprocess.run([sys.executable, "-c", LEFT], text=True, capture_output=True, timeout=PATIENCE_SECONDS)
    assert process.stdout.split() == ["ended", "ended"] and "a defect of the program" in process.stderr
