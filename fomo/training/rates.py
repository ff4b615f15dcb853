"""What an optimizer is told before a step: the rate of each group, and the pools of the batch.

What the schedule gives is multiplied, in each group, by what the group was made with.
"""

import math
from collections.abc import Sequence

import torch

from fomo.errors import FomoError

SCALE = "lr_scale"
"""The key of a group's factor, as timm calls it; a checkpoint keeps it with the group."""


def with_scales(optimizer: torch.optim.Optimizer, rate: float) -> torch.optim.Optimizer:
    """Note in every group the factor of its rate: its ``lr`` over ``rate``, times its ``lr_scale`` where it has one.

    It is exactly 1 for a group that was made with ``rate``.

    Raises:
        FomoError: a group's rate or factor is negative or not finite.
    """
    for number, group in enumerate(optimizer.param_groups):
        made_with = {key: float(group.get(key, default)) for key, default in (("lr", rate), (SCALE, 1.0))}
        scale = made_with["lr"] / rate * made_with[SCALE]
        if not (0 <= scale < math.inf and made_with["lr"] >= 0):
            given = ", ".join(f"{key}={value}" for key, value in made_with.items())
            raise FomoError(
                f"optimizer: group {number} of {type(optimizer).__name__} is made with {given}: allowed are finite "
                "numbers from 0."
            )
        group[SCALE] = scale
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every group: ``rate`` times the group's factor. The peak times 1 is the peak, bit for bit."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(SCALE, 1.0)


def tell_pools(optimizer: torch.optim.Optimizer, counts: Sequence[int], shares: Sequence[float]) -> None:
    """Tell an optimizer that asks for it, by a method ``see(counts, shares)``, which pools the next step is of.

    Args:
        optimizer: the task's.
        counts: rows of P, D and B in the batch, of all processes together.
        shares: of the samples of the task's batches, those of P, D and B.
    """
    if hasattr(optimizer, "see"):
        optimizer.see(counts, shares)
