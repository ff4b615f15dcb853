"""Several runs at a time on this machine, each a process with GPUs of its own, or with its share of the cores."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from subprocess import Popen

import torch

from fomo.errors import check_allowed
from fomo.launching import child
from fomo.launching.job import Job
from fomo.launching.launcher import Failure, SweepAudience
from fomo.launching.settings import check_counts, gpus_of_a_run, threads
from fomo.launching.watch import Watch
from fomo.system.signals import Stop

CORES_PER_RUN = 4
"""Where nobody says how many runs there are at a time, and there is no GPU."""


@dataclass(frozen=True)
class Share:
    """The part of a machine that one run at a time has.

    Args:
        gpus: GPUs, as CUDA_VISIBLE_DEVICES names them.
        num_cores: Cores that it has threads for.
        cores: The cores that it is bound to; empty: to none.
    """

    gpus: tuple[str, ...]
    num_cores: int
    cores: tuple[int, ...]


@dataclass
class Process:
    """A run that was started here."""

    job: Job
    share: Share
    process: "Popen[bytes]"

    def ended(self) -> str | None:
        """How its process ended."""
        status = self.process.poll()
        return None if status is None else child.failure(status, self.job.log)

    def began(self) -> bool:
        """At once."""
        return True

    def stop(self) -> None:
        """SIGTERM: it finishes its step and saves."""
        self.process.terminate()


@dataclass(frozen=True)
class Processes:
    """Runs ``processes`` runs at a time.

    Args:
        processes: How many at a time; ``None``: as many as there are GPUs for, and without a GPU one for each
            :data:`CORES_PER_RUN` cores.
        gpus_per_run: GPUs of a run, which no other run sees; 0: the CPU; ``None``: one, where there are GPUs.
    """

    processes: int | None = None
    gpus_per_run: int | None = None

    def __post_init__(self) -> None:
        check_counts(1, processes=self.processes)
        check_counts(0, gpus_per_run=self.gpus_per_run)

    def place(self, devices: Collection[str]) -> int:
        """The GPUs of a run, if so many runs have room on this machine."""
        gpus = gpus_of_a_run(self.gpus_per_run, len(gpus_here()), devices)
        self._at_once(gpus)
        return gpus

    def _at_once(self, gpus: int) -> int:
        cores = len(cores_here())
        most = len(gpus_here()) // gpus if gpus else cores
        asked = self.processes or (most if gpus else max(1, cores // CORES_PER_RUN))
        each = f"each run has {gpus} of {len(gpus_here())} GPUs" if gpus else "each run has a core at least"
        check_allowed(asked <= most, f"launcher.processes={self.processes}", f"1 to {most}, and null: {each}")
        return asked

    def launch(self, jobs: Sequence[Job], stop: Stop, audience: SweepAudience) -> list[Failure]:
        """Run what is not finished, so many at a time."""
        gpus = max(job.gpus or 0 for job in jobs)
        free = shares(self._at_once(gpus), gpus)
        running: list[Process] = []

        def start(some: Sequence[Job]) -> list[Process]:
            free.extend(each.share for each in running if each.process.returncode is not None)
            running[:] = [each for each in running if each.process.returncode is None]
            started = [_started(job, free.pop(0)) for job in some]
            running.extend(started)
            return started

        return Watch(start, len(free), stop, audience).over(jobs)


def _started(job: Job, share: Share) -> Process:
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(share.gpus)}
    return Process(job, share, child.start(job.work({**threads(share.num_cores), **gpus}, share.cores)))


def shares(number: int, gpus: int) -> list[Share]:
    """The machine in ``number`` equal shares with ``gpus`` GPUs each; cores are bound where there are none of these."""
    cards, cores = gpus_here(), cores_here()
    size = max(1, len(cores) // number)
    return [
        Share(
            tuple(cards[each * gpus : (each + 1) * gpus]), size, () if gpus else cores[each * size : (each + 1) * size]
        )
        for each in range(number)
    ]


def cores_here() -> tuple[int, ...]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def gpus_here() -> list[str]:
    """The GPUs that torch can use, as CUDA_VISIBLE_DEVICES names them."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(torch.cuda.device_count())] if named is None else named.split(",")
    return [name.strip() for name in names[: torch.cuda.device_count()]]
