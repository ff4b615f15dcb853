"""Batches of a run as the host makes them: each a pure function of (seed, task, step), in whatever process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fomo import rng
from fomo.data.drawn import Skipped, Source
from fomo.data.images import random_crop
from fomo.errors import check_allowed
from fomo.stream.cut_texts import Tokenize, num_cut
from fomo.stream.mixture import Counts, Mixture
from fomo.stream.pools import POOLS, AnyPool, StreamPools
from fomo.system.ranks import ALONE, World

CROP_ATTEMPTS = 10
MAX_CACHED_CAPTIONS = 100_000
"""Captions whose tokens are kept."""


class RawBatch(NamedTuple):
    """A batch as the loader makes it, on the CPU."""

    images: Tensor
    """uint8 [b, 3, h, w]."""
    tokens: Tensor
    """int64 [b, context]."""
    sources: Tensor
    """int64 [b, 4]: the :class:`fomo.data.drawn.Source` of each row."""
    counts: Counts
    """Samples of P, D_t and B."""
    whole: Counts
    """Those of all ranks together."""
    skipped: tuple[Skipped, ...] = ()
    """What was left out."""
    num_cut: int = 0
    """Rows whose caption has more tokens than the context holds."""


class EncodedCaption(NamedTuple):
    """The tokens of a caption, int64 [context], and whether it has more than the context holds."""

    tokens: Tensor
    is_cut: bool


class PassKey(NamedTuple):
    """A batch of a pass over D_t, which has each sample once."""

    task: int
    number: int
    """Of the batch in the pass, from 0."""
    size: int
    """Of the batches; the last one may be smaller."""
    total: int
    """Samples of the pass."""


BatchKey = tuple[int, int] | PassKey
"""(task, step), or a batch of a pass over D_t alone."""


@dataclass(frozen=True)
class Augmentation:
    """RandomResizedCrop, as open_clip trains with it.

    Raises:
        FomoError: a share that is not allowed.
    """

    scale: tuple[float, float] = (0.9, 1.0)
    """Least and largest share of the image's area that is kept."""

    def __post_init__(self) -> None:
        check_allowed(
            len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] <= 1,
            f"augmentation.scale={list(self.scale)}",
            "0 < low <= high <= 1",
        )


@dataclass(eq=False)
class BatchMaker:
    """Makes any batch of a run.

    Two things are kept in memory: the tokens of captions that were drawn before, and the pools of the task that was
    asked for last, since what a bounded buffer keeps is sought among all samples seen. No batch depends on them, and
    they do not travel to other processes.
    """

    mixture: Mixture
    """Which samples form a batch."""
    pools: StreamPools
    """Where they come from."""
    tokenize: Tokenize
    """The model's."""
    image_size: int
    """Pixels of a side."""
    augmentation: Augmentation
    """What an image is cropped to before it is scaled."""
    here: World = ALONE
    """Of a batch, the rows of this rank are made."""
    _encodings: dict[str, EncodedCaption] = field(default_factory=dict, init=False, repr=False)
    _task: int = field(default=0, init=False, repr=False)
    _task_pools: dict[str, AnyPool] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _padding(self) -> int:
        """The token behind the end of a text."""
        return int(self.tokenize([""])[0, -1])

    def __reduce__(self) -> tuple[type["BatchMaker"], tuple[Any, ...]]:
        made_of = (self.mixture, self.pools, self.tokenize, self.image_size, self.augmentation, self.here)
        return BatchMaker, made_of

    def __getitem__(self, key: BatchKey) -> RawBatch:
        return self._of_pass(key) if isinstance(key, PassKey) else self._of_step(*key)

    def _of_pass(self, key: PassKey) -> RawBatch:
        pool = self.pools.updates[key.task - 1]
        order = rng.generator(self.mixture.seed, "once", key.task).permutation(len(pool))
        start = key.number * key.size
        rows = [(pool, int(index)) for index in order[: key.total][start : start + key.size]]
        return self._made(rows, ("once", key.task, start), (0, len(rows), 0))

    def _of_step(self, task: int, step: int) -> RawBatch:
        pools = self._pools_of(task)
        draws = self.mixture.draws(task, step, [pools[name].size for name in POOLS])
        rows = [(pools[name], int(index)) for name, drawn in zip(POOLS, draws, strict=True) for index in drawn]
        return self._made(rows, (task, step), self.mixture.counts(task, step))

    def _pools_of(self, task: int) -> dict[str, AnyPool]:
        if task != self._task:
            self._task_pools = self.pools.of_task(task)
            self._task = task
        return self._task_pools

    def _made(self, rows: Sequence[tuple[AnyPool, int]], keys: Sequence[int | str], counts: Counts) -> RawBatch:
        """This rank's part of the batch of samples ``rows``, each a pool and a number in it.

        Args:
            rows: All of the batch.
            keys: Seed its crops and captions.
            counts: Samples of each pool.
        """
        own = self.here.rows(len(rows))
        # Drawn for the whole batch, so that a rank draws for its rows what one process would.
        crops = rng.generator(self.mixture.seed, "crop", *keys).random((len(rows), CROP_ATTEMPTS, 4))[own]
        choices = rng.generator(self.mixture.seed, "caption", *keys).random(len(rows))[own]
        rows = rows[own]
        images = np.empty((len(rows), self.image_size, self.image_size, 3), dtype=np.uint8)
        sources = np.empty((len(rows), len(Source._fields)), dtype=np.int64)
        encoded: list[EncodedCaption] = []
        skipped: dict[Skipped, None] = {}
        for row, (pool, index) in enumerate(rows):
            image, captions, left_out, sources[row] = pool.draw(index)
            images[row] = random_crop(image, self.image_size, crops[row], self.augmentation.scale)
            encoded.append(self._encoded(captions[int(choices[row] * len(captions))]))
            skipped |= dict.fromkeys(left_out)
        return RawBatch(
            images=torch.from_numpy(images).permute(0, 3, 1, 2),
            tokens=torch.stack([each.tokens for each in encoded]) if encoded else self.tokenize([""])[:0],
            sources=torch.from_numpy(sources),
            counts=self.here.share(counts),  # type: ignore[arg-type]  # three, as there were
            whole=counts,
            skipped=tuple(skipped),
            num_cut=sum(each.is_cut for each in encoded),
        )

    def _encoded(self, caption: str) -> EncodedCaption:
        if caption not in self._encodings:
            if len(self._encodings) >= MAX_CACHED_CAPTIONS:
                self._encodings.clear()
            tokens = self.tokenize([caption])[0]
            is_full = int(tokens[-1]) != self._padding  # else it ends within the context
            self._encodings[caption] = EncodedCaption(tokens, is_full and num_cut([caption], self.tokenize) > 0)
        return self._encodings[caption]
