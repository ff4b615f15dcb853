"""Builds a stream from names: datasets of the pocket, imported ones, single concepts, or a stream file.

A :class:`Plan` is a stream before its data: it can be ordered, shown and written where no picture lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import Shards
from fomo.errors import FomoError, unknown
from fomo.parts import build
from fomo.stream import Concept, Stream, chunk, chunk_by_dataset, refuse_repeated
from streams.catalogue import load
from streams.opening import available, concepts_of, open_all, open_at, open_named, untrained, with_training
from streams.orderings import Facts, check_ordering, check_ordering_name, order
from streams.pocket import datasets as pocket
from streams.pools import named_pool
from streams.reference import read_concepts

CHUNKS = {"equal": chunk, "dataset": chunk_by_dataset}
POCKET_POOL_SIZE, POOL_WINDOW = 16_000, 10_000
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
        if not self.retention:
            raise FomoError(_empty("retention"))
        tasks = self.tasks(num_tasks, seed)
        adapted, held_out = open_all(self.adaptation, self.root), open_all(self.retention, self.root)
        stream = Stream(self.name, tasks, adapted, held_out, None)
        _refuse_untrained(self.concepts, adapted)
        self.draw_ahead(("train", split), (split,))
        return replace(stream, pool=self.open_pool())

    def draw_ahead(self, adapted: Sequence[str], held_out: Sequence[str]) -> None:
        """Draw the pocket's pictures of these splits, and its pool where it is P, if they are not cached."""
        splits = [(name, each) for name in self.adaptation for each in adapted]
        splits += [(name, each) for name in self.retention for each in held_out]
        drawn = {name: pocket.open_pocket(name).card for name, _ in splits if name in pocket.names()}
        wanted = [(name, each) for name, each in splits if name in drawn and drawn[name].num_samples.get(each)]
        pocket.draw_ahead(wanted, self.pool_size if self.pool is None else 0)

    def open_pool(self) -> Samples | Shards | None:
        """The pretraining pool P."""
        if self.pool is not None:
            return named_pool(self.pool, self.pool_window, partial(open_named, root=self.root), self.retention)
        return pocket.open_pool(self.pool_size) if self.pool_size else None


def plan_named(
    name: str,
    adaptation: Sequence[str],
    retention: Sequence[str],
    pool_size: int,
    ordering: str,
    root: str,
    pool: Sequence[str] | None = None,
    chunks: str = "equal",
    pool_window: int = POOL_WINDOW,
) -> Plan:
    """A plan over ``adaptation``, a list of dataset names and of single concepts ``DATASET+++class``."""
    check_ordering_name(ordering)
    for key, entries in (("adaptation", adaptation), ("retention", retention)):
        _check_list(key, entries)
        if not entries:
            raise FomoError(_empty(key))
    datasets = open_all((entry.split("+++")[0] for entry in adaptation), Path(root))
    open_all(retention, Path(root))
    whole = {entry: with_training(datasets[entry]) for entry in adaptation if entry in datasets}
    listed = [c for entry in dict.fromkeys(adaptation) for c in _concepts(entry, datasets, whole)]
    if not listed:
        raise FomoError(f"stream.adaptation={list(adaptation)}: no class of it has a training sample.")
    used = {concept for concepts in whole.values() for concept in concepts}
    left_out = [concept for name in whole for concept in concepts_of(datasets[name]) if concept not in used]
    pool_data = (_pool_names(pool), pool_size, pool_window)
    return Plan(name, tuple(listed), tuple(retention), *pool_data, ordering, chunks, Path(root), tuple(left_out))


def plan_file(
    name: str,
    path: str,
    root: str,
    retention: Sequence[str] | None = None,
    pool: Sequence[str] | None = None,
    pool_size: int | None = None,
    ordering: str = "given",
    chunks: str = "equal",
    pool_window: int = POOL_WINDOW,
) -> Plan:
    """A plan over the concepts of a stream file.

    ``retention=None`` holds out every dataset of that role that is there and that the file does not name: those below
    ``root``, and the pocket's where the file names pocket datasets. ``pool_size=None`` is the size of the pocket
    stream's pool where the file names pocket datasets alone, else 0.
    """
    check_ordering_name(ordering)
    concepts = read_concepts(Path(path))
    named = {concept.dataset for concept in concepts}
    if retention is None:
        retention = _held_out(named, Path(root))
    _check_list("retention", retention)
    if pool_size is None:
        pool_size = POCKET_POOL_SIZE if named <= set(pocket.names()) else 0
    pool_data = (_pool_names(pool), pool_size, pool_window)
    return Plan(name, concepts, tuple(retention), *pool_data, ordering, chunks, Path(root))


