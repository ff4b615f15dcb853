"""``fomo run`` of the tiny experiment in a process of its own, and its workers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests import tiny


def fomo_run(folder: Path, *overrides: str, **environment: str) -> "subprocess.Popen[str]":
    """Started in a group of its own, as by a shell."""
    command = [sys.executable, "-m", "fomo", "run", *tiny.TINY, f"run.dir={folder}", *overrides]
    pipe, variables = subprocess.PIPE, os.environ | environment
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=variables)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Until it holds; the process must not end before."""
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


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
    end = time.monotonic() + 60
    while alive(pids):
        assert time.monotonic() < end, alive(pids)
        time.sleep(0.01)


def alive(pids: list[int]) -> list[int]:
    """Which of these are no zombies, and not gone."""
    states = [(pid, Path(f"/proc/{pid}/stat")) for pid in pids]
    return [pid for pid, path in states if path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"]
