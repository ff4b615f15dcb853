"""What can be told from a few seeds: intervals by Student's t, and paired comparisons.

Seeds are taken as draws from a normal distribution. Of one seed nothing can be told, and nothing is.
"""

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

LEVEL = 0.95
"""The share of such intervals that hold the true mean."""
ROUNDING = 1e-9
"""Means of percentages that differ by less differ by the rounding of floats alone."""


def t_probability(t: float, degrees: int) -> float:
    """P(|X| ≤ t) for Student's t with an integer number of degrees of freedom, t ≥ 0.

    The finite series of Abramowitz & Stegun 1964, 26.7.3 and 26.7.4, in θ = atan(t/√ν).
    """
    angle = math.atan(t / math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    terms = [] if degrees == 1 else [term]
    for power in range(2 + odd, degrees - 1, 2):
        term *= cosine**2 * (power - 1) / power
        terms.append(term)
    total = math.sin(angle) * math.fsum(terms)
    return 2 / math.pi * (angle + total) if odd else total


@cache
def t_quantile(degrees: int, level: float = LEVEL) -> float:
    """The t with P(|X| ≤ t) = ``level``, by bisection of its angle: 12.706, 4.303, 3.182, … at 95 %."""
    low = 0.0
    high = math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if t_probability(math.sqrt(degrees) * math.tan(middle), degrees) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


@dataclass(frozen=True)
class Interval:
    """A mean over ``num`` values; ``half_width`` is that of its 95 % interval, ``None`` of fewer than two."""

    mean: float
    half_width: float | None
    num: int


def interval(values: Sequence[float]) -> Interval:
    """x̄ ± t_{n−1} · s/√n, s the sample standard deviation."""
    mean = statistics.fmean(values)
    num = len(values)
    if num < 2:
        return Interval(mean, None, num)
    return Interval(mean, t_quantile(num - 1) * statistics.stdev(values) / math.sqrt(num), num)


def sampling_error(shares: Sequence[float], nums: Sequence[int]) -> float:
    """√(Σ p(1 − p)/n)/D: the standard error of a mean of D accuracies from which test images there are, in percent.

    ``shares`` are the accuracies in percent, ``nums`` the test images of each. Seeds do not show it: all are scored on
    the same images. In retrieval p is the recall, and n the images.
    """
    variances = [share * (100 - share) / num for share, num in zip(shares, nums, strict=True)]
    return math.sqrt(math.fsum(variances)) / len(variances)


@dataclass(frozen=True)
class Comparison:
    """One entry minus another over the ``difference.num`` seeds that both have; no ``difference`` without such seeds.

    ``differs`` is whether the 95 % interval of the paired differences leaves out 0, ``None`` where that cannot be told
    for want of two seeds. Even so one comparison in twenty of equal entries comes out as a difference.
    """

    difference: Interval | None

    @property
    def differs(self) -> bool | None:
        """Whether the two are told apart; ``None`` where nothing can be told."""
        if self.difference is None or self.difference.half_width is None:
            return None
        return abs(self.difference.mean) > max(self.difference.half_width, ROUNDING)


def compare(one: Mapping[Hashable, float], other: Mapping[Hashable, float]) -> Comparison:
    """Student's t interval of ``one − other`` over the keys that both have, as seed and stream.

    What a seed does to both alike does not widen it.
    """
    common = [key for key in one if key in other]
    return Comparison(interval([one[key] - other[key] for key in common]) if common else None)
