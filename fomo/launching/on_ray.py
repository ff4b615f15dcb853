"""Runs as tasks of Ray, which finds a machine with a free GPU for each."""

import importlib.util
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fomo.errors import FomoError
from fomo.launching import child
from fomo.launching.job import Job
from fomo.launching.launcher import Failure, SweepAudience
from fomo.launching.settings import check_counts, extra_missing, gpus_of_a_run, threads
from fomo.launching.watch import Watch
from fomo.system.signals import STATUS, Stop
from fomo.system.text import first_line

PLACED = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""Variables by which Ray says which GPUs a task has."""


@dataclass
class RayTask:
    """A run that was handed to Ray."""

    job: Job
    reference: Any
    log_bytes: int

    def ended(self) -> str | None:
        """What its task returned, or why Ray could not run it."""
        import ray

        if not ray.wait([self.reference], timeout=0)[0]:
            return None
        try:
            return child.failure(ray.get(self.reference), self.job.log)
        except ray.exceptions.RayError as error:
            return f"{type(error).__name__}: {first_line(error)}"

    def began(self) -> bool:
        """Whether its log has grown."""
        return self.job.log_bytes > self.log_bytes

    def stop(self) -> None:
        """Cancel its task: the run gets SIGTERM."""
        import ray

        ray.cancel(self.reference)


@dataclass(frozen=True)
class Ray:
    """Hands runs to Ray.

    Args:
        address: Of a Ray that is there, as ``ray.init`` takes it; ``None``: RAY_ADDRESS, else one of this
            machine, which ends with the sweep.
        gpus_per_run: GPUs of a run; 0: none; ``None``: one, where the cluster has some.
        cpus_per_run: Cores of a run.
    """

    address: str | None = None
    gpus_per_run: int | None = None
    cpus_per_run: int = 1

    def __post_init__(self) -> None:
        check_counts(0, gpus_per_run=self.gpus_per_run)
        check_counts(1, cpus_per_run=self.cpus_per_run)

    def place(self, devices: Collection[str]) -> int:
        """The GPUs of a run, if the cluster has them on one machine."""
        if importlib.util.find_spec("ray") is None:
            raise extra_missing("ray", "Ray", "ray")
        import ray

        with _signals_kept():
            self._connect()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = gpus_of_a_run(self.gpus_per_run, int(max(node.get("GPU", 0) for node in nodes)), devices)
        if not any(node.get("CPU", 0) >= self.cpus_per_run and node.get("GPU", 0) >= gpus for node in nodes):
            most = int(max(node.get("CPU", 0) for node in nodes))
            raise FomoError(f"launcher.cpus_per_run={self.cpus_per_run}: no machine has them; allowed are 1 to {most}.")
        return gpus

    def _connect(self) -> None:
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        here = {} if self.address or os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
        try:
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True, **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise FomoError(f"launcher.address={self.address}: there is no Ray ({first_line(error)}).") from None

    def launch(self, jobs: Sequence[Job], stop: Stop, audience: SweepAudience) -> list[Failure]:
        """Hand over what is not finished, and wait for it."""
        import ray

        try:
            return Watch(self._handed_over, len(jobs), stop, audience).over(jobs)
        finally:
            ray.shutdown()

    def _handed_over(self, jobs: Sequence[Job]) -> list[RayTask]:
        import ray

        sent = {name: value for name, value in os.environ.items() if name not in PLACED}
        environment = {**sent, **threads(self.cpus_per_run)}
        run = ray.remote(child.run_to_end)
        return [
            RayTask(
                job,
                run.options(num_cpus=self.cpus_per_run, num_gpus=job.gpus or 0, name=job.folder.name).remote(
                    job.work(environment)
                ),
                job.log_bytes,
            )
            for job in jobs
        ]


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes signals for itself when it starts; they are the sweep's."""
    before = {number: signal.getsignal(number) for number in STATUS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
