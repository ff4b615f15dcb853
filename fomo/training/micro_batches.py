"""The exact contrastive step in little memory: GradCache (Gao et al. 2021, arXiv 2101.06983).

The loss L of a batch depends on the parameters θ through the features f_i of all rows, dL/dθ = Σ_i dL/df_i · df_i/dθ,
and directly (temperature, penalties). Features are computed a few rows at once, without activations kept, as one node
of the graph; whoever asks for a gradient through it has each few rows encoded again, to take dL/df back to θ. So
activations are kept for ``size`` rows, and the sum differs from the whole batch's gradient by rounding alone.

Rows must be encoded independently of each other and twice alike: BatchNorm is fixed in training, dropout is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import timm.layers
import torch
from open_clip.transformer import PatchDropout
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.dropout import _DropoutNd

from fomo.batch import Batch, Features
from fomo.errors import FomoError
from fomo.system.parted import whole

DROPOUT = {
    _DropoutNd: "p",
    PatchDropout: "prob",
    timm.layers.PatchDropout: "prob",
    timm.layers.DropPath: "drop_prob",
    nn.MultiheadAttention: "dropout",
}
"""Modules that drop something at random, and the attribute that holds the share."""


@dataclass(frozen=True)
class MicroBatches:
    """``encode`` on ``size`` rows at once, in the precision that ``autocast`` opens.

    ``pieces`` says of a batch in what numbers of rows it is encoded where the ranks hold parts of the weights: all of
    them encode as many pieces, and what they add to the gradients is exchanged after the last.
    """

    size: int
    encode: Callable[[nn.Module, Batch], Features]
    autocast: Callable[[], AbstractContextManager[None]]
    pieces: Callable[[Batch], Sequence[int]] | None = None

    def features(self, network: nn.Module, batch: Batch) -> Features:
        """Of all rows, as the whole batch has them; their gradient reaches every parameter that is trained.

        Raises:
            FomoError: something is attached to the network that would see the gradients of pieces.
        """
        scale = whole(network.get_parameter("logit_scale").exp()).reshape(())
        own = replace(batch, whole=batch.counts)  # of this process alone, whoever has others
        if self.pieces:
            anchor = torch.zeros((), requires_grad=True)
            images, texts = _PartedTowers.apply(self, network, own, self.pieces(batch), anchor)
        else:
            _refuse_hooks(network, self.size)
            trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
            images, texts = _Towers.apply(self, network, own, *trained)
        return Features(images, texts, scale)

    def without_activations(self, network: nn.Module, pieces: Iterable[Batch]) -> tuple[Tensor, ...]:
        """Unit features of images and texts, each [b, d], computed piece by piece."""
        with torch.no_grad(), _refusing_listeners(network, self.size):
            found = [self.encode(network, piece)[:2] for piece in pieces]
        images, texts = (torch.cat(side) for side in zip(*found, strict=True))
        return images, texts

    def again(self, network: nn.Module, piece: Batch, gradients: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
        """The features of a piece, computed again, that have a gradient, and those ``gradients``."""
        with torch.enable_grad(), self.autocast():
            found = self.encode(network, piece)[:2]
        reached = [(side, its) for side, its in zip(found, gradients, strict=True) if side.requires_grad]
        return list(zip(*reached, strict=True))


class _Towers(torch.autograd.Function):
    """Both towers on a batch, piece by piece; nothing but the parameters is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, small: MicroBatches, network: nn.Module, batch: Batch, *trained: Tensor
    ) -> tuple[Tensor, ...]:
        """Unit features of images and texts, each [b, d]."""
        ctx.small = small
        ctx.network = network
        ctx.batch = batch
        ctx.save_for_backward(*trained)
        return small.without_activations(network, batch.split(small.size))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the parameters, summed over the pieces, from those of both features [b, d]."""
        trained = ctx.saved_tensors  # refuses parameters that were changed in place since
        totals: list[Tensor | None] = [None] * len(trained)
        rows = (gradient.split(ctx.small.size) for gradient in gradients)
        for piece, *of_piece in zip(ctx.batch.split(ctx.small.size), *rows, strict=True):
            reached = ctx.small.again(ctx.network, piece, of_piece)
            if reached:  # a tower that is locked has no gradient
                _add(totals, torch.autograd.grad(reached[0], trained, reached[1], allow_unused=True))
        return None, None, None, *totals


class _PartedTowers(torch.autograd.Function):
    """Both towers on a batch, piece by piece, where ranks hold parts of the weights: FSDP2 adds up their gradients."""

    @staticmethod
    def forward(
        ctx: Any, small: MicroBatches, network: Any, batch: Batch, sizes: Sequence[int], anchor: Tensor
    ) -> tuple[Tensor, ...]:
        """Unit features of images and texts, each [b, d]; ``anchor`` is there for the features to have a gradient."""
        ctx.small = small
        ctx.network = network
        ctx.batch = batch
        ctx.sizes = sizes
        return small.without_activations(network, batch.pieces(sizes))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, ...]:
        """Have the gradients of the parameters, summed over the pieces, where FSDP2 puts them."""
        rows = (gradient.split(ctx.sizes) for gradient in gradients)
        for number, (piece, *of_piece) in enumerate(zip(ctx.batch.pieces(ctx.sizes), *rows, strict=True), start=1):
            ctx.network.set_requires_gradient_sync(number == len(ctx.sizes))
            reached = ctx.small.again(ctx.network, piece, of_piece)
            if reached:
                torch.autograd.backward(*reached)
        return None, None, None, None, None


def _add(totals: list[Tensor | None], gradients: Sequence[Tensor | None]) -> None:
    """Add gradients to their totals, in place."""
    for number, gradient in enumerate(gradients):
        total = totals[number]
        if total is None:
            totals[number] = gradient
        elif gradient is not None:
            total.add_(gradient)


@contextmanager
def _refusing_listeners(network: nn.Module, size: int) -> Iterator[None]:
    """While open, a forward hook that takes a layer's output and gives none is refused: it sees a few rows at once."""
    kept = []
    for name, module in network.named_modules():
        for key, hook in module._forward_hooks.items():
            if key not in module._forward_hooks_always_called:  # those are the loop's own
                kept.append((module, key, hook))
                module._forward_hooks[key] = partial(_changing, hook, name, size)
    try:
        yield
    finally:
        for module, key, hook in kept:
            module._forward_hooks[key] = hook


