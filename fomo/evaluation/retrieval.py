"""Retrieval: mean of text-to-image and image-to-text recall@5 (Radford et al. 2021; Roth et al. 2024).

Each caption seeks its image among all images; each image seeks any of its captions among all captions. Of what scores
the same, what comes first in the dataset stands first, as with the classes of zero-shot classification: a model that
tells nothing apart is right by chance. One whose scores are no numbers earns nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

RECALL_AT = 5
ALSO_AT = (1, 5, 10)
"""What is recorded too, in both directions."""
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
    return _before(seekers, sought, image_of_seeker, image_of_sought) < k


def _before(seekers: Tensor, sought: Tensor, image_of_seeker: Tensor, image_of_sought: Tensor) -> Tensor:
    """How many of ``sought`` [n, d] stand before the first that is of the image of a seeker [m, d]: int64 [m].

    All of them where the right one's score is no number.
    """
    found = []
    places = torch.arange(len(sought), device=sought.device)
    size = max(1, BLOCK_ELEMENTS // len(sought))
    for features, image in zip(seekers.split(size), image_of_seeker.split(size), strict=True):
        scores = features @ sought.T
        own = image[:, None] == image_of_sought[None]
        right, place = scores.masked_fill(~own, -torch.inf).max(dim=1, keepdim=True)  # the first of equal ones
        is_earlier = (scores == right) & (places < place)
        before = (~own & (~(scores <= right) | is_earlier)).sum(dim=1)
        found.append(before.where(right[:, 0].isfinite(), torch.iinfo(before.dtype).max))
    return torch.cat(found)


class Recall(NamedTuple):
    """What retrieval comes to.

    ``score`` is the mean of both recalls@5 in percent; ``shares`` is each image's own share of it in [0, 1], float64
    [n]; ``by_image`` and ``by_text`` say whether each image, bool [n], and each caption, bool [m], finds within the
    first five what it seeks; ``recalls`` are those at 1, 5 and 10 in percent, as ``text_to_image@10``.
    """

    score: float
    shares: Tensor
    by_image: Tensor
    by_text: Tensor
    recalls: Mapping[str, float]


def recall(texts: Tensor, images: Tensor, owner: Tensor) -> Recall:
    """Both recalls, of several captions an image.

    The share of an image is the mean of its hit and of the hit rate of its captions. Where all images have equally many
    captions, the shares have the score as their mean. ``texts`` [m, d] and ``images`` [n, d] are unit features,
    ``owner`` [m] is the image of each caption.
    """
    own = torch.arange(len(images), device=images.device)
    before = {"text_to_image": _before(texts, images, owner, own), "image_to_text": _before(images, texts, own, owner)}
    by_text, by_image = (each < RECALL_AT for each in before.values())
    shares, score = _shares(by_text.double(), by_image.double(), owner)
    recalls = {f"{way}@{k}": 100 * float((each < k).double().mean()) for way, each in before.items() for k in ALSO_AT}
    return Recall(score, shares, by_image, by_text, recalls)


def _shares(by_text: Tensor, by_image: Tensor, owner: Tensor) -> tuple[Tensor, float]:
    """Each image's share of the score, and the score in percent."""
    sums = torch.zeros_like(by_image).index_add_(0, owner, by_text)
    captions = torch.zeros_like(by_image).index_add_(0, owner, torch.ones_like(by_text))
    return (by_image + sums / captions) / 2, 50 * float(by_text.mean() + by_image.mean())
