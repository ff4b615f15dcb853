"""Weights as methods, evaluation and files see them: with adapters folded in."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Weights = dict[str, Tensor]


@torch.no_grad()
def folded(network: nn.Module) -> Weights:
    """A copy of the network's state under its plain names, every parametrized tensor (an adapter) at its value."""
    weights: Weights = {}
    for prefix, module in network.named_modules():
        if isinstance(module, parametrize.ParametrizationList) or ".parametrizations" in f".{prefix}":
            continue
        own = {**module._parameters, **_persistent(module)}
        if parametrize.is_parametrized(module):
            own |= {name: getattr(module, name) for name in module.parametrizations}
        dot = f"{prefix}." if prefix else ""
        weights |= {dot + name: value.detach().clone() for name, value in own.items() if value is not None}
    return weights


def _persistent(module: nn.Module) -> dict[str, Tensor | None]:
    return {k: v for k, v in module._buffers.items() if k not in module._non_persistent_buffers_set}


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Fold every adapter into its weight and take it off."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            for name in list(cast(nn.ModuleDict, module.parametrizations)):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


@torch.no_grad()
def load(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set the network to plain ``weights``; adapters are taken off first and start anew."""
    fold(network)
    network.load_state_dict(dict(weights), strict=True)
