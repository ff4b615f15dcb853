"""Batches of a run as the host makes them: each a pure function of (seed, task, step), in whatever process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fomo import rng
from fomo.data.drawn import Skipped
from fomo.data.images import random_crop
from fomo.errors import FomoError
from fomo.stream.mixture import Counts, Mixture
from fomo.stream.pools import POOLS, AnyPool, StreamPools

CROP_ATTEMPTS = 10
Tokenize = Callable[[Sequence[str]], Tensor]
"""Texts to tokens, int64 [n, context]."""


class RawBatch(NamedTuple):
    """A batch as the loader makes it: uint8 images [b, 3, h, w] and tokens [b, l] on the CPU; what was left out."""

    images: Tensor
    tokens: Tensor
    counts: Counts
    skipped: tuple[Skipped, ...] = ()


class Once(NamedTuple):
    """Key of batch ``number`` in a pass over ``total`` samples of D_t, each once, ``size`` at a time."""

    task: int
    number: int
    size: int
    total: int


Key = tuple[int, int] | Once


@dataclass(frozen=True)
class Augmentation:
    """RandomResizedCrop: the share of the area that is kept."""

    scale: tuple[float, float] = (0.9, 1.0)

    def __post_init__(self) -> None:
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise FomoError(f"augmentation.scale={list(self.scale)}: allowed are 0 < low <= high <= 1.")


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of (task, step), or of a pass over D_t alone."""

    mixture: Mixture
    pools: StreamPools
    tokenize: Tokenize
    image_size: int
    augmentation: Augmentation

    @cached_property
    def _tokens(self) -> dict[str, Tensor]:
        return {}

    @cached_property
    def _at_hand(self) -> dict[int, dict[str, AnyPool]]:
        return {}

    def _pools_of(self, task: int) -> dict[str, AnyPool]:
        """The pools of a task, put together once per task: what a bounded buffer keeps is sought among all seen."""
        if task not in self._at_hand:
            self._at_hand.clear()
            self._at_hand[task] = self.pools.of_task(task)
        return self._at_hand[task]

    def __getitem__(self, key: Key) -> RawBatch:
        if isinstance(key, Once):
            pool = self.pools.updates[key.task - 1]
            order = rng.generator(self.mixture.seed, "once", key.task).permutation(len(pool))
            drawn = order[: key.total][key.number * key.size : (key.number + 1) * key.size]
            keys = ("once", key.task, key.number * key.size)
            return self._made([(pool, int(index)) for index in drawn], keys, (0, len(drawn), 0))
        task, step = key
        pools = self._pools_of(task)
        draws = self.mixture.draws(task, step, [pools[name].size for name in POOLS])
        rows = [(pools[name], int(index)) for name, drawn in zip(POOLS, draws, strict=True) for index in drawn]
        return self._made(rows, key, self.mixture.counts(task, step))

    def _made(self, rows: Sequence[tuple[AnyPool, int]], keys: Sequence[int | str], counts: Counts) -> RawBatch:
        images = np.empty((len(rows), self.image_size, self.image_size, 3), dtype=np.uint8)
        tokens, skipped = [], dict[Skipped, None]()
        # Drawn for the whole batch, so that a process that makes a part of it draws the same.
        crops = rng.generator(self.mixture.seed, "crop", *keys).random((len(rows), CROP_ATTEMPTS, 4))
        choices = rng.generator(self.mixture.seed, "caption", *keys).random(len(rows))
        for row, (pool, index) in enumerate(rows):
            image, captions, left_out = pool.draw(index)
            images[row] = random_crop(image, self.image_size, crops[row], self.augmentation.scale)
            tokens.append(self._encoded(captions[int(choices[row] * len(captions))]))
            skipped |= dict.fromkeys(left_out)
        return RawBatch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.stack(tokens), counts, tuple(skipped))

    def _encoded(self, text: str) -> Tensor:
        if text not in self._tokens:
            if len(self._tokens) > 100_000:
                self._tokens.clear()
            self._tokens[text] = self.tokenize([text])[0]
        return self._tokens[text]
