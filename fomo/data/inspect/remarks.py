"""What concerns an imported dataset as a whole: classes that cannot be learned or scored, and very unequal ones."""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from fomo.data.card import PLAIN, SPLITS, DatasetCard
from fomo.data.importing.reference import SOURCE
from fomo.data.samples import Dataset
from fomo.data.shards import ShardSamples

UNEQUAL = 100
"""The largest class has so many times the training images of the smallest: worth saying."""
MAX_NAMED = 5
NUMBERED = re.compile(r"(n\d{8}|\d{2,})[ _.:,-]+[^\W\d_].*")
"""The name of a class behind its number or its identifier in WordNet: "001 Black footed Albatross"."""
IDENTIFIER = re.compile(r"[a-z]{0,2}\d+(\.0)?|(class|label|category|id)[ _-]?\d+", re.IGNORECASE)
"""The name of a class that says nothing to a model."""


def remarks(dataset: Dataset, learned: bool = True) -> list[str]:
    """Sentences on a dataset, for people; none where all is as usual. Most are on classification.

    ``learned``: it is to be trained on too, not only scored.
    """
    card = dataset.card
    if card.kind != "classification":
        return [*_of_decoding(card)]
    counts = {split: _per_class(dataset, split) for split in SPLITS}
    found = (_of_splits(card, learned), _of_classes(card, counts, learned), _of_images(dataset), _of_decoding(card))
    return [each for part in found for each in part]


def _per_class(dataset: Dataset, split: str) -> np.ndarray:
    """The number of images of each class: int64 [classes]."""
    targets = dataset.split(split).targets if dataset.card.num_samples.get(split) else np.array([], dtype=np.int64)
    return np.bincount(targets[targets >= 0], minlength=len(dataset.card.classes))


def _of_splits(card: DatasetCard, learned: bool) -> Iterator[str]:
    if len(card.classes) == 1:
        yield f"one class alone, '{card.classes[0]}': there is nothing to tell apart, every score is 100"
    if not card.num_samples.get("test"):
        part = ", evaluation=validation scores the validation images" if card.num_samples.get("validation") else ""
        yield f"no test images{part}; `--splits stratified` makes a split"
    if learned and not card.num_samples.get("train"):
        yield "no training images: the dataset can be scored, not learned"


def _of_classes(card: DatasetCard, counts: Mapping[str, np.ndarray], learned: bool) -> Iterator[str]:
    for split, what in (("train", "training"), ("test", "test")):
        empty = [card.classes[number] for number in np.flatnonzero(counts[split] == 0)]
        if empty and card.num_samples.get(split) and (learned or split != "train"):
            yield f"{len(empty)} of {len(card.classes)} classes without {what} images: {_named(empty)}"
    numbers = [match[1] for name in card.classes if (match := NUMBERED.fullmatch(name))]
    if len(numbers) == len(card.classes) and any(each[0] in "n0" for each in numbers):
        yield f"prompts say numbers or identifiers too ({_named(list(card.classes))}): `--classes FILE` names classes"
    if all(map(IDENTIFIER.fullmatch, card.classes)):
        yield f"prompts say numbers or identifiers ({_named(list(card.classes))}): `--classes FILE` names classes"
    train = counts["train"]
    some = np.flatnonzero(train)
    if len(some) and train.max() >= UNEQUAL * train[some].min():
        largest = card.classes[int(train.argmax())]
        smallest = card.classes[int(some[train[some].argmin()])]
        yield f"very unequal classes: {train.max()} training images of '{largest}', {train[some].min()} of '{smallest}'"


def _of_images(dataset: Dataset) -> Iterator[str]:
    """Shards made elsewhere are brought in as they are."""
    opened = {split: dataset.split(split) for split in SPLITS if dataset.card.num_samples.get(split)}
    shards = {split: samples for split, samples in opened.items() if isinstance(samples, ShardSamples)}
    labelled = [np.stack([samples.digests, samples.targets]) for samples in shards.values()]
    if labelled:
        labels = np.unique(np.concatenate(labelled, axis=1), axis=1)
        num_unclear = int((np.unique(labels[0], return_counts=True)[1] > 1).sum())
        if num_unclear:
            yield f"images that stand under more than one class: {num_unclear}"
    if "train" in shards and "test" in shards:
        num_known = int(np.isin(shards["test"].digests, shards["train"].digests).sum())
        if num_known:
            yield f"test images that are trained on, pixel for pixel: {num_known}"


def _of_decoding(card: DatasetCard) -> Iterator[str]:
    """Cards that an earlier version wrote say nothing of how images are read."""
    if card.source == SOURCE and card.decoding != PLAIN:
        yield "images are turned upright and laid on white, which the reference does not: import the dataset anew"


def _named(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
