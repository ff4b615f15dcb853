"""What a step is made from: a batch, and the features that the network returns for it."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class Features(NamedTuple):
    """What the network returns for a batch: unit features of ``images`` and of ``texts`` [b, d], and the ``scale`` [].

    The network is open_clip's CLIP. ``network(images, tokens)`` returns these three; one tower alone is
    ``network.encode_image(images, normalize=True)`` or ``network.encode_text(tokens, normalize=True)``, which return
    unit features, and without ``normalize`` features of any length. ``scale`` is ``network.logit_scale.exp()``, the
    inverse of the temperature; the logits of images to texts are ``scale * images @ texts.T``.
    """

    images: Tensor
    texts: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch on the device, the rows of P, D_t and B one after the other.

    ``images`` [b, 3, h, w] are normalised, ``tokens`` [b, l] are padded with 0; ``counts`` are the rows of each pool.
    ``features`` are those that the contrastive loss of the step rests on, with gradient; there in ``loss`` alone.
    """

    images: Tensor
    tokens: Tensor
    counts: tuple[int, int, int]
    features: Features | None = None
