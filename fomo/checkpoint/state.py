"""What a step changes, network, method and optimizer, as a tree to keep; and back into the same objects."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fomo.method import Method


def training_state(network: nn.Module, method: Method, optimizer: torch.optim.Optimizer | None) -> dict[str, Any]:
    """Not copied: valid until the next step."""
    return {
        "network": network.state_dict(),
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict() if optimizer else None,
    }


def load_model(network: nn.Module, method: Method, state: Mapping[str, Any]) -> None:
    """Method, then network: the method attaches adapters, so that the network's state fits."""
    method.load_state_dict(network, state["method"])
    load_network(network, state["network"])


def load_network(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The values, and the order of dimensions in memory: a folded adapter may leave a weight transposed."""
    network.load_state_dict(dict(state))
    for name, value in network.state_dict(keep_vars=True).items():
        if value.stride() != state[name].stride():
            value.data = state[name].to(value.device)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load, and undo what torch's own loading casts to the type of the parameter."""
    optimizer.load_state_dict(dict(state))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, values in state["state"].items():
        optimizer.state[parameters[number]].update(values)
