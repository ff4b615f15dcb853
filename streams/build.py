"""Builds a stream from names: datasets of the pocket, imported ones, single concepts, or a stream file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fomo.config.parts import build
from fomo.data.samples import Dataset
from fomo.errors import FomoError, unknown
from fomo.stream.definition import Concept, Stream
from streams.catalogue import load
from streams.opening import available, concepts_of, open_all, open_at, with_training
from streams.orderings import Facts, check_ordering, check_ordering_name
from streams.plan import Plan, empty_list
from streams.pocket import datasets as pocket
from streams.stream_files import read_concepts

POCKET_POOL_SIZE, POOL_WINDOW = 16_000, 10_000


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
            raise FomoError(empty_list(key))
    datasets = open_all((entry.split("+++")[0] for entry in adaptation), Path(root))
    open_all(retention, Path(root))
    whole = {entry: with_training(datasets[entry]) for entry in adaptation if entry in datasets}
    bare = [name for name, concepts in whole.items() if not concepts]
    if bare:
        raise FomoError(f"stream.adaptation={list(adaptation)}: no class of '{bare[0]}' has a training sample.")
    listed = [c for entry in dict.fromkeys(adaptation) for c in _concepts(entry, datasets, whole)]
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
    plan: Plan = build("stream", {**node, "_target_": PLANNERS[target]}, allow=("streams",))
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


def _held_out(named: set[str], root: Path) -> list[str]:
    with_pocket = bool(named & set(pocket.names()))
    known = {
        name: folder
        for name, folder in available(root).items()
        if folder is not None or (with_pocket and name in pocket.names())
    }
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
