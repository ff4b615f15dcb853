"""Retrieval: mean of text-to-image and image-to-text recall@5 (Radford et al. 2021; Roth et al. 2024).

Each caption seeks its image among all images; each image seeks any of its captions among all captions. Whatever scores
as high as the right answer stands before it. A model that tells nothing apart therefore earns nothing, and so does one
whose scores are no numbers.
"""

import torch
from torch import Tensor

RECALL_AT = 5
BLOCK_ELEMENTS = 2**24
"""Similarities held at a time."""


def text_to_image_hits(texts: Tensor, images: Tensor, owner: Tensor, k: int = RECALL_AT) -> Tensor:
    """Whether the image that belongs to each caption is among the first k: bool [m].

    Args:
        texts: unit features of the captions, [m, d].
        images: unit features of the images, [n, d].
        owner: the image that each caption belongs to, int64 [m].
        k: how many of the best are looked at.
    """
    return _hits(texts, images, owner, torch.arange(len(images), device=images.device), k)


def image_to_text_hits(texts: Tensor, images: Tensor, owner: Tensor, k: int = RECALL_AT) -> Tensor:
    """Whether any caption that belongs to each image is among the first k: bool [n].

    Args:
        texts: unit features of the captions, [m, d].
        images: unit features of the images, [n, d].
        owner: the image that each caption belongs to, int64 [m].
        k: how many of the best are looked at.
    """
    return _hits(images, texts, torch.arange(len(images), device=images.device), owner, k)


def _hits(seekers: Tensor, sought: Tensor, image_of_seeker: Tensor, image_of_sought: Tensor, k: int) -> Tensor:
    """Whether one of ``sought`` [n, d] that is of the image of a seeker [m, d] is among its first k: bool [m]."""
    hits = []
    size = max(1, BLOCK_ELEMENTS // len(sought))
    for features, image in zip(seekers.split(size), image_of_seeker.split(size), strict=True):
        scores = features @ sought.T
        own = image[:, None] == image_of_sought[None]
        right = scores.masked_fill(~own, -torch.inf).amax(dim=1, keepdim=True)
        before = (~own & ~(scores < right)).sum(dim=1)
        hits.append((before < k) & right[:, 0].isfinite())
    return torch.cat(hits)


def recall(texts: Tensor, images: Tensor, owner: Tensor) -> tuple[float, Tensor]:
    """The score in percent, and each image's own share of it, in [0, 1]: float64 [n].

    The share of an image is the mean of its hit and of the hit rate of its captions. Where all images have equally many
    captions, the shares have the score as their mean. ``texts`` [m, d] and ``images`` [n, d] are unit features,
    ``owner`` [m] is the image of each caption.
    """
    by_text = text_to_image_hits(texts, images, owner).double()
    by_image = image_to_text_hits(texts, images, owner).double()
    sums = torch.zeros_like(by_image).index_add_(0, owner, by_text)
    captions = torch.zeros_like(by_image).index_add_(0, owner, torch.ones_like(by_text))
    return 50 * float(by_text.mean() + by_image.mean()), (by_image + sums / captions) / 2
