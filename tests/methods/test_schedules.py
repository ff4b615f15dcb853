"""Schedules at points worked out by hand, and their shape as properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fomo
from methods.meta_schedules import independent
from methods.schedules import constant, cosine

PEAK, FLOOR = 2.0, 0.002


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, PEAK / 2),  # S = 20: w = 2
        (1, PEAK),
        (2, FLOOR + (PEAK - FLOOR) * 0.5 * (1 + math.cos(math.pi / 18))),
        (10, FLOOR + (PEAK - FLOOR) * 0.5),  # half way: cos(π·9/18) = 0
        (13, FLOOR + (PEAK - FLOOR) * 0.25),  # cos(π·12/18) = −½
        (19, FLOOR),
    ],
)
def test_cosine_at_points_worked_out_by_hand(step: int, rate: float) -> None:
    assert cosine(step, 20, PEAK, FLOOR) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.5), (1, 1.0), (2, 1.5), (3, 2.0), (4, 2.0), (30, 2.0)])
def test_constant_at_points_worked_out_by_hand(step: int, rate: float) -> None:
    assert constant(step, 31, PEAK, FLOOR) == rate  # S = 31: w = ceil(3.1) = 4


@given(st.integers(1, 3000), st.sampled_from([cosine, constant]))
def test_rates_rise_to_the_peak_and_never_leave_the_range(num_steps: int, schedule) -> None:  # type: ignore[no-untyped-def]
    warm = math.ceil(0.1 * num_steps)
    rates = [schedule(step, num_steps, PEAK, FLOOR) for step in range(num_steps)]
    assert all(0 < rate <= PEAK for rate in rates)
    assert rates[:warm] == sorted(rates[:warm]) and rates[warm - 1] == PEAK
    assert rates[warm - 1 :] == sorted(rates[warm - 1 :], reverse=True)


def test_independent_tasks_share_one_peak() -> None:
    assert [independent(task, 0.3) for task in range(1, 5)] == [0.3] * 4


@pytest.mark.parametrize("warmup", [-0.1, 1.5])
def test_an_impossible_warmup_is_refused(warmup: float) -> None:
    with pytest.raises(fomo.FomoError, match=r"schedule\.warmup"):
        cosine(0, 10, PEAK, FLOOR, warmup)
