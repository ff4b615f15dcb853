"""Batches of a run, each a pure function of (seed, task, step), whatever process makes it."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from fomo import rng
from fomo.data.drawn import Skipped
from fomo.data.images import random_crop
from fomo.data.pools import POOLS, AnyPool, StreamPools
from fomo.errors import FomoError
from fomo.method import Batch
from fomo.mixture import Counts, Mixture
from fomo.model import ClipModel, Tokenize
from fomo.runtime import Runtime

CROP_ATTEMPTS = 10
_log = logging.getLogger(__name__)


class RawBatch(NamedTuple):
    """A batch as the loader makes it: uint8 images [b, 3, h, w] and tokens [b, l] on the CPU; what was left out."""

    images: Tensor
    tokens: Tensor
    counts: Counts
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Augmentation:
    """RandomResizedCrop: the share of the area that is kept."""

    scale: tuple[float, float] = (0.9, 1.0)

    def __post_init__(self) -> None:
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise FomoError(f"augmentation.scale={list(self.scale)}: allowed are 0 < low <= high <= 1.")


@dataclass(frozen=True)
class BatchMaker(TorchDataset[RawBatch]):
    """Makes the batch of (task, step)."""

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

    def __getitem__(self, key: tuple[int, int]) -> RawBatch:
        task, step = key
        pools = self._pools_of(task)
        draws = self.mixture.draws(task, step, [pools[name].size for name in POOLS])
        rows = [(pools[name], int(index)) for name, drawn in zip(POOLS, draws, strict=True) for index in drawn]
        images = np.empty((len(rows), self.image_size, self.image_size, 3), dtype=np.uint8)
        tokens, skipped = [], dict[Skipped, None]()
        # Drawn for the whole batch, so that a process that makes a part of it draws the same.
        crops = rng.generator(self.mixture.seed, "crop", task, step).random((len(rows), CROP_ATTEMPTS, 4))
        choices = rng.generator(self.mixture.seed, "caption", task, step).random(len(rows))
        for row, (pool, index) in enumerate(rows):
            image, captions, left_out = pool.draw(index)
            images[row] = random_crop(image, self.image_size, crops[row], self.augmentation.scale)
            tokens.append(self._encoded(captions[int(choices[row] * len(captions))]))
            skipped |= dict.fromkeys(left_out)
        counts = self.mixture.counts(task, step)
        return RawBatch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.stack(tokens), counts, tuple(skipped))

    def _encoded(self, text: str) -> Tensor:
        if text not in self._tokens:
            if len(self._tokens) > 100_000:
                self._tokens.clear()
            self._tokens[text] = self.tokenize([text])[0]
        return self._tokens[text]


class _TaskSteps(Sampler[tuple[int, int]]):
    """The (task, step) keys of the task at hand; the loader's workers live on from task to task."""

    def __init__(self) -> None:
        self.task, self.num_steps = 0, 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.task, step) for step in range(self.num_steps))

    def __len__(self) -> int:
        return self.num_steps


class Batches:
    """All batches of a run, task by task, on the device."""

    def __init__(self, maker: BatchMaker, model: ClipModel, runtime: Runtime) -> None:
        self._model, self._runtime, self._steps = model, runtime, _TaskSteps()
        self.skipped: dict[Skipped, None] = {}
        self._loader = DataLoader(
            maker,
            batch_size=None,
            sampler=self._steps,
            num_workers=runtime.num_workers,
            persistent_workers=runtime.num_workers > 0,
            pin_memory=runtime.device != "cpu",
            generator=torch.Generator(),
        )

    def of_task(self, task: int, num_steps: int) -> Iterator[Batch]:
        """The batches of a task, in order. What cannot be used is remembered in ``skipped`` and logged once a task."""
        self._steps.task, self._steps.num_steps = task, num_steps
        device, new = self._runtime.device, dict[Skipped, None]()
        for raw in self._loader:
            new |= {each: None for each in raw.skipped if each not in self.skipped}
            images = self._model.normalize(raw.images.to(device, non_blocking=True))
            yield Batch(images, raw.tokens.to(device, non_blocking=True), raw.counts)
        self.skipped |= new
        if new:
            _log.warning("task %d, left out of the pretraining pool: %s", task, summary(new))


def summary(skipped: Collection[Skipped]) -> str:
    """Counts by reason, and where the first one lies."""
    counts: Counter[str] = Counter()
    for each in skipped:
        counts[each.reason] += each.number
    listed = ", ".join(f"{number} × {reason}" for reason, number in counts.items())
    return f"{listed} (first: {next(iter(skipped)).where})"
