"""Optimizers over the parameters that a method trains, made afresh at each task.

One switch for all of them says what weight decay reaches: every parameter (``decay=all``, as in the paper), or
``matrices``: no norm, bias, embedding or temperature.
"""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import timm.optim
import torch
from torch import nn

import fomo
from methods.galore import GaLore, is_projected
from methods.layer_rates import factors
from methods.mt_adamw import MTAdamW

DECAYED = ("all", "matrices")
SPARED = (
    "embedding",
    "pos_embed",
    "_token",
    "embed_tokens",
    "shared.",
    ".latent",
    "position_bias",
    "attention_bias",
    "gamma",
)
"""Parts of names of tables, tokens and layer scales that open_clip's, timm's and Hugging Face's towers keep in two or
more dimensions."""
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
SCALE = "lr_scale"
"""The key of a group's factor of the rate, as timm calls it."""
NamedParameters = Iterable[tuple[str, nn.Parameter]]
"""The parameters to be trained, each with its name in the network."""


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether ``decay="matrices"`` reaches a parameter of that name: no norm, bias, embedding or temperature."""
    return parameter.ndim >= 2 and not any(part in name for part in SPARED)


def groups(
    parameters: NamedParameters,
    weight_decay: float,
    decay: str,
    lr_scale: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """The optimizer's groups: parameters that ``weight_decay`` reaches, and those that it spares; none is empty.

    Parameters that learn at a factor of the rate (``methods/layer_rates.py``) have groups of their own, which say it as
    ``lr_scale``.

    Args:
        parameters: what is trained, by name.
        weight_decay: strength of weight decay.
        decay: what weight decay reaches, a word in :data:`DECAYED`.
        lr_scale: factors of the rate by tower.
        layer_decay: factor of the rate from a layer to the one below it.

    Raises:
        FomoError: ``decay`` is not in :data:`DECAYED`, or ``weight_decay`` is negative or not finite.
    """
    if decay not in DECAYED:
        raise fomo.unknown("value of optimizer.decay", decay, DECAYED)
    if not 0 <= weight_decay < math.inf:  # torch checks it for the whole optimizer, not for groups
        raise fomo.FomoError(f"optimizer.weight_decay={weight_decay}: allowed are finite numbers from 0.")
    named = dict(parameters)
    scales = factors(named, lr_scale, layer_decay)
    kinds = {name: (decay != "all" and not decays(name, p), scales[name]) for name, p in named.items()}
    found = []
    for spared, scale in sorted(dict.fromkeys(kinds.values()), key=lambda kind: kind[0]):
        members = [p for name, p in named.items() if kinds[name] == (spared, scale)]
        own_scale = {} if scale == 1 else {SCALE: scale}
        found.append({"params": members, "weight_decay": 0.0 if spared else weight_decay, **own_scale})
    return found


def check_moments(betas: object, eps: float) -> None:
    """Refuse ``betas`` that are not two numbers from 0 to below 1, and an ``eps`` that is negative or not finite."""
    numbers = list(betas) if isinstance(betas, (list, tuple)) else []
    if len(numbers) != 2 or not all(isinstance(each, (int, float)) and 0 <= each < 1 for each in numbers):
        raise fomo.FomoError(f"optimizer.betas={betas}: give two numbers from 0 to below 1, as in [0.9,0.999].")
    if not 0 <= eps < math.inf:
        raise fomo.FomoError(f"optimizer.eps={eps}: allowed are finite numbers from 0.")


def adamw(
    parameters: NamedParameters,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: str = "all",
    lr_scale: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) in torch's fused implementation.

    Args:
        parameters: what is trained, by name.
        lr: learning rate η.
        weight_decay: decoupled decay λ: each step multiplies by 1 − η·λ.
        betas: decay of the first and of the second moment, 0 to below 1.
        eps: ε, added to the root of the second moment.
        decay: what weight decay reaches, a word in :data:`DECAYED`.
        lr_scale: factors of the rate by tower: ``image``, ``text``, ``temperature``; 1 where none is given.
        layer_decay: factor of the rate from a layer to the one below it, above 0 to 1.
    """
    check_moments(betas, eps)
    grouped = groups(parameters, weight_decay, decay, lr_scale, layer_decay)
    return torch.optim.AdamW(grouped, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def galore(
    parameters: NamedParameters,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: str = "all",
    rank: int = 8,
    update_proj_gap: int = 200,
    scale: float = 2.0,
    lr_scale: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Adam in low-rank subspaces of the gradient: GaLore (``methods/galore.py``).

    Args:
        parameters: what is trained, by name.
        lr: learning rate η.
        weight_decay: decoupled decay λ: each step multiplies by 1 − η·λ.
        betas: decay of the first and of the second moment, 0 to below 1.
        eps: ε, added to the root of the second moment.
        decay: what weight decay reaches, a word in :data:`DECAYED`.
        rank: r, dimensions of a matrix's subspace.
        update_proj_gap: steps from one singular value decomposition of the gradient to the next.
        scale: α, factor of the steps that are made in a subspace.
        lr_scale: factors of the rate by tower: ``image``, ``text``, ``temperature``; 1 where none is given.
        layer_decay: factor of the rate from a layer to the one below it, above 0 to 1.

    Raises:
        FomoError: a setting out of range, or no matrix whose smaller side is above the rank: it would be AdamW.
    """
    check_moments(betas, eps)
    parameters = list(parameters)
    for key, value in (("rank", rank), ("update_proj_gap", update_proj_gap)):
        if not isinstance(value, int) or value < 1:
            raise fomo.FomoError(f"optimizer.{key}={value}: allowed are integers from 1.")
    if not 0 < scale < math.inf:
        raise fomo.FomoError(f"optimizer.scale={scale}: allowed are finite numbers above 0.")
    if not any(is_projected(parameter, rank) for _, parameter in parameters):
        raise fomo.FomoError(
            f"optimizer.rank={rank}: of what is trained, no matrix has a smaller side above {rank}, so that nothing "
            f"would be projected. Lower it, train whole matrices (trainable=full), or take optimizer=adamw."
        )
    decayed = groups(parameters, weight_decay, decay, lr_scale, layer_decay)
    return GaLore(
        decayed,
        lr=lr,
        betas=(betas[0], betas[1]),
        eps=eps,
        rank=rank,
        update_proj_gap=update_proj_gap,
        scale=scale,
    )


def mt_adamw(
    parameters: NamedParameters,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: str = "all",
    weights: Mapping[str, float] | None = None,
    lr_scale: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """AdamW on normalised gradients of one pool a step, balanced over the pools: MT-AdamW (``methods/mt_adamw.py``).

    Args:
        parameters: what is trained, by name.
        lr: learning rate η.
        weight_decay: decoupled decay λ: each step multiplies by 1 − η·λ.
        betas: decay of the first and of the second moment, 0 to below 1.
        eps: ε, added to the root of the second moment.
        decay: what weight decay reaches, a word in :data:`DECAYED`.
        weights: ω of each pool: ``pretraining``, ``update``, ``buffer``; 1 where none is given.
        lr_scale: factors of the rate by tower: ``image``, ``text``, ``temperature``; 1 where none is given.
        layer_decay: factor of the rate from a layer to the one below it, above 0 to 1.
    """
    check_moments(betas, eps)
    grouped = groups(parameters, weight_decay, decay, lr_scale, layer_decay)
    return MTAdamW(grouped, lr=lr, betas=(betas[0], betas[1]), eps=eps, weights=weights)


def from_timm(
    parameters: NamedParameters,
    name: str,
    lr: float,
    weight_decay: float,
    decay: str = "all",
    options: Mapping[str, Any] | None = None,
    lr_scale: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """The optimizer that ``timm.optim`` has under ``name``.

    Args:
        parameters: what is trained, by name.
        name: its name in ``timm.optim``.
        lr: learning rate η.
        weight_decay: strength of weight decay, as the optimizer applies it.
        decay: what weight decay reaches, a word in :data:`DECAYED`.
        options: settings of the optimizer's own, such as ``momentum``.
        lr_scale: factors of the rate by tower: ``image``, ``text``, ``temperature``; 1 where none is given.
        layer_decay: factor of the rate from a layer to the one below it, above 0 to 1.

    Raises:
        FomoError: an unknown name or option, an optimizer that needs second derivatives or a package that is not there.
    """
    known = timm.optim.list_optimizers()
    if name not in known:
        raise fomo.unknown("value of optimizer.name", name, known)
    about = timm.optim.get_optimizer_info(name)
    options = dict(options or {})
    if about.second_order:
        raise fomo.FomoError(f"optimizer.name={name}: it needs second derivatives, which the loop does not give.")
    decayed = groups(parameters, weight_decay, decay, lr_scale, layer_decay)
    try:
        _check_options(name, options)
        return timm.optim.create_optimizer_v2(decayed, opt=name, lr=lr, filter_bias_and_bn=False, **options)
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
