"""What starts the runs of a sweep, and who hears of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fomo.config.schema import Resolved
from fomo.launching.job import Job, jobs_of, resolved_there, settled
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


class Placed(NamedTuple):
    """The runs of a sweep as they are where a launcher has them computed; of :func:`placed`."""

    resolved: list[Resolved]
    gpus: int | None
    there: list[dict[str, str]]

    def jobs(self, overrides: Sequence[Sequence[str]], file: Path | None = None) -> list[Job]:
        """The runs, each in its folder; ``overrides`` were typed for each, ``file`` is what they replay."""
        return jobs_of(overrides, self.resolved, file, self.gpus, self.there)


def placed(composed: Sequence[Mapping[str, Any]], launcher: Launcher | None) -> Placed:
    """Check configurations as they are where ``launcher`` has them computed; ``None``: in the process at hand."""
    gpus = launcher.place(_devices_of(composed)) if launcher else None
    there = [settled(values, gpus) for values in composed]
    return Placed([resolved_there(*each) for each in zip(composed, there, strict=True)], gpus, there)


def _devices_of(composed: Sequence[Mapping[str, Any]]) -> set[str]:
    """The devices that are asked for; what cannot be read is refused with the rest of the configuration."""
    sections = (values.get("runtime") for values in composed)
    return {str(section.get("device")) for section in sections if isinstance(section, dict)}
