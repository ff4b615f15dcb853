"""What is known of a machine and of a job on it: plain values, so that checks can be tried on absent machines."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A dependency; ``installed`` is ``None`` where it is missing, ``wanted`` as pyproject.toml has it: ``>=2.6``."""

    name: str
    installed: str | None
    wanted: str


@dataclass(frozen=True)
class Driver:
    """The GPUs in the machine, and those that torch can use.

    ``asked`` is ``runtime.device`` as it was written. ``built_for`` is the CUDA (or ROCm) version of torch's build,
    ``offered`` the newest CUDA that the driver runs.
    """

    asked: str
    built_for: str | None
    offered: str | None
    num_cards: int
    num_usable: int


@dataclass(frozen=True)
class Cpu:
    """``num_allowed`` cores by affinity, ``quota`` in cores by the control group; ``load`` of the last minute."""

    num_threads: int
    num_allowed: int
    quota: float | None
    load: float

    @property
    def cores(self) -> float:
        """What the process can use at once."""
        return min(self.num_allowed, self.quota or self.num_allowed)


@dataclass(frozen=True)
class Rate:
    """Measured, and as the table of devices has it, in FLOP/s or bytes/s."""

    measured: float
    listed: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Compute:
    """The device of the job. ``matmul`` by precision; a precision that does not run at all is not in it."""

    device: str
    name: str
    precision: str
    matmul: dict[str, Rate]
    copy: Rate
    native_bf16: bool
    upload: Rate | None = None
    """From the host to a GPU."""
    free_bytes: int | None = None
    """Of a GPU."""

    @property
    def on_gpu(self) -> bool:
        """Whether the host only feeds it."""
        return self.device != "cpu"


@dataclass(frozen=True)
class Disk:
    """Where a folder lies, or will. Rates in bytes/s are ``None`` where nothing could be written: ``problem``."""

    folder: str
    free_bytes: int
    write: float | None = None
    read: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Limits:
    """Of the process: open files (what it has, what it may ask for), and bytes free in /dev/shm."""

    open_files: int
    most_open_files: int
    shared_memory: int | None


@dataclass(frozen=True)
class Network:
    """A group of one process that was brought up on this machine; ``failure`` says why it was not."""

    backend: str
    num_gpus: int
    failure: str = ""


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970 now and of the ``newest`` file at hand; ``jump`` of the clock while the checks ran."""

    now: float
    newest: float
    newest_file: str
    jump: float


@dataclass(frozen=True)
class Job:
    """What the job asks for. Bytes at the peak are the rehearsal's, or ``None`` where it cannot be rehearsed.

    ``process_bytes`` are those of a process with everything built. ``step_seconds`` is measured, or follows from
    its FLOPs where a step takes long (``estimated``), or is ``None``: ``untried`` says why.
    """

    label: str
    device: str
    num_workers: int
    num_datasets: int
    batch_size: int
    batch_bytes: int
    weights_bytes: int
    process_bytes: int
    peak_bytes: int | None
    checkpoint_minutes: float | None
    num_steps: int
    loading_seconds: float | None = None
    step_seconds: float | None = None
    estimated: bool = False
    untried: str = ""

    @property
    def checkpoint_bytes(self) -> int:
        """Weights, and two moments of each."""
        return 3 * self.weights_bytes


@dataclass(frozen=True)
class Facts:
    """Everything. ``job`` is ``None`` where it cannot be built: ``refusal`` says why."""

    packages: tuple[Package, ...]
    driver: Driver
    cpu: Cpu
    memory_bytes: int
    """Available to the process, its control group's limit heeded."""
    compute: Compute
    run_disk: Disk
    cache_disk: Disk
    limits: Limits
    network: Network
    clock: Clock
    job: Job | None
    refusal: str = ""
