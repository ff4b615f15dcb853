"""Finds and opens datasets by name: the pocket's, and imported ones below a root."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fomo.config.plugins import Plugin, described, named
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset, present
from fomo.data.validation import with_validation
from fomo.errors import FomoError, unknown
from fomo.stream.definition import Concept
from streams.pocket import datasets as pocket


def available(root: Path) -> dict[str, Path | None]:
    """Every dataset that a stream may name: the folder of an imported one, ``None`` for the pocket's and plug-ins'."""
    imported = present(root)
    both = set(imported) & set(pocket.names())
    if both:
        raise FomoError(f"'{imported[min(both)]}' has the name of a pocket dataset: import it under another --name.")
    plugged = named("datasets", [*pocket.names(), *imported])
    return {**dict.fromkeys([*pocket.names(), *plugged]), **imported}


def open_named(name: str, root: Path) -> Dataset:
    """A dataset by name."""
    return open_all([name], root)[name]


def open_all(names: Iterable[str], root: Path) -> dict[str, Dataset]:
    """Datasets by name; all that are not there are named at once."""
    known, names = available(root), list(dict.fromkeys(names))
    absent = [name for name in names if name not in known]
    way_out = f"Imported datasets are looked for in stream.root='{root}'."
    if len(absent) == 1:
        raise unknown("dataset", absent[0], known, way_out)
    if absent:
        shown = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
        raise FomoError(f"{len(absent)} of {len(names)} datasets are not there: {shown}. {way_out}")
    return {name: open_at(name, known[name]) for name in names}


def open_scored(names: Iterable[str], root: Path, split: str) -> dict[str, Dataset]:
    """Datasets by name for a run that is scored on ``split``: where it is validation, all hold out some samples."""
    datasets = open_all(names, root)
    return {name: with_validation(each) for name, each in datasets.items()} if split == "validation" else datasets


def open_at(name: str, folder: Path | None) -> Dataset:
    """A dataset where :func:`available` found it."""
    if folder is not None:
        return open_dataset(folder)
    return pocket.open_pocket(name) if name in pocket.names() else _plugged(named("datasets")[name])


def _plugged(plugin: Plugin) -> Dataset:
    """What a plug-in's function gives: a dataset of its own name."""
    make = plugin.load()
    try:
        dataset = make()
    except FomoError:
        raise
    except Exception as error:  # whatever a plug-in's code raises
        raise FomoError(f"{plugin}: {described(error, make)}") from error
    if not isinstance(dataset, Dataset) or dataset.name != plugin.name:
        what = f"dataset '{dataset.name}'" if isinstance(dataset, Dataset) else type(dataset).__name__
        raise FomoError(f"{plugin} gave the {what}: a fomo.data.samples.Dataset named '{plugin.name}' is expected.")
    return dataset


def concepts_of(dataset: Dataset) -> list[Concept]:
    """All classes that a dataset declares."""
    return [Concept(dataset.name, each) for each in dataset.card.classes]


def with_training(dataset: Dataset) -> list[Concept]:
    """The classes of a dataset that have training samples."""
    classes = concepts_of(dataset)
    if not dataset.card.num_samples.get("train"):
        return []
    if dataset.name in pocket.names():  # all of them, and no picture has to be drawn to know it
        return classes
    trained = np.unique(dataset.split("train").targets)
    return [classes[index] for index in trained if index >= 0]


def untrained(concepts: Sequence[Concept], datasets: Mapping[str, Dataset]) -> list[Concept]:
    """Concepts of ``datasets`` that have no training sample there."""
    names = dict.fromkeys(concept.dataset for concept in concepts if concept.dataset in datasets)
    trained = {concept for name in names for concept in with_training(datasets[name])}
    return [concept for concept in concepts if concept.dataset in datasets and concept not in trained]
