"""Runs as jobs of Slurm, by submitit, which sends a run that has to leave its machine back to the queue."""

import importlib.util
import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fomo.errors import FomoError, check_allowed, check_choice
from fomo.launching import child, in_job
from fomo.launching.job import Job
from fomo.launching.launcher import Failure, SweepAudience
from fomo.launching.processes import cores_here, gpus_here
from fomo.launching.settings import check_counts, check_devices, extra_missing, gpus_of_a_run
from fomo.launching.watch import Running, Watch
from fomo.system.checks import is_number, is_strings
from fomo.system.lock import check_free
from fomo.system.signals import Stop
from fomo.system.text import first_line
from fomo.system.workers import batched
from fomo.system.writing import write_text

CLUSTERS = ("slurm", "local")
FOLDER = ".submitit"
"""Beside the run folders: submitit's own files and logs."""
ALIVE = ("PENDING", "RUNNING", "REQUEUED", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "PREEMPTED")
"""What Slurm calls a job that is, or will be, at work."""
LARGEST_ARRAY = 1000
"""Slurm's own limit (MaxArraySize 1001)."""
ASK_SECONDS = 10.0
"""Between two questions to Slurm how far jobs are that are to stop."""


@dataclass
class Submitted:
    """A run in the queue."""

    job: Job
    submitted: Any
    log_bytes: int
    _stopped: float | None = None

    def ended(self) -> str | None:
        """What its job returned, or what Slurm says of it."""
        if not self.submitted.done(force_check=self._asks()) or (self._stopped is not None and not _is_free(self.job)):
            return None
        self.mark().unlink(missing_ok=True)
        if self.submitted.paths.result_pickle.exists():
            error = self.submitted.exception()
            return first_line(error, 500) if error else child.failure(self.submitted.result(), self.job.log)
        log = self.submitted.paths.stdout
        return f"job {self.submitted.job_id} has ended without a result: {self.submitted.state}; its log: {log}"

    def _asks(self) -> bool:
        """Whether to ask Slurm now: of a job that is to stop more often than submitit would."""
        if self._stopped is None or time.monotonic() - self._stopped < ASK_SECONDS:
            return False
        self._stopped = time.monotonic()
        return True

    def began(self) -> bool:
        """Whether its log has grown."""
        return self.job.log_bytes > self.log_bytes

    def stop(self) -> None:
        """Cancel its job: the run gets SIGTERM."""
        self._stopped = time.monotonic()
        self.submitted.cancel(check=False)

    def mark(self) -> Path:
        """The file that holds the number of its job while that is under way."""
        return _mark(self.job)


def _mark(job: Job) -> Path:
    return job.folder.with_name(f".{job.folder.name}.submitit")


def _is_free(job: Job) -> bool:
    try:
        check_free(job.folder)
    except FomoError:
        return False
    return True


