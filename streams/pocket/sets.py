"""The pocket's datasets by name, and how many samples each split has."""

from collections.abc import Sequence

import numpy as np

from streams.pocket.drawings.adaptation import ADAPTATION
from streams.pocket.drawings.digits import digits_split
from streams.pocket.drawings.generator import PocketDataset
from streams.pocket.drawings.pool import FAMILIES, PoolSample
from streams.pocket.drawings.retention import RETENTION

DATASETS: dict[str, PocketDataset] = {dataset.name: dataset for dataset in (*ADAPTATION, *RETENTION)}
SIZES = {
    "adaptation": {"train": 60, "validation": 30},
    "retention": {"validation": 40},
}
"""Samples of each class."""
TEST_SIZES = {"adaptation": 750, "retention": 1500}
"""Test samples of each dataset, at least: the standard errors of KA and ZS are at most half a point."""


def num_samples(name: str) -> dict[str, int]:
    """Split sizes of a dataset. Retention datasets have no training split: nothing may be trained on them."""
    dataset = DATASETS[name]
    if name == "pocket_digits":
        return {split: len(digits_split(split)[1]) for split in ("validation", "test")}
    num_classes = len(dataset.classes)
    per_class = {**SIZES[dataset.role], "test": -(-TEST_SIZES[dataset.role] // num_classes)}
    return {split: count * num_classes for split, count in per_class.items()}


_FIRST_TARGETS = np.cumsum([0] + [len(family.classes) for family in FAMILIES])


def pool_targets(samples: Sequence[PoolSample]) -> np.ndarray:
    """One number per family and label, int64 [n]: samples of one number show one concept."""
    return np.array([_FIRST_TARGETS[sample.family] + sample.label for sample in samples])


def pool_families(targets: np.ndarray) -> np.ndarray:
    """The family of each of :func:`pool_targets`: its position in ``FAMILIES``, int64 [n]."""
    return np.searchsorted(_FIRST_TARGETS, targets, side="right") - 1
