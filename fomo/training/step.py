"""One optimizer step: encode, loss, backward, clip, update. The same code runs in the rehearsal that plans it."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fomo import rng
from fomo.batch import Batch, Features
from fomo.budget.flops import Meter, unmetered
from fomo.training.methods import Methods
from fomo.training.micro_batches import MicroBatches, with_scale

MakeOptimizer = Callable[[list[tuple[str, nn.Parameter]]], torch.optim.Optimizer]


class StepResult(NamedTuple):
    """Loss and gradient norm of a step, before clipping; ``applied``: both are finite, so the optimizer has moved."""

    loss: float
    norm: float
    applied: bool


def fetched(loss: Tensor, norm: Tensor) -> tuple[float, float]:
    """Loss and norm on the host, in one transfer."""
    loss_value, norm_value = torch.stack([loss.detach().float(), norm.detach().float()]).tolist()
    return loss_value, norm_value


@dataclass(frozen=True)
class Learner:
    """What takes the steps: the same code in a run and in the rehearsal that plans the run.

    Args:
        network: The model that is trained.
        methods: The parts whose hooks are called.
        make_optimizer: Makes a fresh optimizer over named parameters.
        max_grad_norm: The gradient is scaled down to this norm.
        max_logit_scale: exp(logit_scale) is kept at this at most; ``None`` leaves it free, as the reference does.
        autocast: Opens the precision that the forward pass is computed in.
        micro_batch: Rows that are encoded at once; ``None``: the whole batch.
        fetch: Reads loss and norm; on fake tensors, which have no values, something else has to stand in.
    """

    network: nn.Module
    methods: Methods
    make_optimizer: MakeOptimizer
    max_grad_norm: float
    max_logit_scale: float | None
    autocast: Callable[[], AbstractContextManager[None]]
    micro_batch: int | None = None
    fetch: Callable[[Tensor, Tensor], tuple[float, float]] = fetched

    def optimizer(self, meter: Meter = unmetered) -> torch.optim.Optimizer | None:
        """A fresh optimizer over what the method trains; ``None`` if that is nothing."""
        named = [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]
        with meter("optimizer"):
            return self.make_optimizer(named) if named else None

    def step(self, optimizer: torch.optim.Optimizer, batch: Batch, meter: Meter = unmetered) -> StepResult:
        """Take a step. One whose loss or gradient norm is not finite changes neither weights nor optimizer."""
        network = self.network
        with meter("optimizer"):
            optimizer.zero_grad()
        loss = self._gradients(batch, meter)
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        loss_value, norm_value = self.fetch(loss, nn.utils.clip_grad_norm_(trained, self.max_grad_norm))
        applied = math.isfinite(loss_value) and math.isfinite(norm_value)
        if applied:
            self.methods.each("after_backward", network, meter=meter)
            with meter("optimizer"):
                optimizer.step()
            clamp_temperature(network, self.max_logit_scale)
            self.methods.each("after_step", network, meter=meter)
        return StepResult(loss_value, norm_value, applied)

    def _gradients(self, batch: Batch, meter: Meter) -> Tensor:
        """The loss of a batch; its gradients are then at the parameters."""
        network = self.network
        small = self._micro_batches(batch)
        before = small.features(network, batch, meter) if small else None
        with parametrize.cached():
            with self.autocast():
                with meter("forward"):
                    compute_parametrizations(network)
                    features = with_scale(network, before) if before else encode(network, batch)
                    loss = symmetric_loss(features)
                loss = self.methods.loss(network, replace(batch, features=features), loss, meter)
            with meter("backward"):
                loss.backward()
        if small:
            small.backward(network, batch, features, meter)
        return loss

    def _micro_batches(self, batch: Batch) -> MicroBatches | None:
        """How to encode a batch that is larger than ``micro_batch``."""
        if self.micro_batch is None or len(batch.images) <= self.micro_batch:
            return None
        return MicroBatches(self.micro_batch, encode_computed, self.autocast)


def seed_layers(*keys: rng.Key) -> None:
    """Dropout and stochastic depth draw from torch's own generator: each step and hook has a stream of its own."""
    torch.manual_seed(rng.fold("layers", *keys) % 2**63)


def compute_parametrizations(network: nn.Module) -> None:
    """Fill the cache before the layers do: a checkpointed layer must find the same in its second computation."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:  # type: ignore[union-attr]
                getattr(module, name)


def encode(network: nn.Module, batch: Batch) -> Features:
    """The unit features of a batch's images and texts, with gradient, and exp(logit_scale).

    They are taken in the precision and mode that the network is in.
    """
    return Features(*network(batch.images, batch.tokens)[:3])


def encode_computed(network: nn.Module, batch: Batch) -> Features:
    """Both towers on a batch, after the adapted weights are computed."""
    compute_parametrizations(network)
    return encode(network, batch)


def contrastive(network: nn.Module, batch: Batch) -> Tensor:
    """The contrastive loss of a batch, a tensor without dimensions: CLIP's (Radford et al. 2021, arXiv 2103.00020).

    It is the mean of two cross-entropies over the batch: of each image to all texts, and of each text to all images.
    """
    return symmetric_loss(encode(network, batch))


def symmetric_loss(features: Features) -> Tensor:
    """The contrastive loss from unit features: cross-entropy of image to text and of text to image, halved.

    The two directions share one product of features, as in the published FLOPs.
    """
    logits = features.scale * features.images @ features.texts.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


@torch.no_grad()
def clamp_temperature(network: nn.Module, largest: float | None) -> None:
    """Keep exp(logit_scale) at ``largest`` at most; ``None`` leaves it free, as the reference does."""
    if largest is not None:
        network.get_parameter("logit_scale").clamp_(max=float(torch.tensor(largest).log()))
