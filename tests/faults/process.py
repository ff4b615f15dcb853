"""``fomo`` in a process of its own that can be killed, and what it was doing just before.

Its stack is seen without its help: ``faulthandler`` has the signal handler itself write where the main thread is (it
must not look at threads that run meanwhile: that may crash). A checkpoint that is being written shows on the disk.
"""

import faulthandler
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE = 240
"""Seconds after which a process that does not end is a finding."""
ASK = signal.SIGUSR2
PHASES = (
    ("streams/pocket/cache.py", "draw_missing", "drawing"),
    ("fomo/run.py", "prepare", "start"),  # before the others: the rehearsal in it calls their code
    ("fomo/checkpoint.py", "snapshot", "checkpoint"),
    ("methods/merging/", "", "merge"),
    ("fomo/method.py", "end_task", "end of a task"),
    ("fomo/evaluation.py", "", "evaluation"),
    ("fomo/loop.py", "train", "step"),
    ("fomo/data/importing.py", "bring_in", "import"),
    ("fomo/report.py", "write_report", "last files"),
    ("fomo/run.py", "_save_weights", "last files"),
    ("fomo/run.py", "_card", "last files"),
    ("fomo/saver.py", "discard", "last files"),
)
"""What part of a file (all of it, or a function) does; the process is in the first of them that its stack shows."""
OTHERWISE = "in between"


class Fork:
    """``fomo ARGUMENTS`` in a forked process: what is killed is not, most of the time, the import of torch.

    It leads a group, to which its workers belong; what it prints is appended to ``place.log``.
    """

    def __init__(self, arguments: Sequence[str], place: Path, environment: Mapping[str, str]) -> None:
        self._place, self._stacks = place, place.with_suffix(".stacks")
        self._stacks.write_text("")
        self._seen = 0
        signal.signal(ASK, signal.SIG_IGN)  # as the process has it until it can tell
        self.group = os.fork()
        if self.group == 0:
            _become(arguments, place.with_suffix(".log"), self._stacks, environment)

    def ended(self) -> bool:
        """Whether it has ended.

        Raises:
            RuntimeError: it has, and failed.
        """
        ended, status = os.waitpid(self.group, os.WNOHANG)
        if ended and os.WIFSIGNALED(status) and self._seen:
            return True  # a stack that changes while it is written may crash it: a kill like another, but not counted
        if ended and status:
            raise RuntimeError(f"a process ended with {status}: see {self._stacks.with_suffix('.log')}")
        return bool(ended)

    def phases(self) -> set[str]:
        """What it is doing; nothing if it does not tell within a tenth of a second."""
        os.kill(self.group, ASK)
        end, text = time.monotonic() + 0.1, ""
        self._seen = self._seen or 1  # it was asked
        while time.monotonic() < end:
            time.sleep(0.002)
            before, text = text, self._stacks.read_text(errors="replace")[max(self._seen - 1, 0) :]
            if text and text == before:
                break
        self._seen += len(text)
        writing = {"checkpoint"} if any(self._place.glob("checkpoint/.*.partial")) else set()
        return phases_of(text) | writing if text else set()

    def kill(self) -> None:
        """SIGKILL, to it alone: its workers are left to themselves."""
        os.kill(self.group, signal.SIGKILL)
        os.waitpid(self.group, 0)


def phases_of(stacks: str) -> set[str]:
    """What the thread whose stack is written there is doing."""
    frames = re.findall(r'File "(.*?)", line \d+ in (\S+)', stacks)
    for file, function, phase in PHASES:
        if any(file in path and function in (name, "") for path, name in frames):
            return {phase}
    return {OTHERWISE}


def lives(group: int) -> bool:
    """Whether a process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _become(arguments: Sequence[str], log: Path, stacks: Path, environment: Mapping[str, str]) -> None:
    """Never returns."""
    status = 1
    try:
        os.setsid()
        os.environ.update(environment)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        with stacks.open("a") as file:
            faulthandler.register(ASK, file=file, all_threads=False)
            _command(list(arguments))
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    finally:
        os._exit(status)


def _command(arguments: list[str]) -> None:
    import torch

    from fomo.cli import main
    from fomo.data import split_writer

    split_writer.SHARD_BYTES = 10_000  # so that small data fill several shards
    torch.set_num_threads(1)  # the parent's threads are not there after a fork, and would be waited for
    main(arguments)
