"""Worker processes end with the process that started them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from fomo.system.workers import STOPPING, report_unless_left, shielded
from tests.waiting import PATIENCE_SECONDS

ERROR = """
from fomo.system.feed import Feed
from fomo.system.runtime import Runtime


def broken(key):
    raise ValueError("broken")


next(Feed(broken, Runtime("cpu", num_workers=2))(range(8)))
"""


def test_an_error_of_a_loader_worker_ends_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", ERROR], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ended.returncode == 1 and "ValueError: broken" in ended.stderr
    assert "killed" not in ended.stderr


PINNED = """
import atexit
from fomo.system.feed import Feed
from fomo.system.runtime import Runtime
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter as Iterating

plain = Iterating.__init__


def pinning(self, loader):
    plain(self, loader)
    for worker in self._workers:
        atexit.register(lambda worker=worker: print(worker.exitcode))  # torch would wait here, where memory is pinned


Iterating.__init__ = pinning
batches = Feed(str, Runtime("cpu", num_workers=2))(range(9))
next(batches)
raise ENDING
"""


@pytest.mark.parametrize("ending", ["ValueError('a fault in the step')", "SystemExit(1)"])
def test_workers_have_ended_before_torch_waits_for_them(ending: str) -> None:
    """With 14 workers and a GPU, a run that an error had ended stayed for more than a minute."""
    script = PINNED.replace("ENDING", ending)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ended.returncode == 1 and ended.stdout == "-9\n" * 2


FAULT = """
import threading, time
import fomo.cli

def broken(name, arguments):
    threading.Thread(target=time.sleep, args=(1000,)).start()  # which Python would wait for
    raise ZeroDivisionError("a fault of the program")

fomo.cli.command = broken
fomo.cli.entry()
"""


def test_a_fault_of_the_program_ends_it_at_once_with_its_trace() -> None:
    command = [sys.executable, "-c", FAULT, "run"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ended.returncode == 1 and ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("ZeroDivisionError: a fault of the program\n")


TWICE = """
import os, signal, time
from fomo.system.signals import Stop

with Stop().listening() as stop, stop.postponed():
    os.kill(os.getpid(), signal.SIGINT)
    print("the step goes on", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1000)
"""


def test_a_second_interrupt_waits_for_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ended.returncode == 130 and ended.stdout == "the step goes on\n"
    assert ended.stderr.strip() == "interrupted twice: ended without waiting. The same command goes on."


def test_a_parent_that_ends_while_it_asks_a_worker_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """torch's thread hands batches over by :mod:`multiprocessing.resource_sharer`, which reports what it meets."""
    for left in (EOFError(), ConnectionResetError()):
        report_unless_left(type(left), left, None)
    assert capsys.readouterr().err == ""
    report_unless_left(ValueError, ValueError("a fault"), None)
    assert "ValueError: a fault" in capsys.readouterr().err


@pytest.fixture
def other() -> Iterator[int]:
    """A thread that does nothing."""
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    assert thread.ident is not None
    yield thread.ident
    ends.set()
    thread.join()


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize("error", [None, ValueError])
def test_a_signal_waits_for_the_start_of_workers_whichever_thread_it_is_given_to(
    number: signal.Signals, error: type[Exception] | None, other: int
) -> None:
    heard: list[int] = []
    arrived, noted = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(noted, False)
    before = signal.signal(number, lambda given, frame: heard.append(given))
    signal.set_wakeup_fd(noted)
    try:
        with pytest.raises(error) if error else nullcontext(), shielded():
            signal.pthread_kill(other, number)
            os.read(arrived, 1)  # the thread has it
            for _ in range(1000):  # in which the handler would be called
                assert not heard
            if error:
                raise error
        assert heard == [number]
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(number, before)
        os.close(arrived)
        os.close(noted)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
