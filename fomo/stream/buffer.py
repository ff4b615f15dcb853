"""What a bounded buffer B keeps of the samples seen so far.

Each policy is a pure function of (seed, samples seen): nothing is carried from task to task, so that a run resumes
without state. All could be kept by a real buffer, which sees a sample once: what is dropped never comes back.
Samples are numbered in the order of their tasks.

- ``reservoir``: every sample seen is kept with the same probability capacity/n. The smallest of seeded keys, one per
  sample, are what Vitter's algorithm R (1985, doi 10.1145/3147.3165) draws one by one.
- ``class_balanced``: as many of each class as of any other, to one, while a class has them; within it a reservoir.
  As in GDumb (Prabhu et al. 2020, doi 10.1007/978-3-030-58536-5_31), with a seeded choice in place of the first seen.
- ``ring``: the latest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fomo import rng
from fomo.errors import check_allowed, check_choice


@dataclass(frozen=True)
class Buffer:
    """How much B holds, and what it keeps.

    Raises:
        FomoError: an unknown policy, a capacity below 1.
    """

    capacity: int | None = None
    """Samples of earlier tasks; ``None``: all."""
    policy: str = "reservoir"
    """One of :data:`POLICIES`."""

    def __post_init__(self) -> None:
        check_choice("value of buffer.policy", self.policy, POLICIES)
        check_allowed(
            self.capacity is None or self.capacity >= 1,
            f"buffer.capacity={self.capacity}",
            "1 and above (samples), or null for all; mixture.buffer=0 trains without a buffer",
        )

    def kept(self, seed: int, classes: np.ndarray) -> np.ndarray | range:
        """Numbers of the samples that are kept, ascending: int64 [k].

        ``classes`` [n], from 0, are those of all samples seen so far, in the order of their tasks.
        """
        if self.capacity is None or self.capacity >= len(classes):
            return range(len(classes))
        return POLICIES[self.policy](seed, classes, self.capacity)


def _keys(seed: int, count: int) -> np.ndarray:
    """A key in [0, 1) for each sample; the keys of the first n do not depend on how many follow."""
    return rng.generator(seed, "buffer").random(count)


def reservoir(seed: int, classes: np.ndarray, capacity: int) -> np.ndarray:
    """A uniform choice of ``capacity`` among all samples; ``classes`` [n] only say how many there are."""
    return np.sort(np.argpartition(_keys(seed, len(classes)), capacity - 1)[:capacity])


def ring(seed: int, classes: np.ndarray, capacity: int) -> range:
    """The latest ``capacity`` samples; ``classes`` [n] only say how many there are."""
    return range(len(classes) - capacity, len(classes))


def class_balanced(seed: int, classes: np.ndarray, capacity: int) -> np.ndarray:
    """The same number of samples of each class, to one, as far as a class has them."""
    counts = np.bincount(classes)
    by_class = np.lexsort((_keys(seed, len(classes)), classes))
    ranks = np.empty(len(classes), dtype=np.int64)
    ranks[by_class] = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    quotas = class_quotas(counts, capacity, rng.generator(seed, "buffer classes").random(len(counts)))
    return np.flatnonzero(ranks < quotas[classes])


def class_quotas(counts: np.ndarray, capacity: int, keys: np.ndarray) -> np.ndarray:
    """Samples to keep of each class: int64 [classes].

    A class keeps min(count, level), where ``level`` is the highest for which all fit into ``capacity``; some of the
    classes with more keep one more, so that the capacity is filled.

    Args:
        counts: samples of each class; their sum is above ``capacity``.
        capacity: samples to keep in all.
        keys: one per class; the smallest keep one more.
    """
    ascending = np.sort(counts)
    # Room that levels equal to each count take: classes up to it in full, the others up to that level.
    taken = np.cumsum(ascending) + ascending * np.arange(len(counts) - 1, -1, -1)
    full = int(np.searchsorted(taken, capacity, side="right"))
    level = int((capacity - ascending[:full].sum()) // (len(counts) - full))
    quotas = np.minimum(counts, level)
    larger = np.flatnonzero(counts > level)
    chosen = larger[np.argsort(keys[larger], kind="stable")]
    quotas[chosen[: capacity - int(quotas.sum())]] += 1
    return quotas


POLICIES: dict[str, Callable[[int, np.ndarray, int], np.ndarray | range]] = {
    "reservoir": reservoir,
    "class_balanced": class_balanced,
    "ring": ring,
}
