"""What is known of a machine and of a job on it: plain values, so that checks can be tried on absent machines."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A dependency."""

    name: str
    installed: str | None
    """Its version; ``None``: it is missing."""
    wanted: str
    """The versions that pyproject.toml asks for, such as ``>=2.6``."""


@dataclass(frozen=True)
class Driver:
    """The GPUs of the machine, and what torch can do with them."""

    asked: str
    """``runtime.device`` as it was written."""
    built_for: str | None
    """The CUDA (or ROCm) version of torch's build; ``None``: a build for the CPU."""
    offered: str | None
    """The newest CUDA that the driver runs; ``None``: there is no such driver."""
    num_cards: int
    """GPUs in the machine."""
    num_usable: int
    """GPUs that torch can use."""


@dataclass(frozen=True)
class Cpu:
    """The cores of the machine, as far as the process may use them."""

    num_threads: int
    """Threads that torch computes with."""
    num_allowed: int
    """Cores that the process may run on."""
    quota: float | None
    """Cores that its control group has time for; ``None``: no limit."""
    load: float
    """Cores of the machine that were busy in the last minute."""

    @property
    def cores(self) -> float:
        """How many cores the process can use at once."""
        return min(self.num_allowed, self.quota or self.num_allowed)


@dataclass(frozen=True)
class Rate:
    """A rate of a device, in FLOP/s or bytes/s."""

    measured: float
    listed: float | None = None
    """What its maker lists; ``None``: it is not in the table."""
    source: str = ""
    """Where the listed rate is from."""


@dataclass(frozen=True)
class Compute:
    """The device of the job."""

    device: str
    """As torch names it."""
    name: str
    """As its maker names it; "CPU" for any CPU."""
    precision: str
    """In which the job computes."""
    matmul: dict[str, Rate]
    """Of matrix products, by precision; a precision that does not run at all is not in it."""
    copy: Rate
    """Of the device's memory."""
    native_bf16: bool
    """Whether the device computes in bf16; if not, it is emulated."""
    upload: Rate | None = None
    """From the host to a GPU; ``None`` on a CPU."""
    free_bytes: int | None = None
    """Memory of a GPU that is free; ``None`` on a CPU."""

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU, which the host only feeds."""
        return self.device != "cpu"


@dataclass(frozen=True)
class Disk:
    """The disk that a folder lies on, or will."""

    folder: str
    free_bytes: int
    write: float | None = None
    """Bytes per second; ``None``: not measured, or nothing could be written."""
    read: float | None = None
    """Bytes per second; ``None``: not measured, or nothing could be written."""
    problem: str = ""
    """Why nothing could be written."""


@dataclass(frozen=True)
class ProcessLimits:
    """What the process may take of the system, memory and cores aside."""

    open_files: int
    """Files that it may have open."""
    most_open_files: int
    """To how many open files it may raise that."""
    shared_memory: int | None
    """Bytes free in /dev/shm; ``None``: there is none."""


@dataclass(frozen=True)
class Network:
    """A group of one process, which was brought up on this machine."""

    backend: str
    """Of torch.distributed: "nccl" or "gloo"."""
    num_gpus: int
    failure: str = ""
    """Why the group did not come up; empty: it did."""


@dataclass(frozen=True)
class Clock:
    """The clock of the machine, beside the times of files."""

    now: float
    """Seconds since 1970."""
    newest: float
    """When the newest file at hand was changed, in seconds since 1970."""
    newest_file: str
    jump: float
    """Seconds that the clock went on too far while the checks ran."""


@dataclass(frozen=True)
class Repeated:
    """Work that was done again and again, to compare its bits with those of the first time."""

    what: str
    times: int
    differing: int
    """How often something had other bits."""
    failure: str = ""
    """Why it did not go on; empty: it did."""


@dataclass(frozen=True)
class JobFacts:
    """What the job asks for."""

    label: str
    device: str
    num_workers: int
    num_datasets: int
    batch_size: int
    batch_bytes: int
    weights_bytes: int
    process_bytes: int
    """The most that the process took while everything was built."""
    peak_bytes: int | None
    """Memory at the peak of a rehearsed step; ``None``: the job cannot be rehearsed."""
    checkpoint_minutes: float | None
    """Between two checkpoints; ``None``: the clock asks for none."""
    num_steps: int
    loading_seconds: float | None = None
    """Of a batch; ``None``: not tried."""
    step_seconds: float | None = None
    """Of a step; ``None``: not tried."""
    step_flops: int = 0
    """Of a step, as it would be charged; 0: the job cannot be rehearsed."""
    estimated: bool = False
    """Whether the seconds of a step follow from its FLOPs, because it would take long."""
    untried: str = ""
    """Why something was not tried."""

    @property
    def checkpoint_bytes(self) -> int:
        """Weights, and two moments of each."""
        return 3 * self.weights_bytes


@dataclass(frozen=True)
class MachineFacts:
    """Everything that the checks look at."""

    packages: tuple[Package, ...]
    driver: Driver
    cpu: Cpu
    memory_bytes: int
    """Available to the process, within the limit of its control group."""
    compute: Compute
    run_disk: Disk
    cache_disk: Disk
    limits: ProcessLimits
    network: Network
    clock: Clock
    job: JobFacts | None
    """``None``: it cannot be built."""
    refusal: str = ""
    """Why the job cannot be built."""
    repeated: tuple[Repeated, ...] = ()
