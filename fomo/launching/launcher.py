"""What starts the runs of a sweep, and who hears of it."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from fomo.launching.job import Job
from fomo.running.run import Audience
from fomo.system.signals import Stop


class Failure(NamedTuple):
    """A run that is not done, and why, in a line."""

    job: Job
    how: str


class Counts(NamedTuple):
    """How far a sweep is, in runs."""

    total: int
    done: int = 0
    failed: int = 0
    running: int = 0

    def __str__(self) -> str:
        return f"{self.running} running, {self.done} done, {self.failed} failed of {self.total}"


class SweepAudience(Audience, Protocol):
    """Who hears of a sweep."""

    def heading(self, text: str) -> None:
        """What comes now."""

    def result(self, folder: Path) -> None:
        """A run is finished."""

    def counting(self) -> AbstractContextManager[Callable[[Counts], None]]:
        """While open, it is called with how far the sweep is."""


class Launcher(Protocol):
    """Starts the runs of a sweep. An option of the group ``launcher`` names one by ``_target_``."""

    def place(self, devices: Collection[str]) -> int | None:
        """How many GPUs each run gets; ``None``: all runs are made in this process. It checks what can be checked.

        ``devices`` are the values of ``runtime.device`` in the sweep.

        Raises:
            FomoError: what is to start the runs is not there, or has not what they ask for.
        """

    def launch(self, jobs: Sequence[Job], stop: Stop, audience: SweepAudience) -> list[Failure]:
        """Run what is not finished yet; a run that fails stops no other.

        Raises:
            FomoError: a run could not start in its folder; none was started.
            Stopped: it was asked to stop, and so were the runs.
        """
