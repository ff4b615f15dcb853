"""A fixed part of each split for the scores on the way (Roth et al. 2024, arXiv 2408.14471, as their code draws it).

Of n samples of C classes it has min(n, max(300, 2·C, ⌊0.1·n⌋)): ⌊size/C⌋ of each class, all of a class that has
fewer, and the rest at random from what is left. In retrieval each image is a class of its own, so that 2·C is n or
more and the split is always whole. Which samples follows from the dataset, the split and a seed that is not the run's.
"""

import numpy as np

from fomo import rng
from fomo.data.joined import Joined, SplitPart
from fomo.data.samples import Dataset, Samples

SMALLEST = 300
PER_CLASS = 2
ONE_IN = 10


def size_of(num_samples: int, num_classes: int) -> int:
    """How many samples of a split the subset has."""
    return min(num_samples, max(SMALLEST, PER_CLASS * num_classes, num_samples // ONE_IN))


def rows_of(targets: np.ndarray, num_classes: int, draw: np.random.Generator) -> np.ndarray:
    """Numbers of the samples in the subset, rising.

    Args:
        targets: The class of each sample, -1 where it has none: int64 [n].
        num_classes: C, classes of the dataset, whether or not the split has samples of them.
        draw: What the samples are drawn from.
    """
    size = size_of(len(targets), num_classes)
    shuffled = draw.permutation(len(targets))
    by_class = shuffled[np.argsort(targets[shuffled], kind="stable")]
    ordered = targets[by_class]
    rank_in_class = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    is_taken = (rank_in_class < size // num_classes) & (ordered >= 0)
    rest = draw.permutation(by_class[~is_taken])[: size - int(is_taken.sum())]
    return np.sort(np.concatenate([by_class[is_taken], rest]))


def subset_of(dataset: Dataset, samples: Samples, split: str, seed: int) -> Samples:
    """The subset of a dataset's split, the split itself where that is all of it."""
    if dataset.card.kind == "retrieval":
        return samples
    draw = rng.generator("evaluation subset", seed, dataset.name, split)
    rows = rows_of(samples.targets, len(dataset.card.classes), draw)
    return samples if len(rows) == len(samples) else Joined((SplitPart(samples, rows),))
