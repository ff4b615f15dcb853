"""Training of the joined model's head on the pool: contrastive, on frozen features, in minutes on a CPU.

Both towers stay as they are but for what stands at the end of the image tower: the classifier's last layer, the
embeddings of the names of its classes, and the temperature. So what is before them is computed once for every image and
every text. The loss is that of the pocket's pretraining (``streams/pocket/pretraining/train.py``), pairs of one
caption being no negatives of each other.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fomo import rng
from fomo.data.samples import Samples
from fomo.errors import FomoError, check_allowed
from fomo.model.clip import ClipModel
from fomo.model.conse import ConseTower, JoinedClip
from streams.pocket.pretraining.train import MAX_LOGIT_SCALE, OnStep, masked_contrastive, threads, warmed_cosine

AT_A_TIME = 64
Item = TypeVar("Item")
Tick = Callable[[int], None]


@dataclass(frozen=True)
class HeadRecipe:
    """What the training depends on, besides the code, the towers and the pool.

    Attributes:
        steps: number of optimizer steps; 0: the towers joined, and nothing trained.
        batch_size: pairs in a batch; no more than the pool holds.
        lr: the peak of the learning rate.
        weight_decay: of matrices.
        warmup: share of the steps in which the learning rate rises.
        seed: of the order of the pool.
        num_threads: of the processor; sums over threads round differently.
    """

    steps: int = 900
    batch_size: int = 512
    lr: float = 3e-3
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

    def check_pool(self, size: int) -> None:
        """Refuse a pool of fewer pairs than a batch."""
        fits = self.batch_size <= size
        check_allowed(fits, f"batch_size={self.batch_size}", f"up to {size}, the size of the pool")


@dataclass(frozen=True)
class Features:
    """What the frozen parts make of the n pairs of a pool: ``images`` [n, f] before the classifier's last layer, unit
    features ``texts`` [t, d] of the distinct captions, and ``captions`` [n], the row of each pair's own in them.
    """

    images: Tensor
    texts: Tensor
    captions: Tensor


@torch.no_grad()
def features_of(model: ClipModel, pool: Samples, tick: Tick) -> Features:
    """Compute what training needs of a pool, once; ``tick`` hears of images that are done.

    Raises:
        FomoError: an image without caption.
    """
    captions = [pool.captions(index) for index in range(len(pool))]
    bare = [index for index, each in enumerate(captions) if not each]
    if bare:
        raise FomoError(f"the pool's image {bare[0]} has no caption ({len(bare)} in all).")
    distinct, rows = np.unique([each[0] for each in captions], return_inverse=True)
    model.network.eval()
    texts = [model.network.encode_text(model.tokenize(part), normalize=True) for part in _parts(distinct.tolist())]
    images = []
    for part in _parts(range(len(pool))):
        pixels = np.stack([model.preprocess.crop(pool.image(index)) for index in part])
        images.append(before_head(model, torch.from_numpy(pixels).permute(0, 3, 1, 2)))
        tick(len(part))
    return Features(torch.cat(images), torch.cat(texts), torch.from_numpy(rows))


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + AT_A_TIME] for start in range(0, len(items), AT_A_TIME))


def before_head(model: ClipModel, images: Tensor) -> Tensor:
    """What the classifier's last layer is given, [b, f], of uint8 images [b, 3, h, w]."""
    trunk = _tower(model.network).trunk
    return trunk.forward_head(trunk.forward_features(model.normalize(images)), pre_logits=True)


def head(network: JoinedClip, features: Tensor) -> Tensor:
    """Unit features [b, d] of images, of what stands before the classifier's last layer, [b, f]."""
    tower = _tower(network)
    return F.normalize(tower.names(tower.trunk.classifier(features).softmax(-1)), dim=-1)


def _tower(network: JoinedClip) -> ConseTower:
    tower: ConseTower = network.visual
    return tower


def train_head(
    network: JoinedClip, features: Features, recipe: HeadRecipe, on_step: OnStep = lambda step, loss: None
) -> None:
    """Train the head in place; everything else stays bit for bit what it was.

    Args:
        network: the joined model.
        features: of the pool.
        recipe: how to train.
        on_step: called after every step, counted from 1, with its loss.

    Raises:
        FomoError: the pool is smaller than a batch; the loss became infinite or NaN.
    """
    size = len(features.captions)
    recipe.check_pool(size)
    tower = _tower(network)
    matrices = [tower.trunk.classifier.weight, tower.names.weight]
    others = [tower.trunk.classifier.bias, network.logit_scale]
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
