"""The watch over runs in processes of their own: at most so many at a time, until every one has ended."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fomo.errors import FomoError, Stopped
from fomo.launching.job import Job, check_startable, check_writable
from fomo.launching.launcher import Counts, Failure, SweepAudience
from fomo.running.contents import check_unchanged
from fomo.running.folder import FolderState
from fomo.system.signals import REQUEUE, Stop

POLL_SECONDS = 0.1


class Running(Protocol):
    """A run that is started, or waits in the queue of a scheduler."""

    @property
    def job(self) -> Job:
        """Which run."""

    def ended(self) -> str | None:
        """``None`` while it is not at its end; then why it is not done, in a line, or empty: it is."""

    def began(self) -> bool:
        """Whether it waits no longer."""

    def stop(self) -> None:
        """Have it save what it has and end; if it waits, it never starts."""


@dataclass
class Watch:
    """Has runs started, at most ``at_once`` at a time, and watches them until all have ended.

    Args:
        start: Starts runs.
        at_once: How many may be under way at a time.
        stop: Whether all are to stop.
        audience: Hears of it.
        under_way: Runs that were started before.
    """

    start: Callable[[Sequence[Job]], Sequence[Running]]
    at_once: int
    stop: Stop
    audience: SweepAudience
    under_way: list[Running] = field(default_factory=list)
    _failures: list[Failure] = field(default_factory=list)
    _counts: Counts = field(default_factory=lambda: Counts(0))

    def over(self, jobs: Sequence[Job]) -> list[Failure]:
        """Check all runs, start those that are not finished, and wait until every one has ended.

        Raises:
            FomoError: a run could not start in its folder; none was started.
            Stopped: all were asked to stop, and have ended.
        """
        here = {each.job.number for each in self.under_way}
        states = {job.number: check_startable(job) for job in jobs if job.number not in here}
        finished = [job for job in jobs if states.get(job.number) is FolderState.FINISHED]
        waiting = [job for job in jobs if job.number in states and job not in finished]
        for job in waiting:
            check_writable(job)
        self._failures = self._changed(finished)
        self._counts = Counts(len(jobs), len(finished) - len(self._failures), len(self._failures))
        try:
            with self.stop.postponed(), self.audience.counting() as count:
                self._until_ended(waiting, count)
        except Stopped as stopped:
            saved = f"{self._counts.done} of {len(jobs)} runs are done, what the others have is saved"
            raise Stopped(stopped.by, REQUEUE, saved) from None
        return self._failures

    def _changed(self, finished: Sequence[Job]) -> list[Failure]:
        """Finished runs that were made with something else than what is there now."""
        failures = []
        with self.audience.busy(f"comparing what {len(finished)} finished runs were made with to what is there"):
            for job in finished:
                self.stop.raise_if_asked()
                try:
                    check_unchanged(job.folder, job.resolved)
                    self.audience.say(f"run {job.number} is finished: {job}")
                except FomoError as error:
                    failures.append(Failure(job, str(error)))
        return failures

    def _until_ended(self, waiting: list[Job], count: Callable[[Counts], None]) -> None:
        asked = False
        try:
            while waiting or self.under_way:
                if self.stop.asked and not asked:
                    asked = True
                    waiting.clear()
                    self._stop_all()
                room = self.at_once - len(self.under_way)
                if waiting and room > 0:
                    self.under_way += self.start(waiting[:room])
                    del waiting[:room]
                self._gather()
                count(self._counts)
                time.sleep(POLL_SECONDS)
        except BaseException:
            self._stop_all()
            raise

    def _stop_all(self) -> None:
        self.audience.say(f"asking {len(self.under_way)} runs to save what they have and to stop")
        for each in self.under_way:
            each.stop()

    def _gather(self) -> None:
        """Count what goes on, and say what has ended."""
        for each in list(self.under_way):
            how = each.ended()
            if how is None:
                continue
            self.under_way.remove(each)
            self._failures += [Failure(each.job, how)] if how else []
            done, failed = self._counts.done + (not how), self._counts.failed + bool(how)
            self._counts = self._counts._replace(done=done, failed=failed)
            verdict = f"has {'stopped' if self.stop.asked else 'failed'} ({how})" if how else "is done"
            self.audience.say(f"run {each.job.number} {verdict}: {each.job}; log: {each.job.log}")
        running = sum(each.began() for each in self.under_way)
        self._counts = self._counts._replace(running=running)
