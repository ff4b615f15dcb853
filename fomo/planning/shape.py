"""What a rehearsal is told of a stream, and the blank batches that it makes of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from fomo.batch import UNKNOWN, Batch
from fomo.budget.flops import FlopMeter
from fomo.budget.memory import not_counted
from fomo.data.drawn import Source
from fomo.stream.definition import NO_NAMES, StreamNames
from fomo.stream.mixture import Counts
from fomo.system.ranks import world
from fomo.system.shared_rows import rehearsing


@dataclass(frozen=True)
class StreamShape:
    """What tasks and batches look like, which is all that a rehearsal needs of them.

    Args:
        image_size: Height and width of the network's images, in pixels.
        kinds: Of a task, the counts of P, D and B that a batch may have.
        num_samples: |D_t| of every task.
        seed: The run's seed, which hooks are called with.
        names: Datasets and concepts of the tasks, by the numbers that rows have.
    """

    image_size: int
    kinds: Callable[[int], Sequence[Counts]]
    num_samples: Sequence[int]
    seed: int
    names: StreamNames = NO_NAMES

    @property
    def num_tasks(self) -> int:
        """Update steps of the stream."""
        return len(self.num_samples)


@dataclass(frozen=True)
class BlankBatches:
    """Batches without content.

    Args:
        image_size: Height and width of images, in pixels.
        context_length: Tokens of a text.
    """

    image_size: int
    context_length: int

    def of(self, counts: Counts) -> Batch:
        """A batch of so many rows; of a run's ranks, each has its own."""
        own = world().share(counts)
        size = sum(own)
        with not_counted():  # 32 bytes a row, where an image has thousands
            sources = torch.full((size, len(Source._fields)), UNKNOWN)
        images = torch.empty(size, 3, self.image_size, self.image_size)
        tokens = torch.zeros(size, self.context_length, dtype=torch.long)
        return Batch(images, tokens, (own[0], own[1], own[2]), sources=sources, whole=counts)

    def of_task(self, num_samples: int, size: int, meter: FlopMeter) -> Iterator[Batch]:
        """Batches of ``size`` through new data. Equal ones are given once; what is done with it is charged for each.

        Args:
            num_samples: Those that are gone through.
            size: Rows of a batch; the last has the rest.
            meter: That of the hook.
        """
        full, rest = divmod(num_samples, size)
        before = meter.so_far()
        if full:
            yield from self._one(size)
            meter.repeat(meter.so_far().plus(before, times=-1), full - 1)
        if rest:
            yield from self._one(rest)

    def _one(self, num_rows: int) -> Iterator[Batch]:
        counts = (0, num_rows, 0)
        with rehearsing(counts):
            yield self.of(counts)
