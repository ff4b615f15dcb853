"""The three pools that a batch is drawn from: P (pretraining), D_t (the task's new data), B (all earlier D)."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fomo.data.card import DatasetCard
from fomo.data.drawn import Drawn
from fomo.data.joined import Joined, SplitPart, primer_prompts
from fomo.data.samples import CAPTION_KINDS, Dataset
from fomo.data.sequential import SequentialPool, Shards
from fomo.errors import FomoError, unknown
from fomo.stream.buffer import Buffer
from fomo.stream.definition import Stream, StreamNames

POOLS = ("pretraining", "update", "buffer")
"""Names of P, D_t and B, in the order in which a batch has their samples."""
UNNAMED = "pretraining"
"""The name of a pretraining pool that is no named dataset."""


@dataclass(frozen=True)
class Captions:
    """Which kind of captions P and D_t train on, B taking what D_t took.

    ``None``: the default captions. A sample that lacks its kind takes the primer prompt of its class.

    Raises:
        FomoError: an unknown kind.
    """

    pretraining: str | None = None
    update: str | None = None

    def __post_init__(self) -> None:
        for name, kind in (("pretraining", self.pretraining), ("update", self.update)):
            if kind is not None and kind not in CAPTION_KINDS:
                raise unknown(f"value of captions.{name}", kind, CAPTION_KINDS, "null takes the training texts.")


@dataclass(frozen=True)
class Pool:
    """Some of ``samples``, by reference."""

    samples: Joined
    rows: np.ndarray | range
    """Numbers of those samples in ``samples``."""
    kind: str | None = None
    """Of the captions; ``None``: those to train on."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self)

    def draw(self, index: int) -> Drawn:
        """The sample ``index`` of the pool, to train on.

        Raises:
            FomoError: it has no caption, or cannot be read.
        """
        row = int(self.rows[index])
        image = self.samples.image(row)
        captions = self.samples.captions(row, self.kind)
        if not captions:
            raise FomoError(f"sample {row} has no {self.kind or 'training'} caption and no class prompt.")
        return Drawn(image, captions, source=self.samples.source(row))


AnyPool = Pool | SequentialPool


@dataclass(frozen=True)
class StreamPools:
    """P, and all D laid end to end in the order of the tasks: D_t is a piece of it, B what stands before that piece."""

    pretraining: AnyPool
    line: Joined
    """All D."""
    edges: np.ndarray
    """The sample of the line with which each task begins, and the length of the line: int64 [tasks + 1]."""
    seed: int
    buffer: Buffer
    captions: Captions
    names: StreamNames
    """What the numbers of a sample's source stand for."""

    @classmethod
    def of(cls, stream: Stream, seed: int, buffer: Buffer, captions: Captions) -> "StreamPools":
        """Group the training samples of the adaptation datasets by the task of their class.

        Args:
            stream: what is learned.
            seed: of the run; it chooses what a bounded buffer keeps, and the order of a pool that is read in sequence.
            buffer: what B keeps.
            captions: which kinds of captions P and D_t train on.

        Raises:
            FomoError: a task has no training sample, or a dataset lacks the kind of captions.
        """
        parts: list[list[SplitPart]] = [[] for _ in stream.tasks]
        first_class = 0
        for number, (name, dataset) in enumerate(stream.adaptation.items()):
            _check_kind(dataset.card, "update", captions.update)
            for task, part in _parts(dataset, stream.class_tasks[name], first_class):
                parts[task - 1].append(replace(part, dataset=number, labels=stream.class_labels[name]))
            first_class += len(dataset.card.classes)
        _refuse_empty(stream, parts)
        line = Joined(tuple(part for task in parts for part in task))
        edges = np.cumsum([0] + [sum(len(part.rows) for part in task) for task in parts])
        names = StreamNames(_dataset_names(stream), stream.tasks)
        pretraining = _pretraining(stream, seed, captions.pretraining, names.datasets)
        return cls(pretraining, line, edges, seed, buffer, captions, names)

    @cached_property
    def updates(self) -> tuple[Pool, ...]:
        """D_t of every task (from 0), each a piece of the line."""
        edges = itertools.pairwise(map(int, self.edges))
        return tuple(Pool(self.line, range(start, stop), self.captions.update) for start, stop in edges)

    @property
    def update_sizes(self) -> list[int]:
        """|D_t| of every task."""
        return [int(size) for size in np.diff(self.edges)]

    def of_task(self, task: int) -> dict[str, AnyPool]:
        """The pools of task ``task`` (from 1), by name. The cost does not depend on the number of tasks."""
        start = int(self.edges[task - 1])
        # A bounded buffer alone needs the classes, at the cost of a look at every sample.
        limited = self.buffer.capacity is not None
        kept = self.buffer.kept(self.seed, self.line.targets[:start]) if limited else range(start)
        earlier = Pool(self.line, kept, self.captions.update)
        return dict(zip(POOLS, (self.pretraining, self.updates[task - 1], earlier), strict=True))


