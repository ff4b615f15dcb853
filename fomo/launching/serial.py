"""One run after the other, in the process at hand."""

import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fomo.errors import FomoError
from fomo.launching.job import Job, check_startable, check_writable
from fomo.launching.launcher import Failure, SweepAudience
from fomo.running.folder import FolderState
from fomo.running.run import complete
from fomo.system.signals import Stop
from fomo.system.text import first_line


@dataclass(frozen=True)
class Serial:
    """Makes the runs itself, in order: what a run prints is on the screen, the trace of one that fails in its log."""

    def place(self, devices: Collection[str]) -> None:
        """Nothing to check: a run computes where this process does."""

    def launch(self, jobs: Sequence[Job], stop: Stop, audience: SweepAudience) -> list[Failure]:
        """Run all, or find them finished."""
        for job in jobs:
            if check_startable(job) is not FolderState.FINISHED:
                check_writable(job)
        failures = []
        for job in jobs:
            audience.heading(f"run {job.number} of {len(jobs)}: {job}")
            if job.again:
                audience.say(f"resume=again: a new run, in {job.folder}")
            try:
                audience.result(complete(job.resolved, audience, stop))
            except Exception as error:  # whatever a run dies of; the next one may not
                failures.append(Failure(job, _told(error, job.log)))
                audience.say(f"run {job.number} has failed: {failures[-1].how}")
        return failures


def _told(error: Exception, log: Path) -> str:
    """Write what a run died of to its log; in a line, why."""
    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(traceback.format_exc())
    return str(error) if isinstance(error, FomoError) else f"{type(error).__name__}: {first_line(error)}"
