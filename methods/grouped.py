"""What all optimizers take: the parameters that a method trains, in groups by weight decay and by rate.

One switch for all of them says what weight decay reaches: every parameter (``decay=all``, as in the paper), or
``matrices``: no norm, bias, embedding or temperature.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

import torch
from torch import nn

import fomo
from methods.layer_rates import factors

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
SCALE = "lr_scale"
"""The key of a group's factor of the rate, as timm calls it."""
NamedParameters = Iterable[tuple[str, nn.Parameter]]
"""The parameters to be trained, each with its name in the network."""
Groups = list[dict[str, Any]]
"""Groups of parameters, as torch's optimizers take them."""


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether ``decay="matrices"`` reaches a parameter of that name: no norm, bias, embedding or temperature."""
    return parameter.ndim >= 2 and not any(part in name for part in SPARED)


def groups(
    parameters: NamedParameters,
    weight_decay: float,
    decay: str = "all",
    lr_scale: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> Groups:
    """The optimizer's groups: parameters that ``weight_decay`` reaches, and those that it spares; none is empty.

    Parameters that learn at a factor of the rate (``methods/layer_rates.py``) have groups of their own, which say it as
    ``lr_scale``.

    Args:
        parameters: what is trained, by name.
        weight_decay: strength of weight decay.
        decay: what weight decay reaches, a word in :data:`DECAYED`.
        lr_scale: factors of the rate by tower: ``image``, ``text``, ``temperature``; 1 where none is given.
        layer_decay: factor of the rate from a layer to the one below it, above 0 to 1.

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


def over_groups(make: Callable[..., torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Have what makes an optimizer of groups take what :func:`groups` does in their place.

    What is returned is called with ``make``'s own settings, from its second argument on, and with ``parameters``,
    ``weight_decay``, ``decay``, ``lr_scale`` and ``layer_decay``; its signature says so, which configurations are
    checked by.
    """
    ours, own = (list(inspect.signature(each).parameters.values()) for each in (groups, make))
    taken = sorted([ours[0], *own[1:], *ours[1:]], key=lambda each: each.default is not each.empty)
    signature = inspect.Signature(taken, return_annotation=torch.optim.Optimizer)
    of_groups = {each.name for each in ours}

    @wraps(make)
    def made(*arguments: Any, **settings: Any) -> torch.optim.Optimizer:
        given = signature.bind(*arguments, **settings).arguments
        grouped = groups(**{name: value for name, value in given.items() if name in of_groups})
        return make(grouped, **{name: value for name, value in given.items() if name not in of_groups})

    made.__signature__ = signature  # type: ignore[attr-defined]  # what inspect asks for
    return made
