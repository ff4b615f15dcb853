"""What the published study takes: 63 datasets, 20 tasks, every method once (Roth et al. 2024, arXiv 2408.14471).

That is a run of each of the twenty presets with ``model=ViT-B-16 batch_size=512 budget=mafs num_tasks=20``, one seed,
each evaluated on all test images before the first task and after every task. The FLOPs are those that `fomo budget`
counts; one run is on one device, as many run at a time as there are devices.
"""

from typing import Any

from fomo.planning.scale import HOUR, Rate, Scored

TASKS = 20
DATASETS = 63
SCORED = Scored(num_images=767_481, num_texts=23_045, image_flops=35_126_906_880, text_flops=5_959_540_736)
"""Test images, and classes with a prompt each, of FoMo-in-Flux (streams/catalogue/datasets.yaml); of ViT-B/16."""
TRAINING = {
    "frozen": 0,
    "finetune": 1799,
    "locked_text": 2236,
    "locked_image": 7847,
    "lnfit": 2714,
    "bitfit": 2714,
    "lora": 1997,
    "dora": 1984,
    "vera": 1998,
    "ewc": 1710,
    "si": 1682,
    "l2": 1750,
    "lwf": 1714,
    "zscl": 1706,
    "galore": 1847,
    "ema_merge": 1799,
    "zs_merge": 1799,
    "ft_merge": 1799,
    "offline_merge": 1799,
    "lora_ema": 1997,
}
"""By method: PFLOPs (10¹⁵) that the steps and hooks of a run are charged."""


def published(devices: int, rate: Rate) -> dict[str, Any]:
    """Hours of the whole study, of its training, and of its longest run; plain values."""
    evaluation = SCORED.flops(TASKS) / rate.flops_per_second / HOUR
    training = [1e15 * each / rate.flops_per_second / HOUR for each in TRAINING.values()]
    longest = max(training) + evaluation
    total = sum(training) + len(training) * evaluation
    return {
        "runs": len(TRAINING),
        "methods": list(TRAINING),
        "datasets": DATASETS,
        "tasks": TASKS,
        "seeds": 1,
        "device_hours": total,
        "evaluation_device_hours": len(training) * evaluation,
        "longest_run_hours": longest,
        "hours": max(total / devices, longest),
    }