def _parts(dataset: Dataset, class_tasks: np.ndarray, first_class: int) -> Iterator[tuple[int, SplitPart]]:
    """The training rows of each task that uses the dataset, ascending."""
    samples = dataset.split("train")
    prompts = primer_prompts(dataset)
    # The appended 0 is what -1 finds: a sample without a class belongs to no task.
    tasks = np.append(class_tasks, 0)[samples.targets]
    by_task = np.argsort(tasks, kind="stable")
    numbers, starts = np.unique(tasks[by_task], return_index=True)
    for task, rows in zip(numbers, np.split(by_task, starts[1:]), strict=True):
        if task > 0:
            yield int(task), SplitPart(samples, rows, prompts, first_class, task=int(task))


def _pool_parts(stream: Stream) -> tuple[SplitPart, ...]:
    """The parts of a pretraining pool that is not read in sequence."""
    pool = stream.pool
    if pool is None or isinstance(pool, Shards):
        return ()
    return pool.parts if isinstance(pool, Joined) else (SplitPart(pool, range(len(pool))),)


def _name_of(part: SplitPart) -> str:
    return UNNAMED if part.card is None else part.card.name


def _dataset_names(stream: Stream) -> tuple[str, ...]:
    pool = [UNNAMED] if isinstance(stream.pool, Shards) else [_name_of(part) for part in _pool_parts(stream)]
    return tuple(dict.fromkeys([*stream.adaptation, *pool]))


def _pretraining(stream: Stream, seed: int, kind: str | None, datasets: Sequence[str]) -> AnyPool:
    if isinstance(stream.pool, Shards):
        return SequentialPool(stream.pool, seed, kind, datasets.index(UNNAMED))
    pool = Joined(tuple(replace(part, dataset=datasets.index(_name_of(part))) for part in _pool_parts(stream)))
    for part in pool.parts:
        if part.card is not None:
            _check_kind(part.card, "pretraining", kind)
    if kind is not None and len(pool) and not pool.captions(0, kind):
        raise FomoError(f"captions.pretraining={kind}: the first sample of the pretraining pool has no such caption.")
    return Pool(pool, range(len(pool)), kind)


def _check_kind(card: DatasetCard, pool: str, kind: str | None) -> None:
    """Refuse a kind of captions that no sample of a dataset has; class prompts are of the kind "primer"."""
    have = {*(card.caption_kinds or ("default",)), *(("primer",) if card.templates else ())}
    if kind is not None and kind not in have:
        raise unknown(f"caption kind of dataset '{card.name}'", kind, have, f"Choose captions.{pool} among them.")


def _refuse_empty(stream: Stream, parts: list[list[SplitPart]]) -> None:
    for number, task in enumerate(parts, start=1):
        if not task:
            shown = ", ".join(str(concept) for concept in stream.tasks[number - 1][:3])
            raise FomoError(f"task {number} has no training sample: its concepts are {shown}, …")
