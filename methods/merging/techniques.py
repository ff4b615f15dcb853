"""Merging techniques: pure functions of two sets of weights.

Rule for what is no matrix: floating tensors (BatchNorm statistics and the temperature too) are merged like any
other; integer buffers (counters) are the new model's.
"""

import torch
from torch import Tensor

from fomo.weights import Weights


@torch.no_grad()
def interpolate(old: Weights, new: Weights, weight: float = 0.5) -> Weights:
    """``weight · old + (1 − weight) · new``; ``weight`` is the share of the OLD model. Written into ``old``."""
    for name, value in new.items():
        old[name] = _between(old[name], value, weight)
    return old


def _between(old: Tensor, new: Tensor, weight: float) -> Tensor:
    if not new.is_floating_point():
        return new
    return old.mul_(weight).add_(new, alpha=1 - weight)
