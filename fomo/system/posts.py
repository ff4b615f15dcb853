"""What a loader worker is reading, posted where its parent sees it: a worker that hangs in a read cannot say so."""

import os
from collections.abc import Iterator
from ctypes import Array, c_char
from multiprocessing.sharedctypes import RawArray

LINE_BYTES = 512


class Board:
    """A line for each of ``num_workers`` processes, in memory that they share with their parent."""

    def __init__(self, num_workers: int) -> None:
        self._lines: list[Array[c_char]] = [RawArray(c_char, LINE_BYTES) for _ in range(num_workers)]

    def assign(self, worker: int) -> None:
        """Let :func:`post` write to the line of ``worker``; called in the process of that worker."""
        global _line
        _line = self._lines[worker]

    @property
    def text(self) -> list[bytes]:
        """All lines as they stand. Every post changes its line, so that a change says that the worker goes on."""
        return [line.raw for line in self._lines]

    def at_work(self) -> Iterator[str]:
        """Of each worker that does not wait for work its number, from 0, that of its process, and what it reads."""
        for worker, line in enumerate(self._lines):
            process, _, rest = line.value.decode(errors="replace").partition(" ")
            what = rest.partition(" ")[2]
            if what:
                yield f"worker {worker} (process {process}) at {what}"


_line: "Array[c_char] | None" = None
_count = 0


def post(what: str) -> None:
    """Post what this process is about to read. Nothing happens in a process that no line is assigned to."""
    global _count
    if _line is not None:
        _count += 1
        _line.value = f"{os.getpid()} {_count} {what}".encode(errors="replace")[: LINE_BYTES - 1]
