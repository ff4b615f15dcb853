"""Which samples form a batch: exact counts per pool, seeded walks, nothing else.

PROTOCOL: λ = (P, D, B); per batch ``floor(B·λ)`` samples of each pool in decimals, the remainder one by
one in the order P, D, B. Roth et al. 2024, arXiv 2408.14471, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache

import numpy as np

from fomo import rng
from fomo.errors import FomoError

Counts = tuple[int, int, int]


@dataclass(frozen=True)
class MixtureWeights:
    """Shares of a batch; they sum to 1 (thirds may be written as 0.3333, 0.3334, 0.3333)."""

    pretraining: float
    update: float
    buffer: float

    def __post_init__(self) -> None:
        for name, weight in zip(("pretraining", "update", "buffer"), self.values, strict=True):
            if not 0 <= weight <= 1:
                raise FomoError(f"mixture.{name}={weight}: allowed are 0 to 1.")
        if abs(sum(self.values) - 1) > 1e-6:
            total = " + ".join(str(weight) for weight in self.values)
            raise FomoError(
                f"mixture.pretraining + update + buffer = {total} = {sum(self.values):.6g}: they must sum to 1."
            )

    @property
    def values(self) -> tuple[float, float, float]:
        """λ in the order P, D, B."""
        return self.pretraining, self.update, self.buffer


def batch_counts(batch_size: int, weights: MixtureWeights) -> Counts:
    """Samples of P, D and B per batch. A pool of weight 0 gets none; 512 at the defaults gives 169, 175, 168."""
    shares = [Decimal(str(weight)) * batch_size for weight in weights.values]
    counts = [int(share.to_integral_value(ROUND_FLOOR)) for share in shares]
    wanted = [i for i in range(3) if weights.values[i] > 0]
    for turn in range(batch_size - sum(counts)):
        counts[wanted[turn % len(wanted)]] += 1
    return counts[0], counts[1], counts[2]


def first_task_counts(counts: Counts) -> Counts:
    """Counts while the buffer is empty: its share goes to D and P, an odd one to D, all to D where P has none."""
    pretraining, update, buffer = counts
    to_pretraining = buffer // 2 if pretraining else 0
    return pretraining + to_pretraining, update + buffer - to_pretraining, 0


@lru_cache(maxsize=8)
def _permutation(seed: int, walk: str, size: int, epoch: int) -> np.ndarray:
    return rng.generator(seed, "order", walk, epoch).permutation(size)


def walk(seed: int, name: str, size: int, start: int, count: int) -> np.ndarray:
    """Sample numbers at positions ``start … start + count`` of a walk in seeded permutations of ``size`` samples."""
    positions = np.arange(start, start + count)
    epochs = positions // size
    drawn = [
        _permutation(seed, name, size, int(epoch))[positions[epochs == epoch] % size] for epoch in np.unique(epochs)
    ]
    return np.concatenate(drawn) if drawn else np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Mixture:
    """Draws of a whole run. ``steps`` are the planned steps per task; tasks count from 1.

    P is walked once through the run; D_t and B are other sets in every task and have a walk of their own.
    """

    seed: int
    batch_size: int
    weights: MixtureWeights
    steps: tuple[int, ...]

    def counts(self, task: int) -> Counts:
        """Samples of P, D and B per batch of a task."""
        counts = batch_counts(self.batch_size, self.weights)
        return first_task_counts(counts) if task == 1 else counts

    def draws(self, task: int, step: int, sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample numbers in P, D_t and B for one batch; ``sizes`` are those of the three pools."""
        counts = self.counts(task)
        before = sum(self.counts(t)[0] * self.steps[t - 1] for t in range(1, task))
        starts = (before + step * counts[0], step * counts[1], step * counts[2])
        names = ("pretraining", f"update {task}", f"buffer {task}")
        p, d, b = (
            walk(self.seed, name, size, start, count) if count else np.empty(0, dtype=np.int64)
            for name, size, start, count in zip(names, sizes, starts, counts, strict=True)
        )
        return p, d, b
