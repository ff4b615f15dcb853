"""What a card says that is known before the first step: found there, so that nothing of it can cost a finished run."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from fomo.running.prepared import Prepared
from fomo.running.tuned import tuned
from fomo.system.devices import Peak, peak
from fomo.system.ranks import world
from fomo.system.runtime import Runtime

MODULES = {
    "fomo-bench": "fomo.version",
    "torch": "torch",
    "open_clip_torch": "open_clip",
    "numpy": "numpy",
    "pillow": "PIL",
}
"""By distribution, a module that has its version too."""


@dataclass(frozen=True)
class Known:
    """Of a run that has not begun yet.

    Args:
        device: The name of the device.
        versions: By distribution; of one without metadata that of its source tree.
        peak: What MFU and HFU are taken of; ``None``: nothing is trained.
        tuning: The study that has chosen the settings, as :func:`fomo.running.tuned.tuned` has it.
    """

    device: str
    versions: Mapping[str, str]
    peak: Peak | None
    tuning: Mapping[str, Any] | None


def known(prepared: Prepared) -> Known:
    """What is known of a prepared run and of the machine."""
    runtime = prepared.resolved.config.runtime
    on_gpu = runtime.device.startswith("cuda")
    return Known(
        device=torch.cuda.get_device_name(runtime.device) if on_gpu else platform.processor() or platform.machine(),
        versions={name: version_of(name) for name in MODULES},
        peak=_peak_of_all(runtime) if any(prepared.plan.steps) else None,
        tuning=tuned(prepared.resolved),
    )


def _peak_of_all(runtime: Runtime) -> Peak:
    """What the devices of all ranks can do together."""
    one = peak(runtime.device, runtime.precision)
    return replace(one, flops_per_second=one.flops_per_second * world().size)


def version_of(name: str) -> str:
    """The version of a distribution of :data:`MODULES`, whether or not it is installed as one."""
    try:
        return version(name)
    except PackageNotFoundError:
        own = getattr(import_module(MODULES[name]), "__version__", "unknown version")
        return f"{own} (source tree)"
