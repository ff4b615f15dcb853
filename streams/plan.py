"""A stream before its data: it can be ordered, shown and written where no picture lies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fomo.data.samples import Samples
from fomo.data.sequential import Shards
from fomo.errors import FomoError, unknown
from fomo.stream.definition import Concept, Stream, chunk, chunk_by_dataset, refuse_repeated
from streams.opening import open_scored, untrained
from streams.orderings import Facts, order
from streams.pocket import datasets as pocket
from streams.pools import named_pool

CHUNKS = {"equal": chunk, "dataset": chunk_by_dataset}
Tasks = tuple[tuple[Concept, ...], ...]


@dataclass(frozen=True)
class Plan:
    """What a stream is to hold, by name.

    ``concepts`` are as they were listed, not ordered yet; ``left_out`` those that a dataset declares without having a
    training sample of. ``pool`` names the data of P, see :func:`streams.pools.named_pool`; ``None``: the first
    ``pool_size`` samples of the pocket's pool.
    """

    name: str
    concepts: tuple[Concept, ...]
    retention: tuple[str, ...]
    pool: tuple[str, ...] | None
    pool_size: int
    pool_window: int
    ordering: str
    chunks: str
    root: Path
    left_out: tuple[Concept, ...] = ()

    def __post_init__(self) -> None:
        if self.chunks not in CHUNKS:
            raise unknown("value of stream.chunks", self.chunks, CHUNKS)
        if self.pool_size < 0:
            raise FomoError(f"stream.pool_size={self.pool_size}: allowed are 0 (no pretraining pool) and above.")
        refuse_repeated(self.concepts, f"stream '{self.name}'")

    @property
    def adaptation(self) -> tuple[str, ...]:
        """Names of the datasets to adapt to, in the order of their first concept."""
        return tuple(dict.fromkeys(concept.dataset for concept in self.concepts))

    def tasks(self, num_tasks: int, seed: int, facts: Facts | None = None) -> Tasks:
        """The concepts in order, cut into tasks."""
        return CHUNKS[self.chunks](order(self.ordering, self.concepts, seed, facts or Facts()), num_tasks)

    def open(self, num_tasks: int, seed: int, split: str) -> Stream:
        """The stream with its data. Pictures of the pocket are drawn here; ``split`` will be evaluated."""
        return self.with_data(self.checked(num_tasks, seed, split), split)

    def checked(self, num_tasks: int, seed: int, split: str) -> Stream:
        """The stream without its pool. Whether it can be run is known before a picture is drawn."""
        if not self.retention:
            raise FomoError(empty_list("retention"))
        tasks = self.tasks(num_tasks, seed)
        adapted, held_out = (open_scored(names, self.root, split) for names in (self.adaptation, self.retention))
        stream = Stream(self.name, tasks, adapted, held_out, None)
        _refuse_untrained(stream)
        _refuse_unscored(stream, split)
        return stream

    def with_data(self, stream: Stream, split: str) -> Stream:
        """A checked stream, its pictures drawn, with its pool."""
        self.draw_ahead(("train", split), (split,))
        return replace(stream, pool=self.open_pool(split))

    def draw_ahead(self, adapted: Sequence[str], held_out: Sequence[str]) -> None:
        """Draw the pocket's pictures of these splits, and its pool where it is P, if they are not cached."""
        splits = [(name, each) for name in self.adaptation for each in adapted]
        splits += [(name, each) for name in self.retention for each in held_out]
        drawn = {name: pocket.open_pocket(name).card for name, _ in splits if name in pocket.names()}
        wanted = [(name, each) for name, each in splits if name in drawn and drawn[name].num_samples.get(each)]
        pocket.draw_ahead(wanted, self.pool_size if self.pool is None else 0)

    def open_pool(self, split: str = "test") -> Samples | Shards | None:
        """The pretraining pool P of a run that is scored on ``split``."""
        if self.pool is not None:
            opened = partial(open_scored, root=self.root, split=split)
            return named_pool(self.pool, self.pool_window, lambda name: opened([name])[name], self.retention)
        return pocket.open_pool(self.pool_size) if self.pool_size else None


def empty_list(key: str) -> str:
    way_out = f"Write stream.{key}=[NAME]; `fomo data list` shows the names."
    return f"stream.{key} is empty: KA and ZS need a dataset in both lists. {way_out}"


def _refuse_untrained(stream: Stream) -> None:
    missing = untrained(tuple(stream.concepts), stream.adaptation)
    if missing:
        way_out = "`fomo stream verify` lists them: take them out of the stream."
        raise FomoError(f"{len(missing)} concepts have no training sample, the first is '{missing[0]}'. {way_out}")


def _refuse_unscored(stream: Stream, split: str) -> None:
    """Every dataset needs a task to be scored on, and samples of the split."""
    taskless = [name for name, dataset in stream.datasets.items() if dataset.card.metric == "none"]
    if taskless:
        way_out = "Take it out of the stream, or into stream.pool."
        kind = stream.datasets[taskless[0]].card.kind
        raise FomoError(f"dataset '{taskless[0]}' is of kind '{kind}': it has no task to be scored on. {way_out}")
    bare = [name for name, dataset in stream.datasets.items() if not dataset.card.num_samples.get(split)]
    if bare:
        taken = ", nor training samples to take some from" if split == "validation" else ""
        about = f"{len(bare)} of {len(stream.datasets)} datasets have no {split} samples{taken}: {', '.join(bare)}"
        raise FomoError(f"{about}. Take them out of stream.adaptation and stream.retention{_rest(stream, bare)}.")


def _rest(stream: Stream, bare: Sequence[str]) -> str:
    """The retention sets that are left, to be copied, where some have to go."""
    kept = [name for name in stream.retention if name not in bare]
    return f": stream.retention=[{','.join(kept)}]" if 0 < len(kept) < len(stream.retention) else ""