def build_stream(
    name: str,
    adaptation: Sequence[str],
    retention: Sequence[str],
    pool_size: int,
    ordering: str,
    root: str,
    num_tasks: int,
    seed: int,
    split: str = "test",
    pool: Sequence[str] | None = None,
    chunks: str = "equal",
    pool_window: int = POOL_WINDOW,
) -> Stream:
    """The stream of :func:`plan_named`, opened."""
    check_ordering(ordering, Facts())
    plan = plan_named(name, adaptation, retention, pool_size, ordering, root, pool, chunks, pool_window)
    return plan.open(num_tasks, seed, split)


def file_stream(
    name: str,
    path: str,
    root: str,
    num_tasks: int,
    seed: int,
    split: str = "test",
    retention: Sequence[str] | None = None,
    pool: Sequence[str] | None = None,
    pool_size: int | None = None,
    ordering: str = "given",
    chunks: str = "equal",
    pool_window: int = POOL_WINDOW,
) -> Stream:
    """The stream of :func:`plan_file`, opened."""
    check_ordering(ordering, Facts())
    plan = plan_file(name, path, root, retention, pool, pool_size, ordering, chunks, pool_window)
    return plan.open(num_tasks, seed, split)


PLANNERS = {"streams.build_stream": "streams.plan_named", "streams.file_stream": "streams.plan_file"}
"""Which function plans what another one opens."""


def planned(node: Mapping[str, Any]) -> Plan:
    """The plan of the stream that a configuration describes."""
    target = node.get("_target_")
    if target not in PLANNERS:
        raise unknown("stream._target_ that can be planned", target, PLANNERS)
    plan: Plan = build("stream", {**node, "_target_": PLANNERS[target]})
    return plan


def num_training_samples(node: Mapping[str, Any]) -> int:
    """Training samples of the datasets that a stream's configuration adapts to; nothing is drawn or decoded.

    A dataset that is not there counts as its declaration says.
    """
    plan = planned(node)
    known, declared = available(plan.root), load()
    absent = [name for name in plan.adaptation if name not in known]
    strangers = [name for name in absent if name not in declared]
    if strangers:
        raise unknown("dataset", strangers[0], [*known, *declared])
    cards = [dataset.card for dataset in open_all(set(plan.adaptation) - set(absent), plan.root).values()]
    here = sum(card.num_samples.get("train", 0) for card in cards)
    return here + sum(declared[name].num_train for name in absent)


def _check_list(key: str, entries: object) -> None:
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not all(isinstance(e, str) for e in entries):
        raise FomoError(f"stream.{key}={entries}: a list of names is expected: stream.{key}=[NAME].")


def _pool_names(pool: Sequence[str] | None) -> tuple[str, ...] | None:
    if pool is None:
        return None
    if isinstance(pool, str) or not all(isinstance(entry, str) for entry in pool):
        raise FomoError(f"stream.pool={pool}: give a list: stream.pool=[NAME].")
    return tuple(pool)


def _empty(key: str) -> str:
    way_out = f"Write stream.{key}=[NAME]; `fomo data list` shows the names."
    return f"stream.{key} is empty: KA and ZS need a dataset in both lists. {way_out}"


def _held_out(named: set[str], root: Path) -> list[str]:
    with_pocket = bool(named & set(pocket.names()))
    known = {name: folder for name, folder in available(root).items() if folder is not None or with_pocket}
    roles = {name: open_at(name, folder).card.role for name, folder in known.items() if name not in named}
    return [name for name, role in roles.items() if role == "retention"]


def _concepts(entry: str, datasets: Mapping[str, Dataset], whole: Mapping[str, Sequence[Concept]]) -> Sequence[Concept]:
    """The concept that ``entry`` names, or all of a dataset."""
    if entry in whole:
        return whole[entry]
    concept = Concept.parse(entry)
    classes = datasets[concept.dataset].card.classes
    if concept.name not in classes:
        raise unknown(f"class of dataset '{concept.dataset}'", concept.name, classes)
    return [concept]


def _refuse_untrained(concepts: Sequence[Concept], datasets: Mapping[str, Dataset]) -> None:
    missing = untrained(concepts, datasets)
    if missing:
        way_out = "`fomo stream verify` lists them: take them out of the stream."
        raise FomoError(f"{len(missing)} concepts have no training sample, the first is '{missing[0]}'. {way_out}")
