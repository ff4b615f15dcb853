"""The one way to write a file or a folder: beside its place, and renamed once it is whole.

Whoever reads ``path`` meets all of its content, or what was there before, even if the writing process is killed. Files
that grow (``events.jsonl``, downloads) are not written here.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def scratch_of(path: Path, shared: bool = False) -> Path:
    """The hidden neighbour of ``path`` that holds its content until it is whole.

    ``shared`` adds the number of this process to the name, for paths that several processes may write at once. Without
    it, what a killed process left has the same name and is overwritten by the next attempt.
    """
    owner = f"-{os.getpid()}" if shared else ""
    return path.with_name(f".{path.name}.partial{owner}")


@contextmanager
def file_beside(path: Path, shared: bool = False) -> Iterator[Path]:
    """Where to write a file that is named ``path`` when the block ends; ``shared`` is that of :func:`scratch_of`.

    After an error in the block nothing is left of it, and ``path`` is what it was.
    """
    scratch = scratch_of(path, shared)
    try:
        yield scratch
        scratch.replace(path)
    except BaseException:
        with suppress(OSError):  # the error that led here says more
            scratch.unlink()
        raise


@contextmanager
def folder_beside(path: Path, synced: bool = False) -> Iterator[Path]:
    """An empty folder that is named ``path`` when the block ends; its parents are made.

    What an earlier attempt left is removed, and after an error in the block nothing is left. ``synced`` waits until the
    disk keeps the files in the folder, and then its name: what has the name outlasts a power cut.
    """
    scratch = scratch_of(path)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        for each in (*scratch.iterdir(), scratch) if synced else ():
            sync(each)
        scratch.rename(path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    if synced:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the disk keeps the content of a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_scratch(folder: Path) -> None:
    """Remove what killed processes left half written in ``folder``."""
    for left in folder.glob(".*.partial"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def write_bytes(path: Path, data: bytes, shared: bool = False) -> None:
    """Write ``data`` to ``path`` as a whole; ``shared`` is that of :func:`scratch_of`."""
    with file_beside(path, shared) as scratch:
        scratch.write_bytes(data)


def write_text(path: Path, text: str, shared: bool = False) -> None:
    """Write ``text`` in UTF-8 to ``path`` as a whole; ``shared`` is that of :func:`scratch_of`."""
    write_bytes(path, text.encode(), shared)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, one value a line, to ``path`` as a whole.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
