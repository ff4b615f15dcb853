"""The pocket's datasets by name, and how many samples each split has."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from streams.pocket.drawings.adaptation import ADAPTATION
from streams.pocket.drawings.digits import digits_split
from streams.pocket.drawings.generator import PocketDataset
from streams.pocket.drawings.pool import FAMILIES
from streams.pocket.drawings.retention import RETENTION

DATASETS: dict[str, PocketDataset] = {dataset.name: dataset for dataset in (*ADAPTATION, *RETENTION)}
PER_CLASS = {
    "adaptation": {"train": 60, "validation": 10, "test": 20},
    "retention": {"validation": 15, "test": 25},
}


def num_samples(name: str) -> dict[str, int]:
    """Split sizes of a dataset. Retention datasets have no training split: nothing may be trained on them."""
    dataset = DATASETS[name]
    if name == "pocket_digits":
        return {split: len(digits_split(split)[1]) for split in ("validation", "test")}
    return {split: count * len(dataset.classes) for split, count in PER_CLASS[dataset.role].items()}


def pool_targets(samples: Sequence[tuple[Image.Image, str, int, int]]) -> np.ndarray:
    """One number per family and label, int64 [n]: samples of one number show one concept.

    ``samples`` are as :func:`streams.pocket.drawings.pool.pool_sample` returns them.
    """
    first = np.cumsum([0] + [len(family.classes) for family in FAMILIES])
    return np.array([first[family] + label for _, _, family, label in samples])
