"""Work over all cores, results in the order of the jobs, so that what comes of them depends on no worker count."""

import atexit
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias, TypeVar

from fomo.errors import FomoError


class WorkerDied(FomoError):
    """What was under way is lost; what was finished is not."""


Job = TypeVar("Job")
Run: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""``run(work, jobs)``: like ``map``, lazily, in order, with a bounded number of jobs under way."""


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def runner(num_workers: int) -> Iterator[Run]:
    """A :data:`Run` over ``num_workers`` processes; with one, the work is done in this process."""
    if num_workers == 1:
        yield map
        return
    executor = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_end_with_parent)

    def run(work: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        pending: deque[Future[Any]] = deque()
        for job in jobs:
            pending.append(executor.submit(work, job))
            if len(pending) >= 2 * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    try:
        yield run
    except BrokenProcessPool:
        raise WorkerDied("a worker process died, as a rule for want of memory: take fewer by --workers.") from None
    finally:
        executor.shutdown(cancel_futures=True)


def leave_signals_to_parent(worker: int = 0) -> None:
    """Ignore what asks a run to stop: terminals and schedulers send it to workers too, but the parent heeds it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _end_loader_workers() -> None:
    """After an error they may still be there, deaf to the request to end that Python waits for at its own end."""
    children = [child for child in active_children() if child.daemon]
    if children:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would take their end for an accident
    for child in children:
        child.kill()


def _end_with_parent() -> None:
    """Idle workers outlive a parent that was killed: each waits for its end in a thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches them too, but is the parent's matter
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_outlast, args=(parent,), daemon=True).start()


def _outlast(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def batched(items: Iterable[Job], size: int) -> Iterator[list[Job]]:
    """Lists of ``size`` items, the last one shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
