"""How well a run used its device: seconds, energy, MFU and HFU.

MFU, model FLOPs utilisation (Chowdhery et al. 2022, PaLM, arXiv 2204.02311, appendix B): FLOPs that the method needs,
per second, over the device's dense peak; recomputed activations are left out. HFU, hardware FLOPs utilisation
(Korthikanti et al. 2022, arXiv 2205.05198, section 6): everything that was computed, recomputation included.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from fomo.system.devices import Peak, synchronize
from fomo.system.ranks import exchanged, own_share, world
from fomo.system.stages import Stages

RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
"""Where Linux counts the energy of an Intel CPU, in microjoules."""


def utilisation(
    computed_flops: int, model_flops: int | None, num_samples: int, seconds: float, best: Peak
) -> dict[str, Any]:
    """Rates of the training, as ``card.json`` has them.

    Args:
        computed_flops: everything that was computed, activations that were computed again included.
        model_flops: what the method needs, without recomputed activations; ``None``: not known, and no MFU.
        num_samples: samples trained on.
        seconds: time of the training, hooks included, evaluations not.
        best: the peak of the device.
    """
    return {
        "training_seconds": round(seconds, 3),
        "samples_per_second": num_samples / seconds,
        "flops_per_second": (computed_flops if model_flops is None else model_flops) / seconds,
        "mfu": None if model_flops is None else model_flops / seconds / best.flops_per_second,
        "hfu": computed_flops / seconds / best.flops_per_second,
        "peak_flops_per_second": best.flops_per_second,
        "peak_source": best.source,
    }


class Usage:
    """Seconds and joules of a run's training, and the seconds of the whole run.

    The clock of the training stands still while the model is evaluated (:meth:`paused`). A run that is resumed counts
    on from what an earlier process used (:meth:`load_state`).
    """

    def __init__(self, device: str) -> None:
        self.seconds = 0.0
        """Training until the clock was last stopped."""
        self.stages = Stages(device)
        """Where the time went."""
        self._device = device
        self._joules = 0.0
        self._tells_energy = True
        self.start_seconds = 0.0
        """From the start of this process's work to that of the training."""
        self._began = self._created = time.perf_counter()
        self._resume()

    def begin(self, seconds_before: float) -> None:
        """The start is over: what has been used until now is no training's.

        Args:
            seconds_before: What was done before this was made.
        """
        self.start_seconds = seconds_before + time.perf_counter() - self._created
        self.stages.begin()
        self._resume()

    @property
    def joules(self) -> float | None:
        """Energy of the training, ``None`` where the device does not tell."""
        return round(self._joules, 3) if self._tells_energy else None

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run, evaluations included, time between two processes not."""
        return time.perf_counter() - self._began

    def state_dict(self) -> dict[str, Any]:
        """What has been used until now, for a checkpoint."""
        self.stop()
        self._resume()
        used = {"seconds": self.seconds, "joules": exchanged(self._joules), "elapsed": self.elapsed}
        return {**used, "stages": self.stages.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Count on from what :meth:`state_dict` returned."""
        self.seconds = state["seconds"]
        self._joules = own_share(state["joules"])
        self._began = time.perf_counter() - state["elapsed"]
        self.stages.load_state_dict(state["stages"])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Neither the seconds nor the joules of the block are counted as training."""
        self.stop()
        with self.stages.during("evaluation"):
            yield
        self._resume()

    def add_other_ranks(self) -> None:
        """Once the training is over, take in what the devices of the other ranks have used, each device once."""
        device = world().rank if self._device.startswith("cuda") else socket.gethostname()
        found = {device: used for device, *used in exchanged((device, self._joules, self._tells_energy))}
        self._joules = sum(joules for joules, _ in found.values())
        self._tells_energy = all(tells for _, tells in found.values())

    def _resume(self) -> None:
        self._started = time.perf_counter()
        self._energy = self._read()

    def stop(self) -> None:
        """Add what has been used since the clock was started."""
        synchronize(self._device)
        self.seconds += time.perf_counter() - self._started
        used = self._read() - self._energy
        if used < 0:  # the counter has begun again at 0
            most = counter_range()
            self._tells_energy &= most is not None
            used += most or 0.0
        self._joules += used

    def _read(self) -> float:
        """The device's counter, in joules. Where it falls silent on the way, no figure is better than a wrong one."""
        joules = energy(self._device)
        self._tells_energy &= joules is not None
        return joules or 0.0


def energy(device: str) -> float | None:
    """Joules that the device says it has used since some moment; ``None`` where it does not tell."""
    if device.startswith("cuda"):
        return _gpu_energy(device)
    try:
        return int(RAPL.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def counter_range() -> float | None:
    """Joules at which the counter of a CPU begins again at 0; ``None`` where it does not tell."""
    try:
        return int(RAPL.with_name("max_energy_range_uj").read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _gpu_energy(device: str) -> float | None:
    try:
        pynvml: Any = import_module("pynvml")  # nvidia-ml-py; torch uses it for the same purpose
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
    except pynvml.NVMLError:
        return None
