"""How well a run used its device: MFU and HFU against the device's dense peak.

MFU, model FLOPs utilisation (Chowdhery et al. 2022, PaLM, arXiv 2204.02311, appendix B): FLOPs that the method needs,
per second, over the peak; recomputed activations are left out. HFU, hardware FLOPs utilisation (Korthikanti et al.
2022, arXiv 2205.05198, section 6): everything that was computed, recomputation included.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

TERA = 10**12
NVIDIA, AMD = "https://www.nvidia.com/en-us/data-center", "https://www.amd.com/en/products/accelerators/instinct"
DENSE_PEAKS: dict[str, dict[str, float | str]] = {
    # without sparsity, matrix units with fp32 accumulation; NVIDIA prints the sparse figure, which is twice the dense
    "A100.*80GB": {"bf16": 312, "fp32": 19.5, "memory": 1.935, "bus": 0.032, "source": f"{NVIDIA}/a100"},
    "A100": {"bf16": 312, "fp32": 19.5, "memory": 1.555, "bus": 0.032, "source": f"{NVIDIA}/a100"},
    "H100 PCIe": {"bf16": 756.5, "fp32": 51.2, "memory": 2.0, "bus": 0.064, "source": f"{NVIDIA}/h100"},
    "H100": {"bf16": 989.4, "fp32": 66.9, "memory": 3.35, "bus": 0.064, "source": f"{NVIDIA}/h100"},
    "H200": {"bf16": 989.4, "fp32": 66.9, "memory": 4.8, "bus": 0.064, "source": f"{NVIDIA}/h200"},
    "B200": {"bf16": 2250, "memory": 8.0, "bus": 0.064, "source": f"{NVIDIA}/dgx-b200"},
    "L4": {"bf16": 121, "fp32": 30.3, "memory": 0.3, "bus": 0.032, "source": f"{NVIDIA}/l4"},
    "L40S": {"bf16": 362, "fp32": 91.6, "memory": 0.864, "bus": 0.032, "source": f"{NVIDIA}/l40s"},
    "RTX 4090": {
        "bf16": 165.2,
        "fp32": 82.6,
        "memory": 1.008,
        "bus": 0.032,
        "source": "NVIDIA Ada GPU architecture whitepaper, appendix A",
    },
    "MI300X": {"bf16": 1307.4, "fp32": 163.4, "memory": 5.3, "bus": 0.064, "source": f"{AMD}/mi300/mi300x.html"},
}
"""By name of the device: TFLOP/s by precision; TB/s of its memory, and of the bus from the host, one way."""


@dataclass(frozen=True)
class Peak:
    """Dense FLOP/s of a device, and where the figure is from."""

    flops_per_second: float
    source: str


def peak(device: str, precision: str) -> Peak:
    """The table's peak of the device at hand, else the best of a few measured matrix products."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    return listed_peak(name, precision) or Peak(measured_peak(device, precision), "measured matrix product")


def listed_peak(name: str, precision: str) -> Peak | None:
    """The peak of the device that is called ``name``, if the table has it."""
    found = listed(name, precision)
    return Peak(*found) if found else None


def listed(name: str, quantity: str) -> tuple[float, str] | None:
    """FLOP/s or bytes/s of the first device of the table that ``name`` names, and where the figure is from."""
    for device, row in DENSE_PEAKS.items():
        if re.search(rf"\b{device}\b", name) and quantity in row:
            return float(row[quantity]) * TERA, str(row["source"])
    return None


def measured_peak(device: str, precision: str, repeats: int = 5) -> float:
    """FLOP/s of the fastest of ``repeats`` square matrix products."""
    size = 8192 if device.startswith("cuda") else 1024
    matrix = torch.ones(size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return float(2 * size**3 / min(seconds))


def synchronize(device: str) -> None:
    """Wait until the device has done its work, so that a clock means something."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def utilisation(
    charged_flops: int, model_flops: int, num_samples: int, seconds: float, best: Peak
) -> dict[str, float | str]:
    """Rates of the training time ``seconds`` (hooks included, evaluation not)."""
    return {
        "training_seconds": round(seconds, 3),
        "samples_per_second": num_samples / seconds,
        "flops_per_second": charged_flops / seconds,
        "mfu": model_flops / seconds / best.flops_per_second,
        "hfu": charged_flops / seconds / best.flops_per_second,
        "peak_flops_per_second": best.flops_per_second,
        "peak_source": best.source,
    }


class Usage:
    """Training time and energy of a run: a clock that stands still while the model is evaluated.

    ``elapsed`` are the seconds of the whole run. All three go on where an earlier process left them.
    """

    def __init__(self, device: str) -> None:
        self._device, self.seconds, self._joules = device, 0.0, 0.0
        self._began = time.perf_counter()
        self._told = energy(device) is not None
        self._resume()

    @property
    def joules(self) -> float | None:
        """Energy of the training, ``None`` where the device does not tell."""
        return round(self._joules, 3) if self._told else None

    @property
    def elapsed(self) -> float:
        """Seconds since the start, evaluations included."""
        return time.perf_counter() - self._began

    def state_dict(self) -> dict[str, float]:
        """What has been used until now."""
        self.stop()
        self._resume()
        return {"seconds": self.seconds, "joules": self._joules, "elapsed": self.elapsed}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from :meth:`state_dict`."""
        self.seconds, self._joules = state["seconds"], state["joules"]
        self._began = time.perf_counter() - state["elapsed"]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is not counted."""
        self.stop()
        yield
        self._resume()

    def _resume(self) -> None:
        self._started, self._energy = time.perf_counter(), energy(self._device) or 0.0

    def stop(self) -> None:
        """Add what has passed."""
        synchronize(self._device)
        self.seconds += time.perf_counter() - self._started
        self._joules += (energy(self._device) or 0.0) - self._energy


RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


def energy(device: str) -> float | None:
    """Joules that the device says it has used since some moment; ``None`` where it does not tell."""
    if device.startswith("cuda"):
        return _gpu_energy(device)
    try:
        return int(RAPL.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _gpu_energy(device: str) -> float | None:
    try:
        pynvml: Any = import_module("pynvml")  # nvidia-ml-py; torch uses it for the same purpose
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
    except pynvml.NVMLError:
        return None
