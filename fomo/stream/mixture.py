"""Which samples form a batch: exact counts per pool, seeded walks, nothing else.

PROTOCOL: λ = (P, D, B); per batch ``floor(B·λ)`` samples of each pool in decimals, the remainder one by
one in the order P, D, B. Roth et al. 2024, arXiv 2408.14471, section 3. ``batches="unmixed"``, which is ours, fills
each batch from one pool and shares out the steps instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from math import floor

import numpy as np

from fomo import rng
from fomo.errors import FomoError, check_allowed, check_choice
from fomo.stream.batch_sizes import BatchSizes, Stretch

Counts = tuple[int, int, int]
BATCHES = ("mixed", "unmixed")


@dataclass(frozen=True)
class MixtureWeights:
    """Shares of a batch, or of the steps where batches are ``unmixed``.

    They sum to 1 (thirds may be written as 0.3333, 0.3334, 0.3333).
    """

    pretraining: float
    update: float
    buffer: float
    batches: str = "mixed"

    def __post_init__(self) -> None:
        check_choice("value of mixture.batches", self.batches, BATCHES)
        for name, weight in zip(("pretraining", "update", "buffer"), self.values, strict=True):
            check_allowed(0 <= weight <= 1, f"mixture.{name}={weight}", "0 to 1")
        if abs(sum(self.values) - 1) > 1e-6:
            raise FomoError(
                f"mixture.pretraining + update + buffer = {' + '.join(map(str, self.values))} = "
                f"{sum(self.values):.6g}: they must sum to 1."
            )

    @property
    def values(self) -> tuple[float, float, float]:
        """λ in the order P, D, B."""
        return self.pretraining, self.update, self.buffer


def batch_counts(batch_size: int, weights: MixtureWeights) -> Counts:
    """Samples of P, D and B per batch. A pool of weight 0 has none; 512 at the defaults are 169, 175, 168."""
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


def first_task_shares(shares: Sequence[Fraction]) -> tuple[Fraction, Fraction, Fraction]:
    """Shares while the buffer is empty: its share goes to D and P alike, all to D where P has none."""
    pretraining, update, buffer = shares
    to_pretraining = buffer / 2 if pretraining else Fraction(0)
    return pretraining + to_pretraining, update + buffer - to_pretraining, Fraction(0)


def batches_per_pool(tasks: Sequence[Sequence[Stretch]], weights: MixtureWeights) -> list[list[Counts]]:
    """Unmixed batches of P, D and B in each stretch of each task: floor or ceiling of steps·λ.

    Whatever is cut off is carried on, in samples. Hence the totals of a stretch are exact to a batch, and the shares
    of a run are λ in the long run.
    """
    parts = [Fraction(str(weight)) for weight in weights.values]
    shares = tuple(part / sum(parts) for part in parts)
    due = [Fraction(0)] * 3
    planned = [list[Counts]() for _ in tasks]
    for task, num_steps, size in ((task, *stretch) for task, each in enumerate(tasks) for stretch in each):
        exact = [share * num_steps for share in (shares if task else first_task_shares(shares))]
        counts = [floor(amount) for amount in exact]
        due = [old + (amount - count) * size for old, amount, count in zip(due, exact, counts, strict=True)]
        for _ in range(num_steps - sum(counts)):
            pool = max((i for i in range(3) if exact[i] > counts[i]), key=lambda i: due[i])
            counts[pool], due[pool] = counts[pool] + 1, due[pool] - size
        planned[task].append((counts[0], counts[1], counts[2]))
    return planned


@lru_cache(maxsize=8)
def spread(seed: int, task: int, counts: Counts, stretch: int = 0) -> np.ndarray:
    """Pool (0, 1, 2) of each step of a stretch: the batches of a pool come at even distances, from a seeded phase."""
    phases = rng.generator(seed, "unmixed", task, *([stretch] if stretch else [])).random(3)
    places = [(np.arange(count) + phase) / max(count, 1) for count, phase in zip(counts, phases, strict=True)]
    return np.repeat(np.arange(3), counts)[np.argsort(np.concatenate(places), kind="stable")]


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
    sizes: BatchSizes
    weights: MixtureWeights
    steps: tuple[int, ...]

    @cached_property
    def _stretches(self) -> list[list[Stretch]]:
        """Of each task, its steps of one size."""
        return self.sizes.of_tasks(self.steps)

    @cached_property
    def _unmixed(self) -> list[list[Counts]]:
        """Batches of P, D and B in each stretch of each task."""
        return batches_per_pool(self._stretches, self.weights)

    @cached_property
    def _before(self) -> list[list[Counts]]:
        """Samples of P (in the run), D_t and B (in the task) drawn before each stretch, and at the end of each task."""
        drawn = (0, 0, 0)
        before = []
        for task, stretches in enumerate(self._stretches, start=1):
            before.append([drawn := (drawn[0], 0, 0)])
            for number, stretch in enumerate(stretches):
                drawn = _sum(drawn, self._within(task, number, stretch.num_steps))
                before[-1].append(drawn)
        return before

    def _within(self, task: int, number: int, num_steps: int) -> Counts:
        """Samples of P, D and B in the first ``num_steps`` batches of a stretch."""
        size = self._stretches[task - 1][number].size
        if self.weights.batches == "unmixed":
            schedule = spread(self.seed, task, self._unmixed[task - 1][number], number)
            p, d, b = (int(batches) * size for batches in np.bincount(schedule[:num_steps], minlength=3))
        else:
            counts = batch_counts(size, self.weights)
            p, d, b = (count * num_steps for count in (first_task_counts(counts) if task == 1 else counts))
        return p, d, b

    def _place(self, task: int, step: int) -> tuple[int, int]:
        """The stretch of a step, and the steps before it in that stretch."""
        stretches = self._stretches[task - 1]
        for number, stretch in enumerate(stretches[:-1]):
            if step < stretch.num_steps:
                return number, step
            step -= stretch.num_steps
        return len(stretches) - 1, step

    def totals(self, task: int) -> Counts:
        """Samples of P, D and B in the whole of a task."""
        of_task = self._before[task - 1]
        return _difference(of_task[-1], of_task[0])

    def shares(self, task: int) -> tuple[float, float, float]:
        """Of the samples of a task, those of P, D and B: λ, and in the first task what it becomes without a buffer."""
        parts = [Fraction(str(weight)) for weight in self.weights.values]
        p, d, b = (part / sum(parts) for part in parts)
        p, d, b = first_task_shares((p, d, b)) if task == 1 else (p, d, b)
        return float(p), float(d), float(b)

    def counts(self, task: int, step: int) -> Counts:
        """Samples of P, D and B in a batch."""
        number, before = self._place(task, step)
        return _difference(self._within(task, number, before + 1), self._within(task, number, before))

    def starts(self, task: int, step: int) -> Counts:
        """How many samples of P (in the run), D_t and B (in the task) were drawn before a batch."""
        number, before = self._place(task, step)
        return _sum(self._before[task - 1][number], self._within(task, number, before))

    def draws(self, task: int, step: int, sizes: Sequence[int | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample numbers in P, D_t and B for one batch; ``sizes`` are those of the three pools.

        A pool of size ``None`` has an order of its own: its positions are returned as they are.
        """
        names = ("pretraining", f"update {task}", f"buffer {task}")
        p, d, b = (
            self._drawn(name, size, start, count)
            for name, size, start, count in zip(
                names, sizes, self.starts(task, step), self.counts(task, step), strict=True
            )
        )
        return p, d, b

    def _drawn(self, name: str, size: int | None, start: int, count: int) -> np.ndarray:
        if size is None or count == 0:
            return np.arange(start, start + count)
        return walk(self.seed, name, size, start, count)


def _sum(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _difference(one: Counts, other: Counts) -> Counts:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]
