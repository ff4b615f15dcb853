"""A CLIP model as the benchmark sees it: the network, its tokenizer, and the images that it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fomo.stream.batches import Tokenize

LONGEST_TEXT = 2_000
"""Letters of a text that are looked at; the 77 tokens of a context rarely take 400."""


@dataclass(frozen=True)
class ClipModel:
    """A CLIP network and what goes with it. ``mean`` and ``std`` are of RGB values in [0, 1]."""

    name: str
    network: CLIP
    tokenize: Tokenize
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [b, 3, h, w] to the network's float input."""
        mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (self.mean, self.std))
        return (images.float() / 255 - mean) / std


def tokens_of(tokenizer: Tokenize, texts: Sequence[str]) -> Tensor:
    """Tokens of the beginnings of texts, int64 [n, context]: time grows with the square of a word's length."""
    return tokenizer([text[:LONGEST_TEXT] for text in texts])


def train_mode(network: nn.Module) -> None:
    """Training mode with fixed BatchNorm statistics: small batches of few concepts would spoil them."""
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def checkpoint_activations(network: CLIP, enabled: bool) -> None:
    """Gradient checkpointing in the blocks of both transformers; open_clip's ModifiedResNet has none."""
    network.set_grad_checkpointing(enabled)
