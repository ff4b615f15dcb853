"""Whether a network computes what its weights alone would, in a model that nobody has touched."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fomo.errors import FomoError
from fomo.model import weights

TOLERANCE = 1e-3
"""Distance of unit features up to which two networks are one. Folding rounds an adapter's sum once more, and other
kernels may be chosen: in fp32 that moves features by 1e-6 to 1e-5. What moves a score moves them by 1e-2 and more."""
NUDGE = 0.1
"""By which share of itself a weight is moved where all weights are those that the run began with."""


class Probe(NamedTuple):
    """What networks are compared on: normalised images [n, 3, h, w] and tokens [m, l], on their device."""

    images: Tensor
    tokens: Tensor


def blank(network: nn.Module) -> nn.Module:
    """The modules of a network that nobody has touched, copied without its weights: they take no memory."""
    without = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, without)


@torch.no_grad()
def outputs(network: Any, probe: Probe) -> Tensor:
    """Unit features of images and texts, in the precision of the weights: [n + m, d]."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        images = network.encode_image(probe.images, normalize=True)
        return torch.cat([images, network.encode_text(probe.tokens, normalize=True)]).float()
    finally:
        for module, training in modes:
            module.training = training


def outputs_of(state: Mapping[str, Tensor], untouched: nn.Module, probe: Probe) -> Tensor:
    """What a fresh network (:func:`blank`) computes with plain weights.

    Raises:
        FomoError: the weights are not those of such a network.
    """
    fresh = copy.deepcopy(untouched)
    device = probe.images.device
    try:
        fresh.load_state_dict({name: value.to(device) for name, value in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        reasons = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise FomoError(f"its weights do not fit a fresh model: {reasons}") from None
    return outputs(fresh, probe)


def difference(network: nn.Module, untouched: nn.Module, probe: Probe) -> str:
    """In what a network is not the model of its stored weights; empty if it is."""
    here = outputs(network, probe)
    try:
        return unlike(here, outputs_of(weights.folded(network, copy=False), untouched, probe))
    except FomoError as error:
        return str(error)


def unlike(one: Tensor, other: Tensor) -> str:
    """How far features are from one another, where they are too far; what is not finite is left to the evaluation."""
    if not one.isfinite().all():
        return ""
    distance = float((one - other).norm(dim=-1).max())
    return "" if distance <= TOLERANCE else f"its features differ by up to {distance:.2g}, allowed are {TOLERANCE:g}"


@contextmanager
@torch.no_grad()
def nudged(network: nn.Module) -> Iterator[None]:
    """While open, every parameter is another, so that the base model beside the network shows; then all are back."""
    before = {parameter: parameter.clone() for parameter in network.parameters() if parameter.is_floating_point()}
    try:
        for parameter in before:
            wave = torch.arange(parameter.numel(), device=parameter.device).sin().view_as(parameter)
            parameter.mul_(1 + NUDGE * wave)
        yield
    finally:
        for parameter, value in before.items():
            parameter.copy_(value)
