"""``fomo run`` of the tiny experiment in a process of its own, and its workers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests import tiny
from tests.waiting import until

HANGS_SECONDS = 0.5
"""What a worker may be silent for under :func:`patience`, once it hangs."""
IMPATIENT = """
from pathlib import Path
from fomo.cli import entry
from fomo.system.runtime import Runtime
from tests.faults.command import patience
Runtime.worker_timeout = patience(Path({mark!r}))
entry()
"""


def patience(mark: Path) -> property:
    """A ``worker_timeout`` for :class:`Runtime` that is without an end until ``mark`` says that a worker hangs.

    How long workers take to start, and to come to where they hang, does not matter then.
    """
    return property(lambda runtime: HANGS_SECONDS if mark.exists() else 1e6, lambda runtime, seconds: None)


def fomo_run(folder: Path, *overrides: str, mark: Path | None = None, **environment: str) -> "subprocess.Popen[str]":
    """Started in a group of its own, as by a shell; with a ``mark``, workers may be silent until that is there."""
    program = ["-m", "fomo"] if mark is None else ["-c", IMPATIENT.format(mark=str(mark))]
    command = [sys.executable, *program, "run", *tiny.TINY, f"run.dir={folder}", *overrides]
    pipe, variables = subprocess.PIPE, os.environ | environment
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=variables)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Until it holds; the process must not end before."""
    try:
        until(condition, still=lambda: process.poll() is None)
    except AssertionError as error:
        process.kill()
        raise AssertionError(f"{error}: {process.communicate()}") from None


def wait_for_steps(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Until the run has written that it made a step."""
    file = folder / "events.jsonl"
    wait_for(lambda: file.exists() and '"step"' in file.read_text(), process)


def children(process: "subprocess.Popen[str]") -> list[int]:
    """Processes that it has started and that are alive."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in found]


def wait_until_gone(pids: list[int]) -> None:
    """Until none of these is alive: who is killed is gone a moment later."""
    until(lambda: not alive(pids))


def alive(pids: list[int]) -> list[int]:
    """Which of these are no zombies, and not gone."""
    states = [(pid, Path(f"/proc/{pid}/stat")) for pid in pids]
    return [pid for pid, path in states if path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"]