def _changing(hook: Callable[..., Any], name: str, size: int, *arguments: Any) -> Any:
    """What a hook gives in place of its layer's output; it has to give something."""
    given = hook(*arguments)
    if given is None:
        raise FomoError(
            f"runtime.micro_batch={size}: a forward hook listens to '{name}', which has a few rows at once, without a "
            "gradient. Take features from batch.features, or runtime.micro_batch=null."
        )
    return given


def _refuse_hooks(network: nn.Module, size: int) -> None:
    """Refuse what would be called with the gradient of every piece in place of the batch's.

    Raises:
        FomoError: a parameter has a tensor hook, or a module a backward hook.
    """
    hooked = [f"parameter '{name}'" for name, parameter in network.named_parameters() if parameter._backward_hooks]
    for name, module in network.named_modules():
        if module._backward_hooks or module._backward_pre_hooks:
            hooked.append(f"module '{name}'")
    if hooked:
        raise FomoError(
            f"runtime.micro_batch={size}: the {hooked[0]} has a hook on its gradient, which would be called with the "
            "gradient of every few rows in place of the batch's. Change gradients in after_backward, or take "
            "runtime.micro_batch=null, with runtime.grad_checkpointing=true for less memory."
        )


def check_deterministic(network: nn.Module, size: int | None) -> None:
    """Refuse a network that would not encode the same rows twice alike.

    Raises:
        FomoError: it has dropout.
    """
    found = dropping(network) if size else None
    if found:
        raise FomoError(
            f"runtime.micro_batch={size}: {found} at random: rows are not encoded twice alike. Take "
            "runtime.micro_batch=null, with runtime.grad_checkpointing=true for less memory."
        )


def dropping(network: nn.Module) -> str | None:
    """The first module that drops something, and what share, in words; ``None`` where none does."""
    for name, module in network.named_modules():
        share = next((getattr(module, at) for kind, at in DROPOUT.items() if isinstance(module, kind)), 0.0)
        if share:
            return f"'{name}' drops a share of {share}"
    return None
