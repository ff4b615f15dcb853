"""Runs and imports that are killed, beside those that are not."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from fomo import rng
from tests.faults.jobs import IMPORTS, Job, make_sources
from tests.faults.process import GRACE, Fork, Ranks, left_behind

MOST = 4
"""Kills in a row."""
AIMED = 0.7
"""Share of the kills that wait for a phase; the others come at a random moment."""
Told = Callable[[str], None]


def in_order(seed: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, int]]:
    """Endlessly, in rounds: each job once per round, with 1 to 4 kills, of which each round has equally many."""
    for number in count():
        order = rng.generator(seed, "jobs", number).permutation(len(jobs))
        kills = rng.generator(seed, "kills", number).permutation(len(jobs)) % MOST + 1
        yield from ((jobs[job], int(kills[job])) for job in order)


@dataclass
class Campaign:
    """Kills so far, and what came of them."""

    folder: Path
    seed: int
    processes: int = 1
    """That take the steps of a run together; of several, one is killed at a time."""
    kills: int = 0
    trials: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    landed: Counter[str] = field(default_factory=Counter)
    """Kills by what they met. A checkpoint is written beside other things: one kill may meet both."""
    options: set[str] = field(default_factory=set)
    _whole: dict[tuple[str, ...], tuple[Path, float]] = field(default_factory=dict)
    _groups: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        make_sources(self.folder / "sources")

    def trial(self, job: Job, kills: int) -> list[str]:
        """Kill a command so many times in a row (fewer, if it ends), let it end, compare: what differs."""
        whole, seconds = self._unbroken(job)
        self.trials += 1
        random, place = rng.generator(self.seed, "trial", self.trials), self.folder / f"trial_{self.trials:04d}"
        done = 0.0
        for _ in range(kills):
            after, aim = float(random.random()) * max(seconds - done, seconds / 4), None
            if random.random() < AIMED:
                aim = str(random.choice(job.aims))
            rank = int(random.integers(self.processes))
            if not self._killed(place, job, after, aim, rank) or job.looks_finished(place):
                break
            done += after
        if not job.looks_finished(place):
            self._ended(place, job)
        found = job.differences(whole, place)
        self.differing.update(found)
        self.options.update(option for option in (job.kind, *job.overrides, *job.free) if option[0] != "/")
        _forget(place, bool(found))
        return found

    def covered(self, *names: str) -> dict[str, list[str]]:
        """The options of each group that were tried."""
        return {name: sorted(o.partition("=")[2] for o in self.options if o.startswith(f"{name}=")) for name in names}

    def left_behind(self) -> int:
        """Process groups of killed processes that are still there."""
        return left_behind(self._groups)

    def _unbroken(self, job: Job) -> tuple[Path, float]:
        key = (job.kind, *job.overrides)
        if key not in self._whole:
            place, began = self.folder / f"whole_{len(self._whole):04d}", time.monotonic()
            self._ended(place, Job(job.kind, job.overrides))
            self._whole[key] = place, time.monotonic() - began
        return self._whole[key]

    def _ended(self, place: Path, job: Job) -> None:
        process, end = self._start(place, job), time.monotonic() + GRACE
        while not process.ended():
            if time.monotonic() > end:
                process.kill()
                raise RuntimeError(f"{job}: the process for {place} does not end")
            time.sleep(0.005)

    def _killed(self, place: Path, job: Job, after: float, aim: str | None, rank: int) -> bool:
        """Kill it, or one process of several, after some time.

        Args:
            place: Where it is made.
            job: What is.
            after: So many seconds, or from a third of them on
            aim: when it is in this phase.
            rank: Which process.
        """
        process, began = self._start(place, job), time.monotonic()
        while not process.ended():
            passed = time.monotonic() - began
            met = process.phases() if passed >= (after / 3 if aim else after) else set()
            if met and (aim is None or aim in met):
                process.kill(rank)
                self.kills += 1
                self.landed.update(met)
                self._groups.extend(process.groups)
                return True
            time.sleep(0.001)
        return False

    def _start(self, place: Path, job: Job) -> Fork | Ranks:
        if job.kind in IMPORTS or self.processes == 1:
            return Fork(job.arguments(place), place, job.environment(place))
        return Ranks(job.arguments(place), place, job.environment(place), self.processes)


def _forget(place: Path, differs: bool) -> None:
    """Keep what differs."""
    for folder in (place, Path(f"{place}_cache")):
        if not differs:
            shutil.rmtree(folder, ignore_errors=True)
