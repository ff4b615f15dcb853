"""Where and in which precision a run computes."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import inf

import torch

from fomo.errors import check_allowed, check_choice
from fomo.system.determinism import check_workspace
from fomo.system.devices import check_device

STRATEGIES = ("ddp", "fsdp")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Runtime:
    """What does not change the experiment, but where, how fast and in how much memory it runs: but for the precision,
    nothing here changes a plan, a ledger or a leaderboard's track.

    Raises:
        FomoError: a value is not allowed, or torch cannot use the device.
    """

    device: str = "auto"
    """As torch names it; ``auto``: CUDA where there is a GPU, else the CPU."""
    precision: str = "auto"
    """One of :data:`PRECISIONS`; ``auto``: bf16 on a GPU, fp32 on a CPU."""
    planned_precision: str = "auto"
    """What the budget is planned for, whatever runs here; ``auto``: bf16, unless fp32 is asked for."""
    num_workers: int = 0
    """Processes that load data; 0: the process of the run does."""
    worker_timeout: float = 300.0
    """Seconds after which workers that neither return nor read anything are reported as hung."""
    image_cache_gb: float = 20.0
    """GB of decoded images of evaluations that are kept on disk for later ones (``FOMO_CACHE/images``); 0: none."""
    deterministic: bool = True
    """The same bytes from the same command, on a GPU too; ``False`` may be faster, and the result says so."""
    strategy: str = "ddp"
    """One of :data:`STRATEGIES`, how several processes take a step: with all weights each, or with a part each."""
    compile: str | None = None
    """``blocks``: residual blocks are compiled; a step whose FLOPs are counted is not."""
    grad_checkpointing: bool = False
    """Keep the activations of few layers and compute the rest again in the backward pass: less memory, more time."""
    micro_batch: int | None = None
    """Rows whose activations are kept at once, each row being encoded twice (``fomo/training/micro_batches.py``)."""
    allow_targets: tuple[str, ...] = field(default=())
    """Further packages whose classes a configuration may build."""

    def __post_init__(self) -> None:
        if self.planned_precision == "auto":
            object.__setattr__(self, "planned_precision", "fp32" if self.precision == "fp32" else "bf16")
        if self.device == "auto":
            object.__setattr__(self, "device", "cuda" if torch.cuda.is_available() else "cpu")
        if self.precision == "auto":
            object.__setattr__(self, "precision", "fp32" if self.device == "cpu" else "bf16")
        self._check()

    def _check(self) -> None:
        for name in ("precision", "planned_precision"):
            check_choice(f"value of runtime.{name}", getattr(self, name), (*PRECISIONS, "auto"))
        check_choice("value of runtime.strategy", self.strategy, STRATEGIES)
        if self.compile is not None:
            check_choice("value of runtime.compile", self.compile, ("blocks", "null"))
        check_device(self.device)
        if self.deterministic and self.device.startswith("cuda"):
            check_workspace()
        rows = self.micro_batch
        check_allowed(rows is None or rows >= 1, f"runtime.micro_batch={rows}", "1 and above, or null for none")
        check_allowed(self.num_workers >= 0, f"runtime.num_workers={self.num_workers}", "0 and above")
        size = self.image_cache_gb
        check_allowed(0 <= size < inf, f"runtime.image_cache_gb={size}", "numbers from 0 on, in GB; 0 for none")
        check_allowed(
            self.worker_timeout > 0, f"runtime.worker_timeout={self.worker_timeout}", "numbers above 0, in seconds"
        )

    @property
    def recomputes(self) -> bool:
        """Whether activations are computed a second time, to save memory."""
        return self.grad_checkpointing or self.micro_batch is not None

    @property
    def mixed_on_gpu(self) -> bool:
        """Whether the budget is planned for a GPU in mixed precision."""
        return self.planned_precision != "fp32"

    def autocast(self) -> AbstractContextManager[None]:
        """The context in which a forward pass has the precision."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(torch.device(self.device).type, dtype=dtype, enabled=dtype != torch.float32)
