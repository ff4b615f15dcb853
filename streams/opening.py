"""Finds and opens datasets by name: the pocket's, and imported ones below a root."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fomo import rng
from fomo.config.plugins import Plugin, described, named
from fomo.data.joined import Joined, SplitPart
from fomo.data.samples import Dataset, Samples
from fomo.data.shards import open_dataset, present
from fomo.errors import FomoError, unknown
from fomo.stream.definition import Concept
from streams.pocket import datasets as pocket


def available(root: Path) -> dict[str, Path | None]:
    """Every dataset that a stream may name: the folder of an imported one, ``None`` for the pocket's and plug-ins'.

    Raises:
        FomoError: an imported dataset has the name of one of the pocket's.
    """
    imported = present(root)
    both = set(imported) & set(pocket.names())
    if both:
        raise FomoError(f"'{imported[min(both)]}' has the name of a pocket dataset: import it under another --name.")
    plugged = named("datasets", [*pocket.names(), *imported])
    return {**dict.fromkeys([*pocket.names(), *plugged]), **imported}


def open_named(name: str, root: Path) -> Dataset:
    """The dataset of a name: the pocket's, one below ``root``, or a plug-in's.

    Raises:
        FomoError: there is none of that name.
    """
    return open_all([name], root)[name]


def open_all(names: Iterable[str], root: Path) -> dict[str, Dataset]:
    """Datasets by name.

    Raises:
        FomoError: some are not there; it names them all at once.
    """
    known = available(root)
    names = list(dict.fromkeys(names))
    absent = [name for name in names if name not in known]
    way_out = f"Imported datasets are looked for in stream.root='{root}'."
    if any(map(os.path.isdir, absent)):
        way_out += (
            ' A folder of data becomes one by `fomo data import`; a pool may be tar files: ["FOLDER/{0..9}.tar"].'
        )
    if len(absent) == 1:
        raise unknown("dataset", absent[0], known, way_out)
    if absent:
        shown = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
        raise FomoError(f"{len(absent)} of {len(names)} datasets are not there: {shown}. {way_out}")
    return {name: open_at(name, known[name]) for name in names}


def open_at(name: str, folder: Path | None) -> Dataset:
    """The dataset ``name``, whose ``folder`` :func:`available` found."""
    if folder is not None:
        return open_dataset(folder)
    return pocket.open_pocket(name) if name in pocket.names() else _plugged(named("datasets")[name])


def with_few(dataset: Dataset, test_images: int | None) -> Dataset:
    """A dataset with at most ``test_images`` test samples, drawn at random, in every run the same."""
    num_samples = dataset.card.num_samples.get("test", 0)
    if test_images is None or num_samples <= test_images:
        return dataset
    card = replace(dataset.card, num_samples={**dataset.card.num_samples, "test": test_images})
    rows = np.sort(rng.generator("test images", dataset.name).permutation(num_samples)[:test_images])
    return Dataset(card, partial(_split_of_few, dataset, rows))


def _split_of_few(dataset: Dataset, rows: np.ndarray, split: str) -> Samples:
    samples = dataset.split(split)
    return Joined((SplitPart(samples, rows),)) if split == "test" else samples


def _plugged(plugin: Plugin) -> Dataset:
    """The dataset that a plug-in's function returns; it has the plug-in's name."""
    make = plugin.load()
    try:
        dataset = make()
    except FomoError:
        raise
    except Exception as error:  # whatever a plug-in's code raises
        raise FomoError(f"{plugin}: {described(error, make)}") from error
    if not isinstance(dataset, Dataset) or dataset.name != plugin.name:
        what = f"dataset '{dataset.name}'" if isinstance(dataset, Dataset) else type(dataset).__name__
        raise FomoError(f"{plugin} returned the {what}: a fomo.data.samples.Dataset named '{plugin.name}' is expected.")
    return dataset


def concepts_of(dataset: Dataset) -> list[Concept]:
    """All classes that a dataset declares."""
    return [Concept(dataset.name, each) for each in dataset.card.classes]


def train_counts(dataset: Dataset) -> np.ndarray:
    """Training samples of each class that a dataset declares: int64 [c]. Nothing is drawn to know it."""
    classes = dataset.card.classes
    total = dataset.card.num_samples.get("train", 0)
    if not total or dataset.name in pocket.names():  # the classes of a pocket dataset are of one size
        return np.full(len(classes), total // max(1, len(classes)))
    targets = dataset.split("train").targets
    return np.bincount(targets[targets >= 0], minlength=len(classes))


def with_training(dataset: Dataset) -> list[Concept]:
    """The concepts of a dataset that have training samples."""
    return [concept for concept, count in zip(concepts_of(dataset), train_counts(dataset), strict=True) if count]


def untrained(concepts: Sequence[Concept], datasets: Mapping[str, Dataset]) -> list[Concept]:
    """Those of ``concepts`` whose dataset is among ``datasets`` and has no training sample of them."""
    here = [concept for concept in concepts if concept.dataset in datasets]
    trained = {each for name in {concept.dataset for concept in here} for each in with_training(datasets[name])}
    return [concept for concept in here if concept not in trained]
