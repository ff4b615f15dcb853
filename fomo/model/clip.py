"""A CLIP model as the benchmark sees it: the network, its tokenizer, and the images that it takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fomo.model.preprocess import Preprocess
from fomo.model.sources import CONFIG
from fomo.stream.cut_texts import LONGEST_TEXT, Tokenize

RANDOM_BASE = "random base"
"""The caveat of a result whose base model was never pretrained."""


@dataclass(frozen=True)
class ClipModel:
    """A CLIP network and what goes with it.

    Args:
        name: what tables call it.
        network: two towers and a temperature, trained by the softmax CLIP loss.
        tokenize: strings to the tokens that the text tower was trained on.
        preprocess: images to pixels as the image tower was trained on them.
        caveats: what a score of this model has to be read with, as :data:`RANDOM_BASE`.
        architecture: open_clip's configuration of the network; empty where it is not known.
        merges: the file of the byte pairs that the tokenizer merges, or of the tokenizer, where it has one of its own.
        form: the file that says architecture and preprocessing beside stored weights; open_clip reads its own alone.
    """

    name: str
    network: CLIP
    tokenize: Tokenize
    preprocess: Preprocess
    caveats: tuple[str, ...] = ()
    architecture: Mapping[str, Any] = field(default_factory=dict)
    merges: Path | None = None
    form: str = CONFIG

    @property
    def image_size(self) -> int:
        """Height and width of an input image, in pixels."""
        return self.preprocess.size

    def normalize(self, images: Tensor) -> Tensor:
        """The network's input, float32 [b, 3, h, w], of uint8 images [b, 3, h, w]."""
        return self.preprocess.normalize(images)


def tokens_of(
    tokenizer: Callable[[list[str], int | None], Tensor], texts: Sequence[str], context_length: int | None = None
) -> Tensor:
    """Tokens of the beginnings of strings, int64 [n, context]: time grows with the square of a word's length.

    ``tokenizer`` is one of open_clip, which asks for a list.
    """
    return tokenizer([text[:LONGEST_TEXT] for text in texts], context_length)


def train_mode(network: nn.Module) -> None:
    """Training mode with fixed BatchNorm statistics: small batches of few concepts would spoil them."""
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
