"""An evaluation that ends in the middle leaves nothing that looks finished."""

import errno
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from fomo.data import shards as data_shards
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset
from fomo.errors import FomoError, Stopped
from fomo.evaluation.read_ahead import ReadAhead
from tests.fomo.evaluation.image_cache.images import digest, files, stream
from tests.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("is_cached", [True, False])
def test_an_evaluation_that_is_left_leaves_no_thread_and_no_file(
    is_cached: bool, datasets: dict[str, Dataset], folder: Path
) -> None:
    if is_cached:
        digest(datasets)
    before = files(folder)
    pieces = stream(datasets).pieces()
    next(pieces)
    pieces.close()
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert files(folder) == before and not list(folder.glob(".*.partial"))


def test_images_that_cannot_be_read_are_named_and_nothing_is_kept(
    root: Path, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Path(shutil.copytree(root / "mine", tmp_path / "mine"))
    shard = mine / "test-000000.tar"
    os.truncate(shard, shard.stat().st_size // 2)
    with pytest.raises(FomoError, match=r"sample \d+ of split 'test' of dataset 'mine' .* ends before it"):
        digest({"mine": open_dataset(mine)})
    shard.unlink()
    with pytest.raises(FomoError, match=r"sample 0 of split 'test' of dataset 'mine' .*No such file"):
        digest({"mine": open_dataset(mine)})
    assert list(folder.glob("*.images")) == list(folder.glob(".*.partial")) == [] and not caplog.text


@pytest.mark.parametrize("wakes_main", [True, False])
def test_a_read_that_does_not_end_is_left_when_a_signal_comes(
    wakes_main: bool, datasets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """One that does not wake the main thread came to another one, or right before the main one began to wait."""
    over = threading.Event()
    begun = threading.Event()

    def stuck(file: int, size: int, start: int) -> bytes:
        begun.set()
        over.wait()
        raise OSError(errno.EIO, "left")

    def stop(*arguments: object) -> None:
        raise Stopped("SIGALRM", 75)

    monkeypatch.setattr(data_shards.os, "pread", stuck)
    before = signal.signal(signal.SIGALRM, stop)

    def send() -> None:
        thread = threading.main_thread().ident if wakes_main else threading.get_ident()
        assert thread is not None and begun.wait(PATIENCE_SECONDS)
        signal.pthread_kill(thread, signal.SIGALRM)

    threading.Thread(target=send, daemon=True).start()
    try:
        with pytest.raises(Stopped):
            digest(datasets)
        assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
        assert not list(folder.glob(".*.partial"))
    finally:
        over.set()
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_between_a_split_and_its_images_leaves_no_file(
    datasets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    class Interrupted(ReadAhead[Any]):
        def __next__(self) -> Any:
            super().__next__()
            assert len(list(folder.glob(".*.partial"))) == 1
            raise KeyboardInterrupt

    monkeypatch.setattr("fomo.evaluation.images.ReadAhead", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        digest(datasets)
    assert not list(folder.glob(".*.partial"))
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(PATIENCE_SECONDS)  # it ends what it is at
