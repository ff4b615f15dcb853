"""Weights as methods, evaluation and files see them: with adapters folded in."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fomo.budget.memory import host_memory

Weights = dict[str, Tensor]


@torch.no_grad()
def folded(network: nn.Module, copy: bool = True) -> Weights:
    """The network's state under its plain names, every parametrized tensor (an adapter) at its value.

    ``copy=False`` returns views, to be read before the network changes.
    """
    plain = {f"{prefix}.{name}".lstrip("."): getattr(module, name) for prefix, module, name in _plain(network)}
    return {name: value.detach().clone() if copy else value.detach() for name, value in plain.items()}


def plain_names(network: nn.Module) -> set[str]:
    """The names that :func:`folded` gives, with nothing computed."""
    return {f"{prefix}.{name}".lstrip(".") for prefix, _, name in _plain(network)}


def _plain(network: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Every tensor of a network's plain state: its module's name, the module, its name there."""
    for prefix, module in network.named_modules():
        if isinstance(module, parametrize.ParametrizationList) or ".parametrizations" in f".{prefix}":
            continue
        names = [name for name, value in module._parameters.items() if value is not None]
        names += [
            name
            for name, value in module._buffers.items()
            if value is not None and name not in module._non_persistent_buffers_set
        ]
        names += list(module.parametrizations) if parametrize.is_parametrized(module) else []
        yield from ((prefix, module, name) for name in names)


def on_host(network: nn.Module) -> Weights:
    """A copy of the folded state in the host's memory, where it takes nothing of the device's."""
    with host_memory():
        return {name: value.to("cpu", copy=True) for name, value in folded(network, copy=False).items()}


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


@contextmanager
def swapped(network: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """While open, the network holds plain ``weights`` without adapters; then the very parameters from before are back.

    Nothing is copied: modules point at other tensors meanwhile.
    """
    modules = list(network.modules())
    before = [(m.__class__, m._parameters.copy(), m._buffers.copy(), m._modules.copy()) for m in modules]
    try:
        for module in modules:
            _take_off(module)
        network.load_state_dict(dict(weights), strict=True, assign=True)
        yield
    finally:
        for module, (kind, parameters, buffers, children) in zip(modules, before, strict=True):
            module.__class__ = kind
            module._parameters = parameters
            module._buffers = buffers
            module._modules = children


def _take_off(module: nn.Module) -> None:
    """Make a parametrized module a plain one whose weights are yet to be assigned."""
    if not parametrize.is_parametrized(module):
        return
    adapted = cast(nn.ModuleDict, module._modules.pop("parametrizations"))
    module.__class__ = parametrize.type_before_parametrizations(module)
    for name, adapter in adapted.items():
        module.register_parameter(name, nn.Parameter(cast(Tensor, adapter.original).detach()))


def state_sha256(network: nn.Module) -> str:
    """SHA-256 of a network's folded state: names, types, shapes and values of all its tensors."""
    digest = hashlib.sha256()
    for name, value in sorted(folded(network, copy=False).items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
