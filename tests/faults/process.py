"""``fomo`` in a process of its own that can be killed, and what it was doing just before.

The functions of :data:`PHASES` are wrapped in that process: while one runs, a byte that both processes see is set.
"""

import functools
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore

GRACE = 240
"""Seconds after which a process that does not end is a finding."""
SOON = 120
"""Seconds after which ranks that have lost one are to have ended."""
ENDINGS = (0, 2, 75, -signal.SIGTERM)
"""How they do: with nothing left to do, with an error, or asked to, the last before anything listens to it."""
PHASES = (
    ("streams.pocket.cache", "draw_missing", "drawing"),
    ("fomo.running.run", "prepare", "start"),  # before the others: the rehearsal in it calls their code
    ("fomo.checkpoint.writer", "host_copies", "checkpoint"),
    ("methods.merging.temporal", "TemporalMerge.end_task", "merge"),
    ("fomo.loop", "end", "end of a task"),
    ("fomo.running.live", "evaluate", "evaluation"),
    ("fomo.loop", "train", "step"),
    ("fomo.data.importing.job", "bring_in", "import"),
    ("fomo.running.ending", "write_report", "last files"),
    ("fomo.running.ending", "_save_weights", "last files"),
    ("fomo.running.ending", "run_card", "last files"),
    ("fomo.checkpoint.writer", "write", "checkpoint"),  # last: in a thread, beside any other
)
"""Functions, as they are named where they are called, and what they do."""
OTHERWISE = "in between"


class Fork:
    """``fomo ARGUMENTS`` in a forked process: what is killed is not, most of the time, the import of torch.

    It leads a group, to which its workers belong; what it prints is appended to ``place.log``.
    """

    def __init__(self, arguments: Sequence[str], place: Path, environment: Mapping[str, str]) -> None:
        self._log, self._marks = place.with_suffix(".log"), mmap.mmap(-1, len(PHASES))
        self.status: int | None = None
        self.group = os.fork()
        if self.group == 0:
            _become(arguments, self._log, self._marks, environment)
        self.groups = [self.group]

    def ended(self) -> bool:
        """Whether it has ended.

        Raises:
            RuntimeError: it has, and failed.
        """
        if self.looked() and self.status:
            raise RuntimeError(f"a process ended with {self.status}: see {self._log}")
        return self.status is not None

    def looked(self) -> bool:
        """Whether it has ended, however that was: its ``status`` is then known, that of a signal negative."""
        if self.status is None:
            ended, status = os.waitpid(self.group, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if ended else None
        return self.status is not None

    def phases(self) -> set[str]:
        """What it is doing."""
        return phases_of(self._marks[:])

    def kill(self, rank: int = 0) -> None:
        """SIGKILL, to it alone: its workers are left to themselves."""
        os.kill(self.group, signal.SIGKILL)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.group, 0)[1])


class Ranks:
    """``fomo ARGUMENTS`` in several processes, started as by ``torchrun``; what they print is in ``place.log``.

    They are forked before there is a store, whose thread looks up the names of those who connect: a process that is
    forked meanwhile inherits the resolver's lock, held by nobody, and waits for it as long as it lives. Who is there
    before the store is waits at its door.

    Args:
        arguments: Of each.
        place: Where it is made.
        environment: Of each.
        each: Arguments for a rank to be added, or its environment, by its number.
        size: How many.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        place: Path,
        environment: Mapping[str, str],
        size: int = 2,
        each: Mapping[int, Sequence[str] | Mapping[str, str]] | None = None,
    ) -> None:
        self.log = place.with_suffix(".log")
        door = socket.create_server(("127.0.0.1", 0))
        port = door.getsockname()[1]
        self.forks: list[Fork] = []
        for rank in range(size):
            more = (each or {}).get(rank, ())
            added, own = ((), more) if isinstance(more, Mapping) else (more, {})
            variables = {**environment, **started(rank, size, port), **own}
            self.forks.append(Fork([*arguments, *added], place, variables))
        self.groups = [fork.group for fork in self.forks]
        self._store = TCPStore(  # as torchrun keeps it
            "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=door.detach()
        )

    def ended(self) -> bool:
        """Whether all have ended.

        Raises:
            RuntimeError: one has, and failed.
        """
        return all([fork.ended() for fork in self.forks])

    def phases(self) -> set[str]:
        """What the first is doing: the others are at the same, or wait for it."""
        return self.forks[0].phases()

    def kill(self, rank: int = 0) -> None:
        """SIGKILL, to one; then SIGTERM to the others, as ``torchrun`` does: they have to end, with a status."""
        self.forks[rank].kill()
        for fork in self.forks:
            if not fork.looked():
                os.kill(fork.group, signal.SIGTERM)
        statuses = self.statuses(SOON)
        if any(status not in ENDINGS for number, status in enumerate(statuses) if number != rank):
            raise RuntimeError(f"after one was killed, the others ended with {statuses}: see {self.log}")

    def statuses(self, seconds: float = GRACE) -> list[int | None]:
        """Theirs, after all have ended; ``None`` of who does not in time, and is killed."""
        end = time.monotonic() + seconds
        while not all([fork.looked() for fork in self.forks]) and time.monotonic() < end:
            time.sleep(0.005)
        found = [fork.status for fork in self.forks]
        for fork in self.forks:
            if fork.status is None:
                fork.kill()
        return found


def started(rank: int, size: int, port: int) -> dict[str, str]:
    """The environment of a rank as ``torchrun`` sets it, which keeps the store at that port."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    texts = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return {name: str(number) for name, number in numbers.items()} | texts


def phases_of(marks: bytes) -> set[str]:
    """The first phase that is marked, and a checkpoint that is written beside it."""
    active = [phase for (*_, phase), mark in zip(PHASES, marks, strict=True) if mark]
    return {active[0], *({"checkpoint"} & set(active))} if active else {OTHERWISE}


def left_behind(groups: Sequence[int]) -> int:
    """How many process groups are still there after the time that workers take to notice."""
    end = time.monotonic() + GRACE
    while time.monotonic() < end and any(map(lives, groups)):
        time.sleep(0.1)
    return sum(map(lives, groups))


def lives(group: int) -> bool:
    """Whether a process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def mark_phases(marks: mmap.mmap) -> None:
    """Wrap the functions of :data:`PHASES` in this process."""
    for number, (module, path, _) in enumerate(PHASES):
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, import_module(module))
        setattr(owner, name, _marked(getattr(owner, name), marks, number))


def _marked(function: Callable[..., Any], marks: mmap.mmap, number: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        marks[number] += 1
        try:
            return function(*arguments, **named)
        finally:
            marks[number] -= 1

    return call


def _become(arguments: Sequence[str], log: Path, marks: mmap.mmap, environment: Mapping[str, str]) -> None:
    """Never returns."""
    status = 1
    try:
        os.setsid()
        os.environ.update(environment)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        mark_phases(marks)
        _command(list(arguments))
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    finally:
        os._exit(status)


def _command(arguments: list[str]) -> None:
    import torch

    from fomo.cli import entry
    from fomo.data.importing import split_writer

    split_writer.SHARD_BYTES = 10_000  # so that small data fill several shards
    torch.set_num_threads(1)  # the parent's threads are not there after a fork, and would be waited for
    sys.argv = ["fomo", *arguments]
    entry()
