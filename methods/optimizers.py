"""Optimizers over the parameters that a method trains, made afresh at each task."""

from collections.abc import Iterable

import torch
from torch import nn

import fomo

DECAYED = ("all", "matrices")
NamedParameters = Iterable[tuple[str, nn.Parameter]]


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether ``decay="matrices"`` reaches a parameter: no norm, bias, embedding or temperature."""
    return parameter.ndim >= 2 and "embedding" not in name


def adamw(
    parameters: NamedParameters,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: str = "all",
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), fused; ``decay`` says what weight decay reaches."""
    if decay not in DECAYED:
        raise fomo.unknown("value of optimizer.decay", decay, DECAYED)
    if weight_decay < 0:  # torch checks it for the whole optimizer, not for groups
        raise fomo.FomoError(f"optimizer.weight_decay={weight_decay}: allowed are 0 and above.")
    named = list(parameters)
    decayed = [p for name, p in named if decay == "all" or decays(name, p)]
    others = [p for name, p in named if decay != "all" and not decays(name, p)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)
