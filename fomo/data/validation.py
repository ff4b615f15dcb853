"""A validation part for datasets that come without one, as those of the public reference do.

Test data chooses nothing, so settings are chosen on a part of the training split: a tenth of every class, at least one
sample where a class has two. It is drawn by the dataset's name alone, the same in every run, whatever its seed. Only a
run that is scored on the validation split holds it out; a run that is scored on the test split trains on all of it.
"""

from dataclasses import replace

import numpy as np

from fomo import rng
from fomo.data.joined import Joined, SplitPart
from fomo.data.samples import Dataset, Samples

ONE_IN = 10
NOTE = "validation: a seeded tenth of the training split"


def with_validation(dataset: Dataset) -> Dataset:
    """The dataset with a tenth of its training samples as its validation split.

    A dataset that has a validation split, or has no training samples, is returned as it is.
    """
    card = dataset.card
    if card.num_samples.get("validation") or not card.num_samples.get("train"):
        return dataset
    samples = dataset.split("train")
    held_out = validation_rows(samples.targets, card.name)
    rows = {"train": np.setdiff1d(np.arange(len(samples)), held_out), "validation": held_out}

    def opened(split: str) -> Samples:
        return Joined((SplitPart(samples, rows[split]),)) if split in rows else dataset.split(split)

    sizes = {**card.num_samples, **{split: len(chosen) for split, chosen in rows.items()}}
    source = f"{card.source}; {NOTE}" if card.source else NOTE
    return Dataset(replace(card, num_samples=sizes, source=source), opened)


def validation_rows(targets: np.ndarray, name: str) -> np.ndarray:
    """Rows of the validation part, ascending: int64 [k].

    ``targets`` [n] are the classes of the training samples; those without a class (-1) count as one class. ``name`` is
    the dataset's.
    """
    by_class = np.lexsort((rng.generator("validation part", name).random(len(targets)), targets))
    ordered = targets[by_class]
    first, stop = (np.searchsorted(ordered, ordered, side=side) for side in ("left", "right"))
    wanted = np.maximum((stop - first) // ONE_IN, 1) * (stop - first > 1)
    return np.sort(by_class[np.arange(len(targets)) - first < wanted])
