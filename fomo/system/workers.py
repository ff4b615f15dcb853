"""Work over many processes, results in the order of the jobs: they do not depend on the number of workers."""

import atexit
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NothingYet
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, NoReturn, TypeAlias, TypeVar

from fomo.errors import WorkerDied, WorkerHung

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What asks a run to stop. Terminals and schedulers send it to workers too, but it is the parent's matter."""
PATIENCE_SECONDS = 1800.0
"""For one job of :func:`runner`: hashing a large file over a slow network takes long."""
Item = TypeVar("Item")
Run: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""``run(work, jobs)``: like ``map``, lazily, in order, with a bounded number of jobs under way."""


def num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def runner(num_workers: int) -> Iterator[Run]:
    """A :data:`Run` over ``num_workers`` processes; with one, the work is done in this process."""
    if num_workers == 1:
        yield map
        return
    before = set(active_children())
    executor = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=end_with_parent)

    def run(work: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        pending: deque[Future[Any]] = deque()
        for job in jobs:
            with shielded():
                pending.append(executor.submit(work, job))
            if len(pending) >= 2 * num_workers:
                yield _result(pending.popleft())
        while pending:
            yield _result(pending.popleft())

    try:
        yield run
    except BaseException as error:
        kill(set(active_children()) - before)  # whatever they are at: nobody wants it any more
        if isinstance(error, BrokenProcessPool):
            raise WorkerDied("a worker process died, as a rule for want of memory: take fewer by --workers.") from None
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def shielded() -> Iterator[None]:
    """Start workers in the block: what asks a run to stop waits until they ignore it (:func:`end_with_parent`).

    Workers inherit that these signals are blocked in this thread. Another thread may be given one nevertheless, whose
    handler Python calls in the main thread: there it is noted, and heard at the end of the block.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    heard: list[int] = []
    listens = threading.current_thread() is threading.main_thread()
    handlers = {each: signal.signal(each, lambda number, _: heard.append(number)) for each in STOPPING if listens}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for each in heard:
            signal.raise_signal(each)


def _result(job: "Future[Any]") -> Any:
    try:
        return job.result(PATIENCE_SECONDS)
    except NothingYet:
        if job.done():  # its own error
            raise
        raise WorkerHung(
            f"a worker process has returned nothing for {PATIENCE_SECONDS:g} s: is a file system stuck? With that "
            "mended, the same command goes on."
        ) from None


def ended_by(exitcode: int | None) -> str:
    """How a process ended, for messages: the signal that killed it, or its status."""
    return f"by {signal.Signals(-exitcode).name}" if exitcode is not None and exitcode < 0 else f"status {exitcode}"


def kill(children: Iterable[BaseProcess]) -> None:
    """Kill child processes, which may ignore every other signal, and wait up to two seconds for their end."""
    children = list(children)
    for child in children:
        child.kill()
    end = time.monotonic() + 2
    for child in children:
        child.join(max(0, end - time.monotonic()))


def _end_loader_workers() -> None:
    children = [child for child in active_children() if child.daemon]
    if children:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would take their end for an accident
        kill(children)


def end_workers_first() -> None:
    """Have loader workers that are left killed before anything else at the end of the process; called as they start.

    What is registered last comes first there. Where memory is pinned, torch registers at their start that it waits five
    seconds for each, and then sends the SIGTERM that they ignore.
    """
    atexit.unregister(_end_loader_workers)
    atexit.register(_end_loader_workers)


def end_now(status: int, message: str) -> NoReturn:
    """End the process at once: its children are killed, and one that is stuck in the kernel is not waited for."""
    for child in active_children():
        child.kill()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    show_cursor = "\033[?25h\n" if sys.stderr.isatty() else ""  # a progress bar may have hidden it
    if message:
        os.write(2, f"{show_cursor}{message}\n".encode())
    os._exit(status)


def end_with_parent() -> None:
    """Ignore, in a worker, what asks a run to stop, and end the worker after its parent.

    A thread waits for the parent: one that is killed cannot end its workers.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    sys.excepthook = report_unless_left
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def report_unless_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report an error as Python does, but for what a worker's threads meet when the parent ends while it is asking."""
    if not issubclass(kind, (EOFError, ConnectionError)):
        sys.__excepthook__(kind, error, trace)


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` items, the last one with what is left."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
