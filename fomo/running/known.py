"""What a card says that is known before the first step: found there, so that nothing of it can cost a finished run."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch

from fomo.errors import FomoError
from fomo.planning.planner import without_recomputation
from fomo.running.prepared import Prepared
from fomo.system.devices import Peak, peak

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
        recomputes: Whether activations are computed a second time.
        model_flops: What the steps of such a run need without that; ``None``: it cannot be rehearsed.
    """

    device: str
    versions: Mapping[str, str]
    peak: Peak | None
    recomputes: bool
    model_flops: int | None


def known(prepared: Prepared) -> Known:
    """What is known of a prepared run and of the machine."""
    runtime = prepared.resolved.config.runtime
    on_gpu = runtime.device.startswith("cuda")
    recomputes = runtime.grad_checkpointing or runtime.micro_batch is not None
    return Known(
        device=torch.cuda.get_device_name(runtime.device) if on_gpu else platform.processor() or platform.machine(),
        versions={name: version_of(name) for name in MODULES},
        peak=peak(runtime.device, runtime.precision) if any(prepared.plan.steps) else None,
        recomputes=recomputes,
        model_flops=_model_flops(prepared) if recomputes else None,
    )


def version_of(name: str) -> str:
    """The version of a distribution of :data:`MODULES`, whether or not it is installed as one."""
    try:
        return version(name)
    except PackageNotFoundError:
        own = getattr(import_module(MODULES[name]), "__version__", "unknown version")
        return f"{own} (source tree)"


def _model_flops(prepared: Prepared) -> int | None:
    config = prepared.resolved.config
    pools = prepared.maker.pools
    try:
        return without_recomputation(config, prepared.model, prepared.plan, pools.update_sizes, pools.names)
    except FomoError:  # a budget in steps takes methods that no rehearsal can count
        return None
