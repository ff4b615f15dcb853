"""MKOR: gradients preconditioned by both Kronecker factors, kept as inverses (Mozaffari et al. 2023, arXiv 2306.01685).

For the weight W [m, n] of a linear layer, every ``update_every`` steps, with ā the mean of the layer's inputs over rows
and tokens and ḡ [m] that of the gradients at its outputs:

    if max|L⁻¹| > ε: L⁻¹ ← ζL⁻¹ + (1 − ζ)I,  L⁻¹ ← (γL + (1 − γ)·ḡḡᵀ)⁻¹  by rank one, and R⁻¹ [n, n] alike with ā;

in every step ∇W ← L⁻¹·∇W·R⁻¹ · ‖∇W‖/‖L⁻¹·∇W·R⁻¹‖, which a first-order optimizer then takes.

``update=exact`` is that inverse (Sherman and Morrison 1950); ``update=printed`` is what the paper prints, which has a
plus where the inverse has a minus, and is the inverse of nothing: it lengthens steps along ḡ.

MKOR-H, the paper's hybrid, goes back to the first-order optimizer where the loss falls too slowly, with no threshold
printed. Here: a moving average of the loss is compared every ``window`` steps of a task; where it has fallen by less
than the share ``min_fall``, gradients are left as they are for the rest of the task. FLOPs stay charged, since they are
planned before anybody knows.

Differs besides: ḡ is the gradient of the layer's bias, so a sum over rows (the released code multiplies the mean by the
number of rows too), of the gradient as the optimizer gets it, clipped; layers without a trained bias, convolutions and
attention's packed projections take plain steps; biases are not preconditioned; nothing is kept in half precision.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

import fomo
from methods.grouped import Groups, over_groups
from methods.mkor.inverses import UPDATES
from methods.mkor.optimizer import MKOR
from methods.optimizers import made_by_timm

__all__ = ["MKOR", "mkor"]


@over_groups
def mkor(
    grouped: Groups,
    lr: float,
    name: str = "adamw",
    options: Mapping[str, Any] | None = None,
    update_every: int = 10,
    factor_decay: float = 0.9,
    keep: float = 0.95,
    bound: float = 2.0,
    update: str = "exact",
    min_fall: float | None = None,
    window: int = 50,
) -> torch.optim.Optimizer:
    """MKOR before a first-order optimizer of ``timm.optim``.

    Args:
        grouped: groups of what is trained.
        lr: learning rate η.
        name: the first-order optimizer's name in ``timm.optim``.
        options: settings of that optimizer's own.
        update_every: steps from one update of the inverses to the next.
        factor_decay: γ, above 0 to below 1: the share of a factor that an update keeps.
        keep: ζ, 0 to 1: the share of an inverse that stays where an entry is above ``bound``.
        bound: ε.
        update: ``exact`` or ``printed``.
        min_fall: the hybrid's threshold; ``None``: no switch.
        window: steps over which the loss has to fall by that share.

    Raises:
        FomoError: a setting out of range, or one that the first-order optimizer refuses.
    """
    if update not in UPDATES:
        raise fomo.unknown("value of optimizer.update", update, UPDATES)
    for key, value in (("update_every", update_every), ("window", window)):
        _check(isinstance(value, int) and not isinstance(value, bool) and value >= 1, key, value, "integers from 1")
    _check(0 < factor_decay < 1, "factor_decay", factor_decay, "numbers above 0 and below 1")
    _check(0 <= keep <= 1, "keep", keep, "numbers from 0 to 1")
    _check(1 <= bound < math.inf, "bound", bound, "finite numbers from 1, the entries of the first inverse")
    _check(min_fall is None or 0 <= min_fall < 1, "min_fall", min_fall, "null, and numbers from 0 to below 1")
    base = made_by_timm(grouped, name, lr, options)
    return MKOR(base, update_every, factor_decay, keep, bound, update, min_fall, window)


def _check(is_allowed: bool, key: str, value: object, allowed: str) -> None:
    if not is_allowed:
        raise fomo.FomoError(f"optimizer.{key}={value}: allowed are {allowed}.")
