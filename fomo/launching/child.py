"""A run as a process of its own: started, asked to stop, and how it ended. Imports nothing heavy: workers load it."""

import ctypes
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen

from fomo.system.signals import INTERRUPTED, REQUEUE
from fomo.system.text import first_line
from fomo.system.workers import ended_by

POLL_SECONDS = 0.1
STOPPED = "it was asked to stop"
"""How the reason begins why a run is not done that has not failed."""
TAIL_BYTES = 20_000
WAYS = {-signal.SIGKILL: "as a rule, memory ran out", -signal.SIGSEGV: "a fault of a library or of the machine"}
_libc = ctypes.CDLL(None)  # loaded before any process is forked
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Work:
    """What the process of a run is started with; it can be sent to another machine.

    Args:
        command: The command, as a list of words.
        log: Where all that it prints goes, after what is there.
        environment: Variables that it gets beside those of the process that starts it.
        cores: The cores that it may run on; empty: all.
        folder: Where it is started.
    """

    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] = ()
    folder: Path = field(default_factory=Path.cwd)


def start(work: Work) -> "Popen[bytes]":
    """Start a run; it is asked to stop when this process ends, however that ends.

    It is in a session of its own, so that a terminal's Ctrl-C comes to the launcher alone. Until it heeds signals
    itself it ignores SIGUSR2, which Slurm sends to every process of a job, for submitit.
    """
    with work.log.open("ab") as log:
        log.write(f"$ {shlex.join(work.command)}\n".encode())
        log.flush()
        return Popen(
            work.command,
            cwd=work.folder,
            env={**os.environ, **work.environment},
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
            start_new_session=True,
            preexec_fn=partial(_in_child, os.getpid(), work.cores),
        )


def _in_child(parent: int, cores: Sequence[int]) -> None:
    """Set up the new process before it becomes the run."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if cores:
            os.sched_setaffinity(0, cores)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if os.getppid() != parent:  # it ended meanwhile
        os._exit(REQUEUE)


def run_to_end(work: Work, began: Callable[["Popen[bytes]"], None] = lambda process: None) -> int:
    """Run it, and return its status as :class:`subprocess.Popen` has it; whatever ends the wait stops the run.

    Args:
        work: What to run.
        began: Is told the process.
    """
    process = start(work)
    began(process)
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:  # by which Ray cancels
        process.terminate()
        process.wait()
    except BaseException:
        process.terminate()
        raise
    return process.returncode


def stop_and_wait(process: "Popen[bytes]") -> None:
    """Ask a run to stop, and wait for its end; from a signal's handler too, whatever it has interrupted."""
    with suppress(ProcessLookupError, ChildProcessError):  # it has ended
        os.kill(process.pid, signal.SIGTERM)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def failure(status: int, log: Path) -> str:
    """Why a run with this status is not done, in a line; empty where it is."""
    if status == 0:
        return ""
    if status in (REQUEUE, INTERRUPTED):
        return f"{STOPPED} (status {status}); the same command goes on"
    if status < 0:
        return f"ended {ended_by(status)}" + (f": {WAYS[status]}" if status in WAYS else "")
    return f"status {status}: {last_words(log)}"


def last_words(log: Path) -> str:
    """The last error that was printed since the last start, or else the last line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError as error:
        return f"its log cannot be read ({error.strerror})"
    starts = [number for number, line in enumerate(lines, start=1) if line.startswith("$ ")]
    lines = lines[starts[-1] if starts else 0 :]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return first_line([*lines[-1:], *errors[-1:]][-1], 500) if lines else "it printed nothing"
