"""The devices that a run computes on: what their makers list, what a matrix product reaches, and waiting for them."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from fomo.errors import FomoError, nearest, unknown

TERA = 10**12
NVIDIA = "https://www.nvidia.com/en-us/data-center"
DENSE_PEAKS: dict[str, dict[str, float | str]] = {
    # without sparsity, matrix units with fp32 accumulation; NVIDIA prints the sparse figure, which is twice the dense
    "A100.*80GB": {"bf16": 312, "fp32": 19.5, "memory": 1.935, "bus": 0.032, "link": 0.3, "source": f"{NVIDIA}/a100"},
    "A100": {"bf16": 312, "fp32": 19.5, "memory": 1.555, "bus": 0.032, "link": 0.3, "source": f"{NVIDIA}/a100"},
    "H100 PCIe": {"bf16": 756.5, "fp32": 51.2, "memory": 2.0, "bus": 0.064, "source": f"{NVIDIA}/h100"},
    "H100": {"bf16": 989.4, "fp32": 66.9, "memory": 3.35, "bus": 0.064, "link": 0.45, "source": f"{NVIDIA}/h100"},
    "H200": {"bf16": 989.4, "fp32": 66.9, "memory": 4.8, "bus": 0.064, "link": 0.45, "source": f"{NVIDIA}/h200"},
    "B200": {"bf16": 2250, "memory": 8.0, "bus": 0.064, "link": 0.9, "source": f"{NVIDIA}/dgx-b200"},
    "L4": {"bf16": 121, "fp32": 30.3, "memory": 0.3, "bus": 0.032, "source": f"{NVIDIA}/l4"},
    "L40S": {"bf16": 362, "fp32": 91.6, "memory": 0.864, "bus": 0.032, "source": f"{NVIDIA}/l40s"},
    "RTX 4090": {
        "bf16": 165.2,
        "fp32": 82.6,
        "memory": 1.008,
        "bus": 0.032,
        "source": "NVIDIA Ada GPU architecture whitepaper, appendix A",
    },
    "MI300X": {
        "bf16": 1307.4,
        "fp32": 163.4,
        "memory": 5.3,
        "bus": 0.064,
        "link": 0.448,
        "source": "https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html",
    },
}
"""By name of the device: TFLOP/s by precision; TB/s of its memory; one way, of the bus from the host and of the link to
other devices (NVLink, Infinity Fabric), where it has one."""


@dataclass(frozen=True)
class Peak:
    """Dense FLOP/s of a device, and where the figure is from."""

    flops_per_second: float
    source: str


def usable_devices() -> list[str]:
    """The devices that torch can use here, as it names them."""
    gpus = ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    others = {"mps": torch.backends.mps.is_available(), "xpu": torch.xpu.is_available()}
    return ["cpu", *(gpus if torch.cuda.is_available() else []), *(name for name, is_here in others.items() if is_here)]


def check_device(device: str) -> None:
    """Refuse a device that is not there, or that cannot be used at the moment.

    Raises:
        FomoError: it is not; those that are there are listed.
    """
    allowed = ["auto", *usable_devices()]
    if device not in allowed:
        why = "" if len(allowed) > 2 else " torch can use no GPU here: `fomo doctor runtime.device=auto` says why."
        raise FomoError(
            f"runtime.device={device}: there is no such device here. {nearest(str(device), allowed)}Take "
            f"{', '.join(allowed[:-1])} or {allowed[-1]}.{why}"
        )
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise FomoError(
            f"runtime.device={device}: it is there, and cannot be used ({reason}). Is it held by another process? Else "
            "take runtime.device=cpu."
        ) from None


def listed_device(name: str) -> str:
    """The name in :data:`DENSE_PEAKS`, as people write it, of the device that is called ``name``, in capitals or not.

    Raises:
        FomoError: it is not listed.
    """
    listed = {_folded(each): each for each in (key.replace(".*", " ") for key in DENSE_PEAKS)}
    if _folded(name) not in listed:
        raise unknown("device", name, listed.values(), "Or time steps on this machine: --device here.")
    return listed[_folded(name)]


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip().casefold())


def device_name(device: str) -> str:
    """The name that the maker gave to a GPU; "CPU" for any other device."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


@cache
def peak(device: str, precision: str) -> Peak:
    """The listed peak of the device at hand, or one measured once in a process if its name is not in the table."""
    found = listed_rate(device_name(device), precision)
    return Peak(*found) if found else Peak(measured_peak(device, precision), "measured matrix product")


def listed_rate(name: str, quantity: str) -> tuple[float, str] | None:
    """A rate that the maker of the device called ``name`` lists, and where the figure is from.

    The ``quantity`` is a precision (FLOP/s), "memory", "bus" or "link" (bytes/s); ``None``: the table does not have it.
    """
    rates = next((rates for device, rates in DENSE_PEAKS.items() if re.search(rf"\b{device}\b", name)), {})
    return (float(rates[quantity]) * TERA, str(rates["source"])) if quantity in rates else None


def measured_peak(device: str, precision: str, repeats: int = 5) -> float:
    """FLOP/s of the fastest of ``repeats`` square matrix products."""
    size = 8192 if device.startswith("cuda") else 1024
    matrix = torch.ones(size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    return 2 * size**3 / least_seconds(lambda: torch.mm(matrix, matrix), device, repeats)


def least_seconds(work: Callable[[], object], device: str, repeats: int = 5) -> float:
    """Seconds of the fastest of ``repeats`` calls of ``work``, each until the device is done with it."""
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return max(min(seconds), 1e-9)


def synchronize(device: str) -> None:
    """Wait until the device has done its work, so that a clock means something."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