@dataclass(frozen=True)
class Submitit:
    """Sends runs to Slurm, as arrays of jobs.

    Args:
        partition, account, qos, constraint: As sbatch takes them; ``None``: the cluster's own.
        minutes: The time of a job. When it is up, the run saves and goes back to the queue.
        gpus_per_run: GPUs of a run; 0: none; ``None``: one, on ``local`` where there are some.
        cpus_per_run: Cores of a run; ``None``: the cluster's own number.
        memory_gb: Memory of a run in GB; ``None``: the cluster's own amount.
        at_once: How many jobs of an array run at a time.
        requeues: How often a run goes on after its time was up; preemptions are not counted.
        signal_seconds: How long before the time is up a run is asked to save.
        setup: Lines of shell before the run, such as ``module load cuda``.
        more: Further parameters of sbatch, such as ``{nodelist: n1}``.
        cluster: ``slurm``, or ``local``: jobs on this machine, to try it.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    minutes: int = 240
    gpus_per_run: int | None = None
    cpus_per_run: int | None = None
    memory_gb: float | None = None
    at_once: int = 256
    requeues: int = 100
    signal_seconds: int = 120
    setup: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"

    def __post_init__(self) -> None:
        check_choice("value of launcher.cluster", self.cluster, CLUSTERS)
        check_counts(1, minutes=self.minutes, cpus_per_run=self.cpus_per_run, at_once=self.at_once)
        check_counts(0, gpus_per_run=self.gpus_per_run, requeues=self.requeues)
        check_counts(10, signal_seconds=self.signal_seconds)
        holds = self.memory_gb is None or (is_number(self.memory_gb) and self.memory_gb > 0)
        check_allowed(holds, f"launcher.memory_gb={self.memory_gb}", "numbers above 0, in GB")
        for name in ("partition", "account", "qos", "constraint"):
            value = getattr(self, name)
            plain = value is None or (isinstance(value, str) and value.isprintable() and value != "")
            check_allowed(plain, f"launcher.{name}={value!r}", "a line of text, and null")
        holds = not isinstance(self.setup, str) and is_strings(list(self.setup))
        check_allowed(holds, f"launcher.setup={self.setup}", "lists of lines of shell")
        check_allowed(isinstance(self.more, Mapping), f"launcher.more={self.more}", "{NAME: VALUE}, as sbatch has them")

    def place(self, devices: Collection[str]) -> int:
        """The GPUs of a run, if submitit and the cluster are there."""
        if importlib.util.find_spec("submitit") is None:
            raise extra_missing("submitit", "submitit", "slurm")
        if self.cluster == "local":
            return gpus_of_a_run(self.gpus_per_run, len(gpus_here()), devices)
        missing = [name for name in ("sbatch", "srun", "sacct") if shutil.which(name) is None]
        if missing:
            raise FomoError(
                f"launcher=submitit: Slurm is not here ({missing[0]} is not found): start the sweep where its commands "
                "are, or try it on this machine with launcher.cluster=local; launcher=processes needs no Slurm."
            )
        gpus = int(any(device != "cpu" for device in devices)) if self.gpus_per_run is None else self.gpus_per_run
        check_devices(gpus, devices)
        return gpus

    def launch(self, jobs: Sequence[Job], stop: Stop, audience: SweepAudience) -> list[Failure]:
        """Submit what is neither finished nor in the queue already, and wait for all."""
        folder = jobs[0].folder.parent.absolute() / FOLDER
        executor = self._executor(folder, max(job.gpus or 0 for job in jobs))
        left = [each for job in jobs if (each := _in_queue(job, folder))] if self.cluster == "slurm" else []
        at_once = len(jobs) if self.cluster == "slurm" else min(self.at_once, len(cores_here()))
        for each in left:
            audience.say(f"run {each.job.number} is job {each.submitted.job_id} already: {each.job}")
        return Watch(lambda some: list(self._submitted(executor, some)), at_once, stop, audience, [*left]).over(jobs)

    def _executor(self, folder: Path, gpus: int) -> Any:
        import submitit

        made = submitit.AutoExecutor(folder, cluster=self.cluster, slurm_max_num_timeout=self.requeues)
        asked = {
            "timeout_min": self.minutes,
            "gpus_per_node": gpus or None,
            "cpus_per_task": self.cpus_per_run,
            "mem_gb": self.memory_gb,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_qos": self.qos,
            "slurm_constraint": self.constraint,
            "slurm_setup": list(self.setup) or None,
        }
        made.update_parameters(
            name="fomo",
            stderr_to_stdout=True,
            slurm_array_parallelism=self.at_once,
            slurm_signal_delay_s=self.signal_seconds,
            slurm_additional_parameters={"requeue": True, **self.more},
            **{key: value for key, value in asked.items() if value is not None},
        )
        return made

    def _submitted(self, executor: Any, jobs: Sequence[Job]) -> Iterable[Running]:
        for some in batched(jobs, LARGEST_ARRAY):
            before = [job.log_bytes for job in some]
            for job, num_bytes, submitted in zip(some, before, self._submit(executor, some), strict=True):
                entry = Submitted(job, submitted, num_bytes)
                if self.cluster == "slurm":
                    write_text(entry.mark(), submitted.job_id)
                yield entry

    def _submit(self, executor: Any, jobs: Sequence[Job]) -> list[Any]:
        """One array of jobs.

        Raises:
            FomoError: Slurm does not take it.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            with executor.batch():
                return [executor.submit(in_job.RunInJob(job.work({}), in_job.GRACE_SECONDS)) for job in jobs]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise FomoError(f"launcher=submitit: Slurm takes no such job: {_said(error)}. See launcher.*.") from None


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "error" in line.lower()]
    return first_line(lines[-1] if lines else error).rstrip(".")


def _in_queue(job: Job, folder: Path) -> Submitted | None:
    """The run as a job that an earlier launcher has submitted, if Slurm still has it."""
    if not _mark(job).is_file():
        return None
    import submitit

    number = _mark(job).read_text().strip()
    submitted: Any = submitit.SlurmJob(folder=folder, job_id=number)
    state = submitted.get_info(mode="force").get("State", "").split(" ")[0]
    return Submitted(job, submitted, 0) if state in ALIVE else None
