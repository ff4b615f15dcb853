"""Optimizers over the parameters that a method trains, made afresh at each task.

Each takes groups here; :func:`methods.grouped.over_groups` has it called with named parameters, and with the settings
of weight decay and of rates by layer that all optimizers have.
"""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import timm.optim
import torch

import fomo
from methods.galore import GaLore, is_projected
from methods.grouped import Groups, check_moments, over_groups
from methods.mt_adamw import MTAdamW

WAYS_OUT = {
    **dict.fromkeys(
        ("layer_decay", "layer_decay_min_scale", "layer_decay_no_opt_scale", "param_group_fn"),
        "timm reads it from a model alone, and an optimizer gets parameters here. Rates by layer are "
        "optimizer.layer_decay, rates by tower optimizer.lr_scale",
    ),
    **dict.fromkeys(
        ("filter_bias_and_bn", "weight_decay_exclude_1d", "no_weight_decay", "no_weight_decay_list"),
        "what weight decay reaches is optimizer.decay, here as with every optimizer",
    ),
    **dict.fromkeys(
        ("fallback_list", "fallback_no_weight_decay"),
        "timm reads it from a model alone, and an optimizer gets parameters here. Give optimizer._target_ a function "
        "of yours that returns groups, with `use_fallback` where the fallback is to act",
    ),
    **dict.fromkeys(("lr", "weight_decay"), "it is a setting of every optimizer. Set optimizer.KEY itself"),
    "opt": "the optimizer's name is optimizer.name",
}
"""Why an option that timm's own factory knows is none of an optimizer's, and what to do instead."""


@over_groups
def adamw(
    grouped: Groups,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) in torch's fused implementation.

    Args:
        grouped: groups of what is trained.
        lr: learning rate η.
        betas: decay of the first and of the second moment, 0 to below 1.
        eps: ε, added to the root of the second moment.
    """
    check_moments(betas, eps)
    return torch.optim.AdamW(grouped, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


@over_groups
def galore(
    grouped: Groups,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    rank: int = 8,
    update_proj_gap: int = 200,
    scale: float = 2.0,
) -> torch.optim.Optimizer:
    """Adam in low-rank subspaces of the gradient: GaLore (``methods/galore.py``).

    Args:
        grouped: groups of what is trained.
        lr: learning rate η.
        betas: decay of the first and of the second moment, 0 to below 1.
        eps: ε, added to the root of the second moment.
        rank: r, dimensions of a matrix's subspace.
        update_proj_gap: steps from one singular value decomposition of the gradient to the next.
        scale: α, factor of the steps that are made in a subspace.

    Raises:
        FomoError: a setting out of range, or no matrix whose smaller side is above the rank: it would be AdamW.
    """
    check_moments(betas, eps)
    for key, value in (("rank", rank), ("update_proj_gap", update_proj_gap)):
        if not isinstance(value, int) or value < 1:
            raise fomo.FomoError(f"optimizer.{key}={value}: allowed are integers from 1.")
    if not 0 < scale < math.inf:
        raise fomo.FomoError(f"optimizer.scale={scale}: allowed are finite numbers above 0.")
    if not any(is_projected(parameter, rank) for group in grouped for parameter in group["params"]):
        raise fomo.FomoError(
            f"optimizer.rank={rank}: of what is trained, no matrix has a smaller side above {rank}, so that nothing "
            f"would be projected. Lower it, train whole matrices (trainable=full), or take optimizer=adamw."
        )
    return GaLore(
        grouped,
        lr=lr,
        betas=(betas[0], betas[1]),
        eps=eps,
        rank=rank,
        update_proj_gap=update_proj_gap,
        scale=scale,
    )


@over_groups
def mt_adamw(
    grouped: Groups,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weights: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """AdamW on normalised gradients of one pool a step, balanced over the pools: MT-AdamW (``methods/mt_adamw.py``).

    Args:
        grouped: groups of what is trained.
        lr: learning rate η.
        betas: decay of the first and of the second moment, 0 to below 1.
        eps: ε, added to the root of the second moment.
        weights: ω of each pool: ``pretraining``, ``update``, ``buffer``; 1 where none is given.
    """
    check_moments(betas, eps)
    return MTAdamW(grouped, lr=lr, betas=(betas[0], betas[1]), eps=eps, weights=weights)


@over_groups
def from_timm(grouped: Groups, name: str, lr: float, options: Mapping[str, Any] | None = None) -> torch.optim.Optimizer:
    """The optimizer that ``timm.optim`` has under ``name``, as :func:`made_by_timm` makes it."""
    return made_by_timm(grouped, name, lr, options)


def made_by_timm(
    grouped: Groups, name: str, lr: float, options: Mapping[str, Any] | None = None
) -> torch.optim.Optimizer:
    """The optimizer that ``timm.optim`` has under ``name``.

    Args:
        grouped: groups of what is trained, with the strength of weight decay as the optimizer applies it.
        name: its name in ``timm.optim``.
        lr: learning rate η.
        options: settings of the optimizer's own, such as ``momentum``.

    Raises:
        FomoError: an unknown name or option, an optimizer that needs second derivatives or a package that is not there.
    """
    known = timm.optim.list_optimizers()
    if name not in known:
        raise fomo.unknown("value of optimizer.name", name, known)
    options = dict(options or {})
    if timm.optim.get_optimizer_info(name).second_order:
        raise fomo.FomoError(f"optimizer.name={name}: it needs second derivatives, which the loop does not give.")
    try:
        _check_options(name, options)
        return timm.optim.create_optimizer_v2(grouped, opt=name, lr=lr, filter_bias_and_bn=False, **options)
    except (AssertionError, ImportError, TypeError, ValueError) as error:
        raise fomo.FomoError(f"optimizer.name={name}, optimizer.options={options}: {error}.") from error


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that timm would drop, or that its factory acts on only where it is given a whole model."""
    about = timm.optim.get_optimizer_info(name)
    taken = list(inspect.signature(timm.optim.get_optimizer_class(name, bind_defaults=False)).parameters)[1:]
    dropped = {"eps": about.has_eps, "betas": about.has_betas, "momentum": about.has_momentum}
    allowed = [key for key in taken if key not in ("lr", "weight_decay") and dropped.get(key, True)]
    for key, value in options.items():
        if key in WAYS_OUT and key not in allowed:
            raise fomo.FomoError(f"optimizer.options.{key}={value}: {WAYS_OUT[key].replace('KEY', key)}.")
        if key in dropped and key not in allowed:
            raise fomo.FomoError(f"optimizer.options.{key}={value}: {name} has no {key}. Leave it out.")
        if key not in allowed:
            raise fomo.unknown(f"option optimizer.options of {name}", key, allowed)
