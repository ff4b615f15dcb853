"""The pocket's datasets and its pretraining pool, as the benchmark sees them."""

from collections.abc import Iterable
from functools import partial

from fomo.data.card import DatasetCard
from fomo.data.samples import ArraySamples, Dataset
from streams.pocket import cache, sets

SOURCE = "drawn by streams.pocket"
DIGITS_SOURCE = "scikit-learn load_digits (UCI ML hand-written digits, test set), CC BY 4.0"


def names() -> list[str]:
    """All datasets of the pocket."""
    return list(sets.DATASETS)


def open_pocket(name: str) -> Dataset:
    """A dataset of the pocket; its pictures are drawn when a split is first opened."""
    dataset = sets.DATASETS[name]
    real = name == "pocket_digits"
    card = DatasetCard(
        name=name,
        classes=dataset.classes,
        templates=dataset.templates,
        num_samples=sets.num_samples(name),
        role=dataset.role,
        domain=dataset.domain,
        licence="CC BY 4.0" if real else "Apache-2.0",
        source=DIGITS_SOURCE if real else SOURCE,
    )
    return Dataset(card, partial(_open_split, name))


def _open_split(name: str, split: str) -> ArraySamples:
    return cache.open_array(cache.request(name, split))


def open_pool(size: int) -> ArraySamples:
    """The first ``size`` samples of the pretraining pool. Sample i is the same whatever the size."""
    return cache.open_array(cache.Request(cache.POOL, "train", size))


def draw_ahead(wanted: Iterable[tuple[str, str]], pool_size: int) -> int:
    """Draw the named (dataset, split) pairs and the pool over all cores, where they are not cached."""
    requests = [cache.request(name, split) for name, split in wanted if name in sets.DATASETS]
    if pool_size:
        requests.append(cache.Request(cache.POOL, "train", pool_size))
    return cache.draw_missing(requests)
