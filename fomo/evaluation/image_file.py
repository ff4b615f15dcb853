"""One file of decoded images, and who uses it: locks that the system drops with their holder, however that ends.

A file is written under another name by a process that holds a lock on it alone, and read under a lock that all its
readers share. What can be locked is therefore nobody's any more. It is read into place, not mapped into memory: a map
of a file that is cut short by others would end the process.
"""

import fcntl
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

BLOCK = 2**22
"""Bytes that are checked at a time."""
CRC_BYTES = 4


class Stored:
    """The images of a split in a file that is open, with a lock that is shared with other readers.

    ``is_checked`` says that the file is as it was written, since this process has just done so.
    """

    def __init__(self, file: BinaryIO, is_checked: bool = False) -> None:
        self._file = file
        self._checked = self._state() if is_checked else None
        with suppress(OSError):  # it may be evicted just now: an open file can be read all the same
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _state(self) -> tuple[int, int]:
        about = os.fstat(self._file.fileno())
        return about.st_size, about.st_mtime_ns

    def is_whole(self, num_bytes: int) -> bool:
        """Whether the file holds so many bytes of pixels, as they were written; checked once, and after a change."""
        if self._state() != self._checked:
            if self._state()[0] != num_bytes + CRC_BYTES or self._crc(num_bytes) != self._written_crc(num_bytes):
                return False
            self._checked = self._state()
        return True

    def _crc(self, num_bytes: int) -> int:
        crc = 0
        for start in range(0, num_bytes, BLOCK):
            crc = zlib.crc32(os.pread(self._file.fileno(), min(BLOCK, num_bytes - start), start), crc)
        return crc

    def _written_crc(self, num_bytes: int) -> int:
        return int.from_bytes(os.pread(self._file.fileno(), CRC_BYTES, num_bytes), "little")

    def used(self) -> None:
        """Note that the file is used now."""
        with suppress(OSError):  # somebody else's
            os.utime(self._file.fileno(), ns=(time.time_ns(), self._state()[1]))

    def is_at(self, path: Path) -> bool:
        """Whether the file has this name still."""
        return is_at(self._file, path)

    def read(self, out: np.ndarray, first: int) -> bool:
        """Fill ``out``, uint8 [k, s, s, 3], with the images from number ``first`` on; false if that cannot be done."""
        start = first * out[0].nbytes
        try:
            return os.preadv(self._file.fileno(), [out.data], start) == out.nbytes
        except OSError:
            return False


def claimed(path: Path) -> BinaryIO | None:
    """The file at ``path``, made if it is not there and locked for this process alone; ``None`` if another uses it.

    Raises:
        OSError: it cannot be made, or the file system has no locks.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    try:
        if _is_free(file) and is_at(file, path):
            return file
    except OSError:
        path.unlink()
        raise
    file.close()  # used, or renamed or removed in between
    return None


def is_idle(path: Path) -> bool:
    """Whether no process uses a file, and this one might remove it."""
    try:
        with path.open("r+b") as file:
            return _is_free(file)
    except OSError:  # gone, or somebody else's
        return False


def _is_free(file: BinaryIO) -> bool:
    """Lock a file for this process alone, if no other uses it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that ``path`` names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
