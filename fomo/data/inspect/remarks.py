"""What concerns an imported dataset as a whole: classes that cannot be learned or scored, and very unequal ones."""

from collections.abc import Iterator, Mapping

import numpy as np

from fomo.data.card import SPLITS, DatasetCard
from fomo.data.samples import Dataset

UNEQUAL = 100
"""The largest class has so many times the training images of the smallest: worth saying."""
MAX_NAMED = 5


def remarks(dataset: Dataset, learned: bool = True) -> list[str]:
    """Sentences on a classification dataset, for people; none where all is as usual.

    ``learned``: it is to be trained on too, not only scored.
    """
    card = dataset.card
    if card.kind != "classification":
        return []
    counts = {split: _per_class(dataset, split) for split in SPLITS}
    return [*_of_splits(card, learned), *_of_classes(card, counts, learned)]


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
    train = counts["train"]
    some = np.flatnonzero(train)
    if len(some) and train.max() >= UNEQUAL * train[some].min():
        largest = card.classes[int(train.argmax())]
        smallest = card.classes[int(some[train[some].argmin()])]
        yield f"very unequal classes: {train.max()} training images of '{largest}', {train[some].min()} of '{smallest}'"


def _named(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
