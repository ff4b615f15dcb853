"""The card of a finished run: what depends on time and machine, and the hashes that the result rests on."""

import platform
import resource
from pathlib import Path
from typing import Any

import torch

from fomo.planning.planner import COUNTED_TWICE, OF_ONE_RANK
from fomo.results.card import RunCard
from fomo.results.layout import LEDGER, SAMPLES, SCORES, WEIGHTS
from fomo.results.stages import StageRates
from fomo.running.extras import extra_parameters
from fomo.running.kept import kept_sha256
from fomo.running.live import Live
from fomo.running.prepared import Prepared
from fomo.system.devices import Peak
from fomo.system.digest import file_digest
from fomo.system.ranks import world
from fomo.system.stages import Stage
from fomo.system.usage import utilisation


def run_card(prepared: Prepared, folder: Path, live: Live, computed_flops: int) -> RunCard:
    """The card of a run whose other files are written.

    Args:
        prepared: The run.
        folder: Where its files lie.
        live: Its parts.
        computed_flops: Of all ranks, what is computed twice included.
    """
    known = live.known
    config = prepared.resolved.config
    device = config.runtime.device
    cuda = device.startswith("cuda")
    optimizer = config.optimizer
    return RunCard(
        label=config.label,
        config_sha256=prepared.resolved.sha256,
        stream_sha256=prepared.stream_hashes["sha256"],
        stream_listing_sha256=prepared.stream.listing_sha256,
        stream_data_sha256=prepared.stream_hashes["data_sha256"],
        base_sha256=prepared.base_sha256,
        code=prepared.contents["code"],
        extra_parameters=extra_parameters(prepared),
        weights_sha256=file_digest(folder / WEIGHTS) if prepared.is_plain else "",
        samples_sha256=file_digest(folder / SAMPLES) if config.evaluation.keep_samples else "",
        kept_sha256=kept_sha256(folder),
        ledger_sha256=file_digest(folder / LEDGER),
        scores_sha256=file_digest(folder / SCORES),
        # How strong it is, and what it reaches: the papers' setting and the pocket's differ.
        weight_decay={"strength": optimizer.get("weight_decay"), "reaches": optimizer.get("decay")},
        tuning=known.tuning,
        seconds=round(live.usage.elapsed, 2),
        device=known.device,
        num_threads=torch.get_num_threads(),
        peak_memory_gib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        peak_memory_allocated_gib=round(torch.cuda.max_memory_allocated(device) / 2**30, 3) if cuda else None,
        compute=_compute(live, computed_flops),
        batch_sizes=live.ledger.to_file().batch_sizes,
        num_processes=world().size,
        versions=known.versions,
        python=platform.python_version(),
        caveats=live.record.scores.caveats,
        left_out=live.batches.left_out,
        num_cut_captions=live.batches.num_cut,
    )


def _compute(live: Live, computed: int) -> dict[str, Any] | None:
    """Rates, MFU and HFU, of the run and of each of its stages; ``None`` for a run that trained nothing."""
    charged = live.ledger.charged_flops
    best = live.known.peak
    if not charged or best is None:
        return None
    own = None if {COUNTED_TWICE, OF_ONE_RANK} & set(live.ledger.plan.caveats) else charged
    num_samples = sum(live.ledger.samples.values())
    rates = utilisation(computed, own, num_samples, live.usage.seconds, best)
    stages = [stage_rates(each, computed, own, best) for each in live.usage.stages.rows]
    start = {"start_seconds": round(live.usage.start_seconds, 3)}
    return {**rates, **start, "energy_joules": live.usage.joules, "stages": [each.to_json() for each in stages]}


def stage_rates(stage: Stage, computed_flops: int, model_flops: int | None, best: Peak) -> StageRates:
    """The rates of a stage; what the run has computed twice is spread over its stages by what they were charged.

    Args:
        stage: What was measured; its FLOPs are those that were charged.
        computed_flops: Of the whole run, what was computed twice included.
        model_flops: Of the whole run, without that; ``None``: not known.
        best: The peak of the device.
    """
    computed = stage.flops if model_flops is None else round(stage.flops * computed_flops / model_flops)
    own = None if model_flops is None else stage.flops
    rates = utilisation(computed, own, stage.steps * stage.batch_size, stage.training_seconds, best)
    total = sum(stage.seconds.values())
    return StageRates(
        batch_size=stage.batch_size,
        steps=stage.steps,
        tasks=tuple(stage.tasks),
        evaluation_seconds=round(stage.seconds["evaluation"], 3),
        shares={phase: seconds / total for phase, seconds in stage.seconds.items()},
        **rates,
    )
