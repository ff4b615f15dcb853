"""The plan of a stream of named datasets: it can be ordered, shown and written where no image lies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import Shards
from fomo.errors import FomoError, check_allowed, check_choice, unknown
from fomo.stream.definition import Concept, Stream, chunk, chunk_by_dataset, refuse_repeated
from fomo.stream.plan import StreamPlan, Tasks
from streams.catalogue import load
from streams.opening import available, open_all, open_at, untrained, with_few
from streams.orderings import Facts, order
from streams.pocket import datasets as pocket
from streams.pools import named_pool

CHUNKS = {"equal": chunk, "dataset": chunk_by_dataset}


@dataclass(frozen=True)
class NamedPlan(StreamPlan):
    """A stream of the pocket's datasets, of imported ones and of plug-ins', all by name.

    Attributes:
        name: the stream's name.
        concepts: every concept, as it was listed.
        retention: names of the held-out datasets.
        pool: names the data of P, see :func:`streams.pools.named_pool`; ``None`` takes the pocket's pool.
        pool_size: samples of the pocket's pool; 0 for none.
        pool_window: samples that are shuffled together where a pool is read in sequence.
        ordering: a name of :data:`streams.orderings.ORDERINGS`, or a plug-in's.
        chunks: a key of :data:`CHUNKS`, how the concepts are cut into tasks.
        root: where imported datasets lie.
        left_out: classes that a dataset declares without having a training sample of them.
        test_images: of each dataset at most so many are scored; ``None``: all.
    """

    name: str
    concepts: tuple[Concept, ...]
    retention: tuple[str, ...]
    pool: tuple[str, ...] | None
    pool_size: int
    pool_window: int
    root: Path
    ordering: str = "given"
    chunks: str = "equal"
    left_out: tuple[Concept, ...] = ()
    test_images: int | None = None

    def __post_init__(self) -> None:
        check_choice("value of stream.chunks", self.chunks, CHUNKS)
        check_allowed(self.pool_size >= 0, f"stream.pool_size={self.pool_size}", "0 (no pretraining pool) and above")
        has_some = self.test_images is None or self.test_images >= 1
        check_allowed(has_some, f"stream.test_images={self.test_images}", "null (all) and 1 and above")
        refuse_repeated(self.concepts, f"stream '{self.name}'")

    @property
    def pool_datasets(self) -> tuple[str, ...]:
        """Names of the datasets that make up the pretraining pool, if any do."""
        return tuple(entry for entry in self.pool or () if not entry.endswith(".tar"))

    def datasets(self, names: Iterable[str]) -> dict[str, Dataset]:
        """Those of the named datasets that are there, by name; no image is drawn or decoded."""
        known = available(self.root)
        return {name: with_few(open_at(name, known[name]), self.test_images) for name in names if name in known}

    def opened(self, names: Iterable[str]) -> dict[str, Dataset]:
        """All of the named datasets, by name; those that are not there are refused at once."""
        return {name: with_few(each, self.test_images) for name, each in open_all(names, self.root).items()}

    def ordered(self, seed: int, facts: Facts | None = None) -> list[Concept]:
        """Every concept in the order of the stream."""
        return order(self.ordering, self.concepts, seed, facts or Facts())

    def tasks(self, num_tasks: int, seed: int) -> Tasks:
        """The concepts in order, cut into tasks."""
        return CHUNKS[self.chunks](self.ordered(seed), num_tasks)

    def checked(self, num_tasks: int, seed: int, split: str) -> Stream:
        """The stream without its pool. Whether it can be run is known before an image is drawn."""
        if not self.retention:
            raise FomoError(empty_list("retention"))
        stream = super().checked(num_tasks, seed, split)
        _refuse_untrained(stream)
        _refuse_unscored(stream, split)
        return stream

    def open_pool(self, split: str = "test") -> Samples | Shards | None:
        """The pretraining pool P of a run that is scored on ``split``; ``None``: there is none."""
        if self.pool is not None:
            return named_pool(self.pool, self.pool_window, partial(self._scored, split=split), self.retention)
        return pocket.open_pool(self.pool_size) if self.pool_size else None

    def draw_ahead(self, adapted: Sequence[str], held_out: Sequence[str], with_pool: bool = True) -> None:
        """Draw the pocket's images of these splits, and its pool where it is P, if they are not cached."""
        pocket.draw_ahead(self._splits(adapted, held_out), self._pocket_pool_size if with_pool else 0)

    def is_drawn(self, split: str) -> bool:
        """Whether all of the pocket's images that a run needs are cached."""
        return pocket.is_drawn(self._splits(("train", split), (split,)), self._pocket_pool_size)

    def num_training_samples(self) -> int:
        """Training samples of all datasets to adapt to; one that is not there counts as its declaration says."""
        declared = load()
        known = available(self.root)
        strangers = [name for name in self.adaptation if name not in known and name not in declared]
        if strangers:
            raise unknown("dataset", strangers[0], [*known, *declared])
        cards = {name: dataset.card for name, dataset in self.datasets(self.adaptation).items()}
        here = sum(card.num_samples.get("train", 0) for card in cards.values())
        return here + sum(declared[name].num_train for name in self.adaptation if name not in cards)

    @property
    def _pocket_pool_size(self) -> int:
        return self.pool_size if self.pool is None else 0

    def _splits(self, adapted: Sequence[str], held_out: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of a dataset and a split."""
        return [*product(self.adaptation, adapted), *product(self.retention, held_out)]


def empty_list(key: str) -> str:
    """What to do about an empty ``stream.adaptation`` or ``stream.retention``."""
    return (
        f"stream.{key} is empty: KA and ZS need a dataset in both lists. "
        f"Write stream.{key}=[NAME]; `fomo data list` shows the names."
    )


def _refuse_untrained(stream: Stream) -> None:
    missing = untrained(tuple(stream.concepts), stream.adaptation)
    if missing:
        raise FomoError(
            f"{len(missing)} concepts have no training sample, the first is '{missing[0]}'. "
            "`fomo stream verify` lists them: take them out of the stream."
        )


def _refuse_unscored(stream: Stream, split: str) -> None:
    """Every dataset needs a task to be scored on, and samples of the split."""
    taskless = [name for name, dataset in stream.datasets.items() if dataset.card.metric == "none"]
    if taskless:
        raise FomoError(
            f"dataset '{taskless[0]}' is of kind '{stream.datasets[taskless[0]].card.kind}': it has no task to be "
            "scored on. Take it out of the stream, or into stream.pool."
        )
    bare = [name for name, dataset in stream.datasets.items() if not dataset.card.num_samples.get(split)]
    if bare:
        validated = [name for name in bare if stream.datasets[name].card.num_samples.get("validation")]
        way = (
            f"evaluation=validation scores the validation samples of {', '.join(validated)}; imported from a folder "
            "`test` in place of `val` they are its test samples. Or take"
            if validated and split == "test"
            else "Take"
        )
        taken = ", nor training samples to take some from" if split == "validation" else ""
        raise FomoError(
            f"{len(bare)} of {len(stream.datasets)} datasets have no {split} samples{taken}: {', '.join(bare)}. "
            f"{way} them out of stream.adaptation and stream.retention{_rest(stream, bare)}."
        )


def _rest(stream: Stream, bare: Sequence[str]) -> str:
    """The retention sets that are left, to be copied, where some have to go."""
    kept = [name for name in stream.retention if name not in bare]
    return f": stream.retention=[{','.join(kept)}]" if 0 < len(kept) < len(stream.retention) else ""
