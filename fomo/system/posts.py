"""What a loader worker is reading, posted where its parent sees it: a worker that hangs in a read cannot say so."""

import os
from collections.abc import Iterator
from ctypes import Array, c_char
from multiprocessing.sharedctypes import RawArray
from typing import NamedTuple

LINE_BYTES = 512


class Post(NamedTuple):
    """A worker (from 0), its process, and what it read last; empty where it waits for work."""

    worker: int
    process: str
    what: str


class Board:
    """A line for each of ``num_workers`` processes, in memory that they share with their parent."""

    def __init__(self, num_workers: int) -> None:
        self._lines: list[Array[c_char]] = [RawArray(c_char, LINE_BYTES) for _ in range(num_workers)]

    def sign(self, worker: int) -> None:
        """Have :func:`reading` of this process write to the line of ``worker``."""
        global _line
        _line = self._lines[worker]

    @property
    def text(self) -> list[bytes]:
        """All lines as they stand; one that changes is a sign of life."""
        return [line.raw for line in self._lines]

    def __iter__(self) -> Iterator[Post]:
        for worker, line in enumerate(self._lines):
            process, _, rest = line.value.decode(errors="replace").partition(" ")
            yield Post(worker, process, rest.partition(" ")[2])


_line: "Array[c_char] | None" = None
_count = 0


def reading(what: str) -> None:
    """Post what this process is about to read. In a process that has signed no board, nothing happens."""
    global _count
    if _line is not None:
        _count += 1
        _line.value = f"{os.getpid()} {_count} {what}".encode(errors="replace")[: LINE_BYTES - 1]
