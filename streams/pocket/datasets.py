"""The pocket's datasets and its pretraining pool, as the benchmark sees them."""

from collections.abc import Iterable
from functools import partial

from fomo.data.card import DatasetCard
from fomo.data.samples import ArraySamples, Dataset
from streams.pocket import cache, sets

SOURCE = "drawn by streams.pocket"
DIGITS_SOURCE = "scikit-learn load_digits (UCI ML hand-written digits, test set), CC BY 4.0"


def names() -> list[str]:
    """Names of all datasets of the pocket."""
    return list(sets.DATASETS)


def open_pocket(name: str) -> Dataset:
    """A dataset of the pocket; its images are drawn when a split is first opened."""
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
    return cache.open_array(_pool_request(size))


def draw_ahead(wanted: Iterable[tuple[str, str]], pool_size: int) -> int:
    """Draw splits and the pool over all cores, where they are not cached. Returns the number of arrays drawn.

    ``wanted`` are pairs of a dataset and a split; those that the pocket does not have are passed over. ``pool_size`` is
    in samples, 0 for no pool.
    """
    return cache.draw_missing(_requests(wanted, pool_size))


def is_drawn(wanted: Iterable[tuple[str, str]], pool_size: int) -> bool:
    """Whether :func:`draw_ahead` would have nothing to draw."""
    return all(request.folder.exists() for request in _requests(wanted, pool_size))


def _requests(wanted: Iterable[tuple[str, str]], pool_size: int) -> list[cache.DrawingRequest]:
    known = [(name, split) for name, split in wanted if name in sets.DATASETS and split in sets.num_samples(name)]
    requests = [cache.request(name, split) for name, split in known]
    return [*requests, _pool_request(pool_size)] if pool_size else requests


def _pool_request(size: int) -> cache.DrawingRequest:
    return cache.DrawingRequest(cache.POOL, "train", size)
