"""Being asked to stop: SIGTERM and SIGUSR1, as schedulers send them before they take the machine away, and Ctrl-C.

During training the step at hand is finished and a checkpoint written; a batch that is waited for, and anything else (an
evaluation, a merge), is abandoned at once, since it is done again from the checkpoint before it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fomo.errors import Stopped
from fomo.system.workers import end_now

REQUEUE = 75
"""Exit status for a run that was told to stop and can go on: EX_TEMPFAIL of sysexits.h."""
INTERRUPTED = 130
STATUS = {signal.SIGTERM: REQUEUE, signal.SIGUSR1: REQUEUE, signal.SIGINT: INTERRUPTED}


class Stop:
    """Whether the run is asked to stop. Without :meth:`listening` nobody asks."""

    def __init__(self) -> None:
        self._requested: signal.Signals | None = None
        self._deferred = False

    @contextmanager
    def listening(self) -> Iterator["Stop"]:
        """While open, the signals are ours. Only the main thread may take them."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._on_signal) for number in STATUS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._requested is not None:
            if number == signal.SIGINT:  # the second Ctrl-C does not wait for anything
                end_now(INTERRUPTED, "interrupted twice: ended without waiting. The same command goes on.")
            return
        self._requested = signal.Signals(number)
        if not self._deferred:
            self.check()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While open, a signal waits for :meth:`check`; at the end that is called."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.check()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While open, inside of :meth:`deferred`, a signal stops at once all the same."""
        deferred, self._deferred = self._deferred, False
        try:
            self.check()
            yield
        finally:
            self._deferred = deferred

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._requested is not None

    def check(self) -> None:
        """Stop, if that is asked for."""
        if self._requested is not None:
            raise Stopped(self._requested.name, STATUS[self._requested])
