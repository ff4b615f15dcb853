"""Work in a process of its own, which has ended when its result is there: what it held on a device is free again."""

import os
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from fomo.errors import FomoError, WorkerDied, WorkerHung
from fomo.system.text import first_line
from fomo.system.workers import end_with_parent, ended_by, kill, shielded

PATIENCE_SECONDS = 1800.0
"""For what is done apart."""
ENDING_SECONDS = 60.0
"""For the end of a killed process: a driver takes its time to free tens of GiB."""
Argument = TypeVar("Argument")
Result = TypeVar("Result")


def apart(work: Callable[[Argument], Result], argument: Argument, seconds: float = PATIENCE_SECONDS) -> Result:
    """What ``work(argument)`` returns, from a new process, which has ended when this returns or raises.

    Args:
        work: A function of a module; what it prints goes to standard error.
        argument: What it is called with.
        seconds: How long it may take.

    Raises:
        FomoError: the work raised it.
        WorkerDied: memory ran out, the work raised something else, or its process was killed.
        WorkerHung: it took longer than ``seconds``.
    """
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sending, work, argument), daemon=True)
    with receiving:
        try:
            with sending, shielded():
                process.start()  # an interrupt may wait for the end of the shield: the process is there by then
            result, error = _received(receiving, process, seconds)
        except BaseException:
            if process.pid is not None:
                kill([process])
            raise
    process.kill()
    process.join(ENDING_SECONDS)
    if error is not None:
        raise error
    return result


def _received(receiving: "Connection[Any, Any]", process: BaseProcess, seconds: float) -> Any:
    """The result or error that the process sends.

    Raises:
        WorkerDied: it ends without one.
        WorkerHung: nothing comes.
    """
    if not receiving.poll(seconds):
        raise WorkerHung(f"nothing came in {seconds:g} s.")
    try:
        return receiving.recv()
    except EOFError:
        process.join(ENDING_SECONDS)
        how = ended_by(process.exitcode)
        raise WorkerDied(f"its process ended before it was done ({how}): was there enough memory?") from None


def _answer(sending: "Connection[Any, Any]", work: Callable[[Any], Any], argument: Any) -> None:
    """Work in the process at hand, and send what comes of it."""
    end_with_parent()
    os.dup2(2, 1)
    outcome: tuple[Any, FomoError | None]
    try:
        outcome = (work(argument), None)
    except FomoError as error:
        outcome = (None, FomoError(str(error)))
    except Exception as error:
        outcome = (None, WorkerDied(_told(error)))
    sending.send(outcome)


def _told(error: Exception) -> str:
    """An error in a line: that memory ran out, or what it is and where it was raised."""
    from fomo.system.memory_fault import is_out_of_memory, reason_of  # imports torch, which not all work needs

    if is_out_of_memory(error):
        return f"out of memory: {reason_of(error)}."
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {first_line(error)} ({Path(where.filename).name}, line {where.lineno})."
