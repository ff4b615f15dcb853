"""The exact contrastive step in little memory: GradCache (Gao et al. 2021, arXiv 2101.06983).

The loss L of a batch depends on the parameters θ through the features f_i of all rows, dL/dθ = Σ_i dL/df_i · df_i/dθ,
and directly (temperature, penalties). Features are computed without a graph, a few rows at once; the loss on all of
them gives dL/df and the direct part; then each few rows are encoded again, with a graph, to take dL/df back to θ. So
activations are kept for ``size`` rows, and the sum differs from the whole batch's gradient by rounding alone.

Rows must be encoded independently of each other and twice alike: BatchNorm is fixed in training, dropout is refused.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import timm.layers
import torch
from open_clip.transformer import PatchDropout
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils import parametrize

from fomo.batch import Batch, Features
from fomo.budget.flops import Meter
from fomo.errors import FomoError

DROPOUT = {
    _DropoutNd: "p",
    PatchDropout: "prob",
    timm.layers.PatchDropout: "prob",
    timm.layers.DropPath: "drop_prob",
    nn.MultiheadAttention: "dropout",
}
"""Modules that drop something at random, and the attribute that holds the share."""


def pieces(batch: Batch, size: int) -> list[Batch]:
    """The rows ``size`` at a time; ``counts`` stay those of the whole batch."""
    rows = zip(batch.images.split(size), batch.tokens.split(size), strict=True)
    return [replace(batch, images=images, tokens=tokens) for images, tokens in rows]


@dataclass(frozen=True)
class MicroBatches:
    """``encode`` on ``size`` rows at once. A pass has its own caches: what one pass keeps belongs to its graph."""

    size: int
    encode: Callable[[nn.Module, Batch], Features]
    autocast: Callable[[], AbstractContextManager[None]]

    def features(self, network: nn.Module, batch: Batch, meter: Meter) -> Features:
        """Of all rows, without a graph behind them; to be completed by :func:`with_scale`."""
        with torch.no_grad(), parametrize.cached(), self.autocast(), meter("forward"):
            found = [self.encode(network, piece) for piece in pieces(batch, self.size)]
        images, texts = (torch.cat(side).requires_grad_() for side in zip(*(each[:2] for each in found), strict=True))
        return Features(images, texts, found[0].scale)

    def backward(self, network: nn.Module, batch: Batch, features: Features, meter: Meter) -> None:
        """Take the gradients that the loss left at ``features`` back to the parameters, and add them up there."""
        assert features.images.grad is not None and features.texts.grad is not None
        gradients = zip(features.images.grad.split(self.size), features.texts.grad.split(self.size), strict=True)
        for piece, gradient in zip(pieces(batch, self.size), gradients, strict=True):
            with meter("backward"), parametrize.cached():
                with self.autocast():
                    again = self.encode(network, piece)
                # A tower may be locked.
                trained = [(side, its) for side, its in zip(again[:2], gradient, strict=True) if side.requires_grad]
                if trained:
                    torch.autograd.backward([side for side, _ in trained], [its for _, its in trained])


def with_scale(network: nn.Module, features: Features) -> Features:
    """With a temperature that the loss reaches."""
    return features._replace(scale=network.get_parameter("logit_scale").exp())


def check_deterministic(network: nn.Module, size: int | None) -> None:
    """Refuse a network that would not encode the same rows twice alike.

    Raises:
        FomoError: it has dropout.
    """
    for name, module in network.named_modules() if size else ():
        share = next((getattr(module, at) for kind, at in DROPOUT.items() if isinstance(module, kind)), 0.0)
        if share:
            raise FomoError(
                f"runtime.micro_batch={size}: '{name}' drops a share of {share} at random: rows are not encoded twice "
                "alike. Take runtime.micro_batch=null, with runtime.grad_checkpointing=true for less memory."
            )
