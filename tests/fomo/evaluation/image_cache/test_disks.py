"""Without room, a folder or locks for decoded images, an evaluation does without."""

import errno
import io
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from fomo.data.samples import Dataset
from fomo.evaluation import image_cache, image_file
from fomo.evaluation.image_file import claimed
from tests.fomo.evaluation.image_cache.images import SIZES, another_process, digest, files

Usage = namedtuple("Usage", "total used free")


class Full(io.BufferedRandom):
    """A file on a disk that has no room."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def on_full_disk(path: Path) -> BinaryIO | None:
    file = claimed(path)
    assert file is not None
    file.close()
    return Full(io.FileIO(path, "r+"))


def fill_disk(patch: pytest.MonkeyPatch, folder: Path) -> str:
    patch.setattr(image_cache, "claimed", on_full_disk)
    return "No space left on device"


def nearly_fill_disk(patch: pytest.MonkeyPatch, folder: Path) -> str:
    patch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**30 + 1000))
    return "has no room for its"


def put_file_there(patch: pytest.MonkeyPatch, folder: Path) -> str:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("not a folder")
    return "Not a directory"


def refuse_locks(patch: pytest.MonkeyPatch, folder: Path) -> str:
    def flock(file: object, operation: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    patch.setattr(image_file.fcntl, "flock", flock)
    return os.strerror(errno.ENOTSUP)


@pytest.mark.parametrize("trouble", [fill_disk, nearly_fill_disk, put_file_there, refuse_locks])
def test_a_cache_that_cannot_be_used_is_done_without_which_is_said_once(
    trouble: Callable[[pytest.MonkeyPatch, Path], str],
    datasets: dict[str, Dataset],
    folder: Path,
    decoded: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        reason = trouble(patch, folder)
        several = {digest(datasets) for _ in range(2)}
    assert len(decoded) == 2 * sum(SIZES.values()) and [reason in text for text in caplog.messages] == [True]
    assert not [path for path in folder.parent.rglob("*") if path.suffix in (".images", ".partial")]
    if folder.parent.is_file():
        folder.parent.unlink()
    another_process()
    assert several == {digest(datasets)} and len(files(folder)) == 2


def test_what_is_known_already_is_read_on_a_full_disk(
    datasets: dict[str, Dataset], decoded: list[int], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    whole = digest({"mine": datasets["mine"]})
    decoded.clear()
    fill_disk(monkeypatch, folder)
    digest(datasets)
    assert digest({"mine": datasets["mine"]}) == whole and len(decoded) == SIZES["seeking"]
