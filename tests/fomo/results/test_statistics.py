"""Student's t against tables and scipy; intervals and comparisons by hand."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.results.statistics import compare, interval, t_probability, t_quantile

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 120: 1.980}
"""The two-sided 95 % quantiles as textbooks print them."""


@pytest.mark.parametrize("degrees", TABLE)
def test_quantiles_are_those_of_the_tables(degrees: int) -> None:
    assert round(t_quantile(degrees), 3) == TABLE[degrees]


@pytest.mark.parametrize(("degrees", "level", "expected"), [(1, 0.5, 1.0), (2, 0.99, 9.925), (7, 0.9, 1.895)])
def test_quantiles_at_other_levels(degrees: int, level: float, expected: float) -> None:
    assert t_quantile(degrees, level) == pytest.approx(expected, abs=5e-4)


@given(st.integers(1, 300), st.floats(0, 50))
def test_probabilities_are_those_of_scipy(degrees: int, t: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.t.cdf(t, degrees) - stats.t.cdf(-t, degrees)
    assert t_probability(t, degrees) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 60), st.floats(0.05, 0.999))
def test_a_quantile_has_its_probability(degrees: int, level: float) -> None:
    assert t_probability(t_quantile(degrees, level), degrees) == pytest.approx(level, abs=1e-12)


def test_an_interval_by_hand() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, found.num) == (2.0, 3)
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)


def test_one_value_has_no_interval() -> None:
    found = interval([5.0])
    assert (found.mean, found.half_width, found.num) == (5.0, None, 1)


def test_95_of_100_intervals_hold_the_mean() -> None:
    """Over samples of three of a normal distribution, drawn with a fixed seed."""
    import random

    draw = random.Random(0)
    found = [interval([draw.gauss(10, 2) for _ in range(3)]) for _ in range(2000)]
    held = sum(abs(each.mean - 10) <= (each.half_width or 0) for each in found)
    assert 0.93 < held / 2000 < 0.97


def test_pairs_are_compared_by_their_differences_alone() -> None:
    """What a seed does to both is large, and does not count: differences are 1, 2 and 3."""
    one = {0: 11.0, 1: 52.0, 2: 93.0, 7: 0.0}
    found = compare(one, {0: 10.0, 1: 50.0, 2: 90.0, 8: 99.0})
    assert found.difference is not None and found.difference.num == 3 and found.difference.mean == 2
    assert found.difference.half_width == pytest.approx(2.484, abs=1e-3)
    assert found.differs is False
    assert compare({0: 11.0, 1: 52.0, 2: 92.5}, {0: 10.0, 1: 50.5, 2: 91.0}).differs is True


@pytest.mark.parametrize("other", [{}, {5: 1.0}, {0: 1.0, 5: 1.0}])
def test_fewer_than_two_common_seeds_tell_nothing(other: dict[int, float]) -> None:
    assert compare({0: 50.0, 1: 60.0}, other).differs is None


def test_equal_entries_are_not_told_apart_by_rounding() -> None:
    assert compare({0: 50.0, 1: 60.0}, {0: 50.0, 1: 60.0}).differs is False
    assert compare({0: 0.1 + 0.2, 1: 0.1 + 0.2}, {0: 0.3, 1: 0.3}).differs is False
    assert compare({0: 51.0, 1: 61.0}, {0: 50.0, 1: 60.0}).differs is True


@given(st.lists(st.floats(0, 100), min_size=2, max_size=6))
def test_a_comparison_turns_round(values: list[float]) -> None:
    one = dict(enumerate(values))
    other = dict(enumerate(reversed(values)))
    there = compare(one, other).difference
    back = compare(other, one).difference
    assert there is not None and back is not None and there.half_width == pytest.approx(back.half_width)
    assert there.mean == pytest.approx(-back.mean, abs=1e-12) and there.mean == pytest.approx(0, abs=1e-9)
    assert interval(values).mean == pytest.approx(statistics.fmean(values))
