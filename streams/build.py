"""Builds a stream from names: datasets of the pocket, imported ones, single concepts."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset, present
from fomo.errors import FomoError, unknown
from fomo.stream import Concept, Stream, chunk
from streams.orderings import ORDERINGS
from streams.pocket import datasets as pocket
from streams.pools import named_pool


def available(root: Path) -> dict[str, Path | None]:
    """Every dataset that a stream may name: the folder of an imported one, ``None`` for one of the pocket's."""
    imported = present(root)
    both = set(imported) & set(pocket.names())
    if both:
        raise FomoError(f"'{imported[min(both)]}' has the name of a pocket dataset: import it under another --name.")
    return {**dict.fromkeys(pocket.names()), **imported}


def open_named(name: str, root: Path) -> Dataset:
    """A dataset by name."""
    known = available(root)
    if name not in known:
        raise unknown("dataset", name, known, f"Imported datasets are looked for in stream.root='{root}'.")
    folder = known[name]
    return pocket.open_pocket(name) if folder is None else open_dataset(folder)


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
    pool_window: int = 10_000,
) -> Stream:
    """A stream over ``adaptation``, a list of dataset names and of single concepts ``DATASET+++class``.

    ``pool_size`` samples of the pocket's pretraining pool are P (0: none), unless ``pool`` names other data, see
    :func:`streams.pools.named_pool`. Pictures of the pocket that are not cached yet are drawn here; ``split`` is the
    one that will be evaluated.
    """
    if ordering not in ORDERINGS:
        raise unknown("value of stream.ordering", ordering, ORDERINGS)
    _check_lists(adaptation, retention, pool_size)
    folder = Path(root)
    adapted = {entry.split("+++")[0]: open_named(entry.split("+++")[0], folder) for entry in adaptation}
    held_out = {entry: open_named(entry, folder) for entry in retention}
    concepts = [concept for entry in dict.fromkeys(adaptation) for concept in _concepts(entry, adapted)]
    tasks = chunk(ORDERINGS[ordering](concepts, seed), num_tasks)
    needed = [(n, s) for n in adapted for s in ("train", split)] + [(n, split) for n in held_out]
    named = None if pool is None else named_pool(pool, pool_window, partial(open_named, root=folder), held_out)
    drawn = pool_size if named is None else 0
    pocket.draw_ahead(needed, drawn)
    return Stream(name, tasks, adapted, held_out, pocket.open_pool(drawn) if drawn else named)


def _check_lists(adaptation: Sequence[str], retention: Sequence[str], pool_size: int) -> None:
    for key, entries in (("adaptation", adaptation), ("retention", retention)):
        if not entries:
            way_out = f"Write stream.{key}=[NAME]; `fomo data list` shows the names."
            raise FomoError(f"stream.{key} is empty: KA and ZS need a dataset in both lists. {way_out}")
    if pool_size < 0:
        raise FomoError(f"stream.pool_size={pool_size}: allowed are 0 (no pretraining pool) and above.")


def _concepts(entry: str, adapted: dict[str, Dataset]) -> list[Concept]:
    """The concept that ``entry`` names, or all classes of a dataset that have training samples."""
    name, _, class_name = entry.partition("+++")
    dataset = adapted[name]
    if class_name and class_name not in dataset.card.classes:
        raise unknown(f"class of dataset '{name}'", class_name, dataset.card.classes)
    if class_name:
        return [Concept(name, class_name)]
    if name in pocket.names():
        return [Concept(name, each) for each in dataset.card.classes]
    trained = np.unique(dataset.split("train").targets)
    return [Concept(name, dataset.card.classes[index]) for index in trained]
