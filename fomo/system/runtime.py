"""Where and in which precision a run computes."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch

from fomo.errors import FomoError, unknown

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Runtime:
    """``auto`` takes CUDA where there is one, and bf16 there; fp32 on a CPU.

    ``allow_targets`` names further packages whose classes a config may build. ``grad_checkpointing`` keeps the
    activations of few layers and computes the others again in the backward pass; ``micro_batch`` keeps those of so many
    rows and encodes each row twice (``fomo/training/micro_batches.py``): less memory, more FLOPs. Loader workers that
    return and read nothing for ``worker_timeout`` seconds are reported as hung; without workers, nobody can tell.
    """

    device: str = "auto"
    precision: str = "auto"
    num_workers: int = 0
    worker_timeout: float = 300.0
    grad_checkpointing: bool = False
    micro_batch: int | None = None
    allow_targets: tuple[str, ...] = field(default=())

    mixed_on_gpu: bool = field(init=False)
    """Whether it is mixed precision that a GPU would take; the budget is planned for one, whatever runs here."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixed_on_gpu", self.precision != "fp32")
        if self.device == "auto":
            object.__setattr__(self, "device", "cuda" if torch.cuda.is_available() else "cpu")
        if self.precision == "auto":
            object.__setattr__(self, "precision", "fp32" if self.device == "cpu" else "bf16")
        self._check()

    def _check(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("value of runtime.precision", self.precision, (*PRECISIONS, "auto"))
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise FomoError(f"runtime.device={self.device}: not usable here ({reason}). Try auto or cpu.") from None
        if self.micro_batch is not None and self.micro_batch < 1:
            raise FomoError(f"runtime.micro_batch={self.micro_batch}: allowed are 1 and above, or null for none.")
        if self.num_workers < 0:
            raise FomoError(f"runtime.num_workers={self.num_workers}: allowed are 0 and above.")
        if not self.worker_timeout > 0:
            raise FomoError(f"runtime.worker_timeout={self.worker_timeout}: allowed are numbers above 0, in seconds.")

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision where it is asked for."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(torch.device(self.device).type, dtype=dtype, enabled=dtype != torch.float32)
