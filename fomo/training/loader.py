"""The batches of a run on its device, task by task.

What workers have made ahead belongs to no task before it is asked for: it is counted and logged then, and a checkpoint
knows nothing of it.
"""

import logging
import math
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fomo.batch import Batch, cut_at
from fomo.data.drawn import Skipped
from fomo.model.clip import ClipModel
from fomo.model.fast import shortest
from fomo.stream.batch_sizes import BatchSizes
from fomo.stream.batches import BatchKey, BatchMaker, PassKey, RawBatch
from fomo.stream.definition import StreamNames
from fomo.stream.mixture import Counts
from fomo.system.feed import Feed
from fomo.system.ranks import exchanged, is_first
from fomo.system.runtime import Runtime
from fomo.training.uploads import Upload, Uploads

_log = logging.getLogger(__name__)


def _named(key: BatchKey) -> str:
    if isinstance(key, PassKey):
        return f"task {key.task}, batch {key.number} of its new data"
    return "task {}, step {}".format(*key)


class Batches:
    """All batches of a run, task by task, on the device."""

    def __init__(self, maker: BatchMaker, model: ClipModel, runtime: Runtime) -> None:
        self._maker = maker
        self._model = model
        self._runtime = runtime
        self.skipped: dict[Skipped, None] = {}
        self.num_cut = 0
        self._uploads = Uploads(runtime)
        self._feeds: list[Feed[BatchKey, RawBatch]] = []
        """All: that of the steps, and one for each pass that there was at a time."""
        self._feed = self._new_feed()
        self._announced = False
        self._idle: list[Feed[BatchKey, RawBatch]] = []
        """Those of passes, while nobody asks them for anything."""

    @contextmanager
    def announced(self, steps: Sequence[tuple[int, int]]) -> Iterator[None]:
        """While open, workers are at the batches of ``steps``, pairs of task and step, which are asked for in order.

        They start at once, and go on at the end of a task with the next one. At the end of the block all are ended.
        """
        self._feed.announce(steps)
        self._announced = True
        try:
            yield
        finally:
            self._announced = False
            for feed in self._feeds:
                feed.close()

    def follow(self, sizes: BatchSizes, steps: Sequence[int], after: int) -> None:
        """Make the batches of the tasks ``after`` one as another plan has them: of ``sizes``, ``steps`` of each task.

        Workers that are at those of the old plan are ended, and others begin with the new ones if they were announced.
        """
        self._feed.close()
        self._feeds.remove(self._feed)
        mixture = replace(self._maker.mixture, sizes=sizes, steps=tuple(steps))
        self._maker = replace(self._maker, mixture=mixture)
        self._feed = self._new_feed()
        if self._announced:
            later = [(task, num_steps) for task, num_steps in enumerate(steps, start=1) if task > after]
            self._feed.announce([(task, step) for task, num_steps in later for step in range(num_steps)])

    def _new_feed(self) -> Feed[BatchKey, RawBatch]:
        self._feeds.append(Feed(self._maker.__getitem__, self._runtime, _named))
        return self._feeds[-1]

    def of_task(self, task: int, num_steps: int, start: int = 0) -> Iterator[Batch]:
        """The batches of a task from step ``start`` on, in order.

        What cannot be used is remembered in ``skipped`` as it is met, and captions that the context cuts are counted in
        ``num_cut``; both are logged once a task.
        """
        num_known = len(self.skipped)
        cut_before = self.num_cut
        raws = self._feed([(task, step) for step in range(start, num_steps)])
        yield from map(self._counted, self._uploads(raws))  # none is held while it is learned from
        self.skipped, self.num_cut = self._of_all_ranks()
        if not is_first():
            self.num_cut = 0  # they are the first rank's now
            return
        if new := list(self.skipped)[num_known:]:
            _log.warning("task %d, left out of the pretraining pool: %s", task, summary(new))
        if self.num_cut > cut_before:
            _log.warning("task %d: %d captions are longer than the context and cut", task, self.num_cut - cut_before)

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on has to know: all else is a function of the position."""
        skipped, num_cut = self._of_all_ranks()
        return {"skipped": [tuple(each) for each in skipped], "num_cut": num_cut}

    def _of_all_ranks(self) -> tuple[dict[Skipped, None], int]:
        """What all ranks have left out, and how many captions they have cut."""
        found = exchanged((list(self.skipped), self.num_cut))
        skipped = {each: None for of_rank, _ in found for each in of_rank}
        return skipped, sum(num_cut for _, num_cut in found)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.skipped = {Skipped(*each): None for each in state["skipped"]}
        self.num_cut = state["num_cut"] if is_first() else 0

    @property
    def left_out(self) -> dict[str, int]:
        """Counts by reason of what could not be used so far."""
        return counted(self.skipped)

    def shares(self, task: int) -> tuple[float, float, float]:
        """Of the samples of a task's batches, those of P, D and B."""
        return self._maker.mixture.shares(task)

    def num_update_samples(self, task: int) -> int:
        """|D_t|."""
        return self._maker.pools.update_sizes[task - 1]

    @property
    def names(self) -> StreamNames:
        """What the numbers of rows stand for."""
        return self._maker.pools.names

    def once(self, task: int, size: int, max_samples: int | None = None) -> Iterator[Batch]:
        """D_t alone, each sample once in a seeded order, in batches of at most ``size``; the last may be smaller.

        A pass has workers of its own, which the next pass takes over: several may be under way at a time.
        """
        total = min(self.num_update_samples(task), max_samples or sys.maxsize)
        keys = [PassKey(task, number, size, total) for number in range(math.ceil(total / size))]
        feed = self._idle.pop() if self._idle else self._new_feed()
        try:
            yield from map(self._ready, self._uploads(feed(keys)))
        finally:
            self._idle.append(feed)

    def _counted(self, upload: Upload) -> Batch:
        """The batch of a step; what was left out and cut for it is counted."""
        self.skipped |= dict.fromkeys(upload.raw.skipped)
        self.num_cut += upload.raw.num_cut
        return self._ready(upload)

    def _ready(self, upload: Upload) -> Batch:
        num_tokens = shortest(self._model.network, upload.raw.tokens)
        images, tokens, sources = self._uploads.arrived(upload)
        images = self._model.normalize(images)
        counts, whole = (_counts(*each) for each in (upload.raw.counts, upload.raw.whole))  # pinning makes lists
        return Batch(images, tokens, counts, sources=sources, cut=cut_at(num_tokens, tokens), whole=whole)


def _counts(pretraining: int, update: int, buffer: int) -> Counts:
    return pretraining, update, buffer


def counted(skipped: Collection[Skipped]) -> dict[str, int]:
    """Counts by reason."""
    counts: Counter[str] = Counter()
    for each in skipped:
        counts[each.reason] += each.number
    return dict(counts)


def summary(skipped: Collection[Skipped]) -> str:
    """Counts by reason, and where the first one lies."""
    listed = ", ".join(f"{number} × {reason}" for reason, number in counted(skipped).items())
    return f"{listed} (first: {next(iter(skipped)).where})"
