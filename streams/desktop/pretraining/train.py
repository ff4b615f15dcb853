"""Training of the joined model's head: contrastive, on frozen features, in minutes on a CPU.

It sees the pool and, as large pretraining sets have them, the training images of the datasets to keep with the prompts
of their classes; never an image that is tested or validated on. Both towers stay as they are but for what stands at the
end of the image tower: the classifier's last layer, the embeddings of the names of its classes, the perceptron beside
them, and the temperature. So what is before them is computed once for every image and every text. The loss is that of
the pocket's pretraining (``streams/pocket/pretraining/train.py``), pairs of one caption being no negatives of each
other.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fomo import rng
from fomo.data.joined import Joined, part_of
from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError, check_allowed
from fomo.model.clip import ClipModel
from fomo.model.conse import ConseTower, JoinedClip
from streams.pocket.pretraining.train import MAX_LOGIT_SCALE, OnStep, masked_contrastive, threads, warmed_cosine

AT_A_TIME = 64
ROLES = ("pool", "retention")
Item = TypeVar("Item")
Tick = Callable[[int], None]


@dataclass(frozen=True)
class HeadRecipe:
    """What the training depends on, besides the code, the towers and the pool.

    Attributes:
        steps: number of optimizer steps; 0: the towers joined, and nothing trained.
        batch_size: pairs in a batch; no more than there are.
        lr: the peak of the learning rate.
        weight_decay: of matrices.
        warmup: share of the steps in which the learning rate rises.
        seed: of the order of the pairs.
        num_threads: of the processor; sums over threads round differently.
    """

    steps: int = 450
    batch_size: int = 512
    lr: float = 2e-3
    weight_decay: float = 0.1
    warmup: float = 0.1
    seed: int = 0
    num_threads: int = 1

    def __post_init__(self) -> None:
        check_allowed(self.steps >= 0, f"steps={self.steps}", "0 and above")
        for name in ("batch_size", "num_threads"):
            check_allowed(getattr(self, name) >= 1, f"{name}={getattr(self, name)}", "1 and above")
        check_allowed(0 < self.lr < math.inf, f"lr={self.lr}", "numbers above 0")
        check_allowed(0 <= self.weight_decay < math.inf, f"weight_decay={self.weight_decay}", "0 and above")
        check_allowed(0 <= self.warmup < 1, f"warmup={self.warmup}", "shares of the steps, from 0 to below 1")

    def check_size(self, size: int) -> None:
        """Refuse fewer pairs than a batch."""
        fits = self.batch_size <= size
        check_allowed(fits, f"batch_size={self.batch_size}", f"up to {size}, the number of pairs")


@dataclass(frozen=True)
class Features:
    """What the frozen parts make of n pairs: ``images`` [n, f] before the classifier's last layer, unit features
    ``texts`` [t, d] of the distinct captions, and ``captions`` [n], the row of each pair's own in them.
    """

    images: Tensor
    texts: Tensor
    captions: Tensor


def trained_on(datasets: Iterable[Dataset]) -> list[Dataset]:
    """Those of the datasets whose training images the base model sees: the pool, and what is to keep."""
    return [each for each in datasets if each.card.role in ROLES]


def pairs_of(datasets: Iterable[Dataset]) -> Joined:
    """The pairs of training images with their captions, or the prompt of their class."""
    return Joined(tuple(part_of(each, "train") for each in datasets))


@torch.no_grad()
def features_of(model: ClipModel, pairs: Samples, tick: Tick) -> Features:
    """Compute what training needs of pairs, once; ``tick`` hears of images that are done.

    Raises:
        FomoError: an image without caption.
    """
    captions = [pairs.captions(index) for index in range(len(pairs))]
    bare = [index for index, each in enumerate(captions) if not each]
    if bare:
        raise FomoError(f"image {bare[0]} of the pretraining has no caption ({len(bare)} in all).")
    distinct, rows = np.unique([each[0] for each in captions], return_inverse=True)
    model.network.eval()
    texts = [model.network.encode_text(model.tokenize(part), normalize=True) for part in _parts(distinct.tolist())]
    images = []
    for part in _parts(range(len(pairs))):
        pixels = np.stack([model.preprocess.crop(pairs.image(index)) for index in part])
        images.append(before_head(model, torch.from_numpy(pixels).permute(0, 3, 1, 2)))
        tick(len(part))
    return Features(torch.cat(images), torch.cat(texts), torch.from_numpy(rows))


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + AT_A_TIME] for start in range(0, len(items), AT_A_TIME))


def before_head(model: ClipModel, images: Tensor) -> Tensor:
    """What the classifier's last layer is given, [b, f], of uint8 images [b, 3, h, w]."""
    return _tower(model.network).rows(model.normalize(images))


def head(network: JoinedClip, features: Tensor) -> Tensor:
    """Unit features [b, d] of images, of what stands before the classifier's last layer, [b, f]."""
    return F.normalize(_tower(network).of_rows(features), dim=-1)


def _tower(network: JoinedClip) -> ConseTower:
    tower: ConseTower = network.visual
    return tower


def train_head(
    network: JoinedClip, features: Features, recipe: HeadRecipe, on_step: OnStep = lambda step, loss: None
) -> None:
    """Train the head in place; everything else stays bit for bit what it was.

    Args:
        network: the joined model.
        features: of the pairs.
        recipe: how to train.
        on_step: called after every step, counted from 1, with its loss.

    Raises:
        FomoError: there are fewer pairs than a batch has; the loss became infinite or NaN.
    """
    size = len(features.captions)
    recipe.check_size(size)
    tower = _tower(network)
    layers = (tower.trunk.classifier, tower.names, tower.mlp.fc1, tower.mlp.fc2)
    matrices = [each.weight for each in layers]
    others = [*(each.bias for each in layers if each.bias is not None), network.logit_scale]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr)
    with threads(recipe.num_threads):
        for step, rows in zip(range(recipe.steps), batches(size, recipe), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = warmed_cosine(step, recipe.steps, recipe.warmup, recipe.lr)
            on_step(step + 1, _update(network, optimizer, features, rows))


def _update(network: JoinedClip, optimizer: torch.optim.Optimizer, features: Features, rows: Tensor) -> float:
    own = features.captions[rows]
    images = head(network, features.images[rows])
    similarity = network.logit_scale.exp() * (images @ features.texts[own].T)
    loss = masked_contrastive(similarity, own[:, None] == own)
    if not math.isfinite(loss.item()):
        raise FomoError(f"the loss became {loss.item()}. Lower lr.")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        network.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
    return loss.item()


def batches(size: int, recipe: HeadRecipe) -> Iterator[Tensor]:
    """Endless batches of rows: a new order each epoch, whose incomplete last batch is dropped."""
    for epoch in count():
        order = torch.from_numpy(rng.generator(recipe.seed, "pretrain", "order", epoch).permutation(size))
        yield from order[: size // recipe.batch_size * recipe.batch_size].split(recipe.batch_size)
