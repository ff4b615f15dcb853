"""Being asked to stop: SIGTERM, SIGUSR1, SIGUSR2, as schedulers send them before they take the machine, and Ctrl-C.

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
"""Exit status of a run that was asked to stop and can go on: EX_TEMPFAIL of sysexits.h."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
STATUS = {signal.SIGTERM: REQUEUE, signal.SIGUSR1: REQUEUE, signal.SIGUSR2: REQUEUE, signal.SIGINT: INTERRUPTED}


def stopped_by(number: int) -> Stopped:
    """The end of a run that a signal with this number has asked for."""
    asked = signal.Signals(number)
    return Stopped(asked.name, STATUS[asked])


class Stop:
    """Whether the run is asked to stop. Signals count within :meth:`listening` alone.

    A signal raises :class:`~fomo.errors.Stopped` at once, wherever the program is, except within :meth:`postponed`.
    """

    def __init__(self) -> None:
        self._asked: signal.Signals | None = None
        self._postponed = False

    @contextmanager
    def listening(self) -> Iterator["Stop"]:
        """Take the signals during the block. Python allows that in the main thread; in another, none is taken."""
        taken = STATUS if threading.current_thread() is threading.main_thread() else ()
        before = {number: signal.signal(number, self._on_signal) for number in taken}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            if number == signal.SIGINT:  # the second Ctrl-C does not wait for anything
                end_now(INTERRUPTED, "interrupted twice: ended without waiting. The same command goes on.")
            return
        self._asked = signal.Signals(number)
        if not self._postponed:
            self.raise_if_asked()

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Let a signal wait for :meth:`raise_if_asked` during the block, which is called at its end too."""
        self._postponed = True
        try:
            yield
        finally:
            self._postponed = False
        self.raise_if_asked()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal raise at once during the block, even within :meth:`postponed`."""
        before = self._postponed
        self._postponed = False
        try:
            self.raise_if_asked()
            yield
        finally:
            self._postponed = before

    @property
    def asked(self) -> int:
        """The number of the signal that has come; 0: none has."""
        return self._asked or 0

    def raise_if_asked(self) -> None:
        """Stop the run if a signal has come.

        Raises:
            Stopped: it has.
        """
        if self._asked is not None:
            raise stopped_by(self._asked)
