"""``card.json``: what depends on time and machine, and the hashes that the result rests on."""

import platform
import resource
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fomo.budget.ledger import Ledger
from fomo.config.schema import Config
from fomo.planning.planner import without_recomputation
from fomo.running.folder import WEIGHTS
from fomo.running.prepared import Prepared
from fomo.system.devices import peak
from fomo.system.digest import file_digest
from fomo.system.usage import Usage, utilisation


def run_card(prepared: Prepared, folder: Path, ledger: Ledger, usage: Usage) -> dict[str, Any]:
    """Its content, from the other files of a finished run."""
    device = prepared.resolved.config.runtime.device
    cuda = device.startswith("cuda")
    return {
        "schema": "fomo.card/1",
        "label": prepared.resolved.config.label,
        "config_sha256": prepared.resolved.sha256,
        **{f"stream_{key}": value for key, value in prepared.stream_hashes.items()},
        "weights_sha256": file_digest(folder / WEIGHTS),
        "ledger_sha256": file_digest(folder / "ledger.json"),
        "scores_sha256": file_digest(folder / "scores.json"),
        "weight_decay": _weight_decay(prepared.resolved.config),
        "seconds": round(usage.elapsed, 2),
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        "num_threads": torch.get_num_threads(),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        "peak_memory_allocated_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 3) if cuda else None,
        "compute": _compute(prepared, ledger, usage),
        "versions": {name: version(name) for name in ("fomo-bench", "torch", "open_clip_torch", "numpy", "pillow")},
        "python": platform.python_version(),
    }


def _weight_decay(config: Config) -> dict[str, Any]:
    """How strong it is, and what it reaches: the papers' setting and the pocket's differ."""
    return {"strength": config.optimizer.get("weight_decay"), "reaches": config.optimizer.get("decay")}


def _compute(prepared: Prepared, ledger: Ledger, usage: Usage) -> dict[str, Any] | None:
    """Rates, MFU and HFU; ``None`` for a run that trained nothing."""
    config = prepared.resolved.config
    if not ledger.charged_flops:
        return None
    model_flops = ledger.charged_flops
    if config.runtime.grad_checkpointing or config.runtime.micro_batch:
        model_flops = without_recomputation(config, prepared.model, prepared.plan, prepared.maker.pools)
    best = peak(config.runtime.device, config.runtime.precision)
    rates = utilisation(ledger.charged_flops, model_flops, sum(ledger.samples.values()), usage.seconds, best)
    return {**rates, "energy_joules": usage.joules}
