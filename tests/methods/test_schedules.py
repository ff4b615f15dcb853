"""Schedules and meta-schedules at points worked out by hand, and their shape as properties.

S = 20 has w = c = 2, S = 31 has w = c = 4. Peak 2, floor 0.002, so multipliers act on 1.998.
"""

import json
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fomo
from fomo import Position
from fomo.stream.batch_sizes import BatchSizes
from methods.meta_schedules import autoregressive, continued, dynamic, independent, recovered
from methods.schedules import between, constant, cosine, decaying, power, rsqrt, steps_of, wsd
from tests import tiny
from tests.plugin import TEMPLATE_CODE

PEAK, FLOOR = 2.0, 0.002
SCHEDULES = (constant, cosine, rsqrt, wsd, power)
PAIRS = [(independent, s) for s in SCHEDULES] + [
    (autoregressive, cosine), (autoregressive, rsqrt), (dynamic, cosine), (continued, rsqrt), (recovered, rsqrt),
]  # fmt: skip


def at(step: int, num_steps: int, task: int = 0) -> Position:
    return Position(task, step, num_steps, PEAK, FLOOR, batch_size=32)


def mult(multiplier: float) -> float:
    return 0.002 + 1.998 * multiplier


@pytest.mark.parametrize(
    ("schedule", "num_steps", "step", "rate"),
    [
        (cosine, 20, 0, 1.0),  # 2·1/2
        (cosine, 20, 1, 2.0),
        (cosine, 20, 2, mult(0.5 * (1 + math.cos(math.pi / 18)))),
        (cosine, 20, 10, mult(0.5)),  # half way: cos(π·9/18) = 0
        (cosine, 20, 13, mult(0.25)),  # cos(π·12/18) = −½
        (cosine, 20, 19, 0.002),
        (cosine, 1, 0, 2.0),  # S = 1: the one step is warm-up
        (cosine, 2, 1, 0.002),  # w = 1: cos(π·1/1)
        (constant, 31, 0, 0.5),
        (constant, 31, 2, 1.5),
        (constant, 31, 3, 2.0),
        (constant, 31, 30, 2.0),
        (rsqrt, 20, 0, 1.0),
        (rsqrt, 20, 1, 2.0),
        (rsqrt, 20, 2, 2.0),  # √(2/2)
        (rsqrt, 20, 8, mult(0.5)),  # √(2/8)
        (rsqrt, 20, 17, mult(math.sqrt(2 / 17))),
        (rsqrt, 20, 18, mult(1 / 3) / 2),  # √(2/18), (2−1−0)/2
        (rsqrt, 20, 19, 0.0),
        (rsqrt, 31, 16, mult(0.5)),  # √(4/16)
        (rsqrt, 31, 28, mult(math.sqrt(4 / 28)) / 2),  # (4−1−1)/4
        (rsqrt, 2, 0, 2.0),  # w = c = 1
        (rsqrt, 2, 1, 0.0),
        (wsd, 31, 1, 1.0),
        (wsd, 31, 26, 2.0),
        (wsd, 31, 27, 1.5),  # 2·(4−1−0)/4
        (wsd, 31, 29, 0.5),
        (wsd, 31, 30, 0.0),
        (power, 20, 1, 2.0),
        (power, 20, 7, 2.0 * 4**-0.51),  # n/n_w = 8/2
        (power, 20, 17, 2.0 * 9**-0.51),
        (power, 20, 18, math.sqrt(2.0 * 9**-0.51 * 0.002)),  # half of the way down, geometrically
        (power, 20, 19, 0.002),
    ],
)
def test_a_schedule_at_points_worked_out_by_hand(
    schedule: Callable[[Position], float], num_steps: int, step: int, rate: float
) -> None:
    assert schedule(at(step, num_steps)) == pytest.approx(rate, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("meta", "schedule", "task", "step", "rate"),
    [  # S = 20, w = 2
        (independent, cosine, 7, 10, mult(0.5)),
        # autoregressive cosine: t = 1: (18+1)/36; t = 2: (36+1)/54
        (autoregressive, cosine, 1, 1, mult(0.5 * (1 + math.cos(math.pi * 19 / 36)))),
        (autoregressive, cosine, 2, 0, mult(0.5 * (1 + math.cos(math.pi * 37 / 54))) / 2),
        (autoregressive, cosine, 1, 10, 0.002 + 1.998 * 0.5 * (1 + math.cos(math.pi * 19 / 36)) * 0.5),
        (autoregressive, cosine, 3, 19, 0.002),
        # autoregressive rsqrt: t = 1: √(4/22); t = 2: √(6/42)
        (autoregressive, rsqrt, 1, 1, mult(math.sqrt(4 / 22))),
        (autoregressive, rsqrt, 2, 8, mult(math.sqrt(6 / 42) * 0.5)),
        # dynamic: 40 steps with warm-up 4 at position 20 + s: (20+2−4+1)/36; 60 with 6 at 40 + 6: (46−6+1)/54
        (dynamic, cosine, 1, 1, mult(0.5 * (1 + math.cos(math.pi * 19 / 36)))),
        (dynamic, cosine, 1, 2, mult(0.5 * (1 + math.cos(math.pi * 19 / 36)))),
        (dynamic, cosine, 2, 6, mult(0.5 * (1 + math.cos(math.pi * 41 / 54)))),
        (dynamic, cosine, 1, 19, 0.002),
        # continued, c = 2: t = 1: √(2/18) = 1/3; t = 2: √(2/(36−2)); t = 1 at s = 8: half of a third
        (continued, rsqrt, 1, 1, mult(1 / 3)),
        (continued, rsqrt, 2, 0, mult(math.sqrt(2 / 34)) / 2),
        (continued, rsqrt, 1, 8, mult(1 / 6)),
        (continued, rsqrt, 1, 19, 0.0),
        # recovered: S−c−w = 16: t = 1: warm-up to √(2/16), then √(2/(s+16)); t = 2: √(2/32), √(2/(s+32))
        (recovered, rsqrt, 1, 1, mult(math.sqrt(2 / 16))),
        (recovered, rsqrt, 1, 2, mult(1 / 3)),  # √(2/18): where task 0 stood before its cool-down
        (recovered, rsqrt, 1, 16, mult(0.25)),  # √(2/32)
        (recovered, rsqrt, 2, 0, mult(0.25) / 2),
        (recovered, rsqrt, 2, 18, mult(math.sqrt(2 / 50)) / 2),
        # power runs on by itself: 20 + 2 and 20 + 8 steps, against 2 at the end of the first warm-up
        (independent, power, 1, 0, 2 * 11**-0.51 / 2),
        (independent, power, 1, 1, 2 * 11**-0.51),
        (independent, power, 1, 7, 2 * 14**-0.51),
    ],
)
def test_a_meta_schedule_at_points_worked_out_by_hand(
    meta: Callable[..., float], schedule: Callable[[Position], float], task: int, step: int, rate: float
) -> None:
    assert meta(schedule, at(step, 20, task)) == pytest.approx(rate, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("a", "step", "rate"),
    [(4.6, 10, 2.0), (1e-2, 10, 32 * 1e-2 * (11 * 32) ** -0.51)],  # a law above the peak does not bind
)
def test_power_with_a_given_law(a: float, step: int, rate: float) -> None:
    assert power(at(step, 20), a=a) == pytest.approx(rate, rel=1e-12)


@given(st.integers(2, 3000), st.integers(0, 5), st.sampled_from(PAIRS))
def test_rates_rise_to_the_peak_and_fall_and_never_leave_the_range(
    num_steps: int, task: int, pair: tuple[Callable[..., float], Callable[[Position], float]]
) -> None:
    meta, schedule = pair
    if meta is recovered and num_steps < 3:
        return
    warm = -(-num_steps // 10)
    rates = [meta(schedule, at(step, num_steps, task)) for step in range(num_steps)]
    assert all(0 <= rate <= PEAK for rate in rates) and rates[0] > 0
    assert rates[:warm] == sorted(rates[:warm])
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(rates[warm - 1 :]))


@given(st.integers(2, 3000), st.integers(0, 4), st.sampled_from([p for p in PAIRS if p[1] is not power]))
def test_no_step_falls_further_than_warm_ups_rise(
    num_steps: int, task: int, pair: tuple[Callable[..., float], Callable[[Position], float]]
) -> None:
    meta, schedule = pair
    if meta is recovered and num_steps < 3:
        return
    rates = [meta(schedule, at(step, num_steps, task)) for step in range(num_steps)]
    warmup = -(-num_steps // 10)
    largest = PEAK / warmup  # the steepest is WSD's cool-down, by η/c a step
    moves = [abs(after - before) for before, after in pairwise(rates)]
    if meta is recovered and task > 0 and len(moves) >= warmup:
        del moves[warmup - 1]  # by its definition it steps down once, where its warm-up ends
    assert all(move <= largest * (1 + 1e-9) for move in moves)


@pytest.mark.parametrize(("meta", "schedule"), [(continued, rsqrt), (autoregressive, cosine), (recovered, rsqrt)])
def test_peaks_fall_from_task_to_task(meta: Callable[..., float], schedule: Callable[[Position], float]) -> None:
    peaks = [max(meta(schedule, at(step, 50, task)) for step in range(50)) for task in range(8)]
    assert peaks[0] == PEAK and peaks == sorted(peaks, reverse=True) and len(set(peaks)) == 8


def test_dynamic_is_the_plain_cosine_after_its_warm_up() -> None:
    for step in range(5, 50):
        whole = Position(0, 3 * 50 + step, 4 * 50, PEAK, FLOOR)
        assert dynamic(cosine, at(step, 50, task=3)) == cosine(whole)


def test_recovered_goes_on_where_the_decay_stood() -> None:
    before_cooling = rsqrt(at(44, 50))  # the last step before the cool-down, c = 5
    resumed = recovered(rsqrt, at(5, 50, task=1))  # √(5/(5 + 40)), the first step of it in task 0
    assert resumed == pytest.approx(mult(math.sqrt(5 / 45))) and 0 < before_cooling - resumed < 0.01


@pytest.mark.parametrize(
    ("share", "num_steps", "steps"), [(0.1, 70, 7), (0.1, 71, 8), (0.1, 1, 1), (0.0, 9, 0), (1, 9, 9)]
)
def test_shares_are_rounded_up_in_decimals(share: float, num_steps: int, steps: int) -> None:
    assert steps_of("warmup", share, num_steps) == steps  # 0.1·70 is 7.000000000000001 in binary


@pytest.mark.parametrize("warmup", [-0.1, 1.5, float("nan")])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_impossible_warmup_is_refused(schedule: Callable[..., float], warmup: float) -> None:
    with pytest.raises(fomo.FomoError, match=r"schedule\.warmup"):
        schedule(at(0, 10), warmup=warmup)


@pytest.mark.parametrize("schedule", [rsqrt, wsd, power])
def test_warm_up_and_cool_down_must_fit_into_the_task(schedule: Callable[..., float]) -> None:
    with pytest.raises(fomo.FomoError, match="1 steps of warm-up and 1 of cool-down exceed the 1 steps"):
        schedule(at(0, 1))
    with pytest.raises(fomo.FomoError, match="exceed"):
        schedule(at(0, 10), warmup=0.8, cooldown=0.3)


@pytest.mark.parametrize("schedule", [rsqrt, power])
def test_a_decay_from_the_warm_up_needs_one(schedule: Callable[..., float]) -> None:
    with pytest.raises(fomo.FomoError, match="above 0"):
        schedule(at(0, 10), warmup=0.0)


@pytest.mark.parametrize("a", [None, 0.004])
def test_power_follows_its_law_across_a_ramp(a: float | None) -> None:
    """20 steps a task, batches of 32, from the sixth of task 2 on of 64: n and β are those of the run, by hand."""
    sizes = BatchSizes(32, ((25 * 32, 64),))

    def rate(task: int, step: int) -> float:
        size = sizes.of(20 * task + step)
        return power(Position(task, step, 20, PEAK, FLOOR, size, True, 20 * task, sizes.seen), a=a)

    def law(size: int, seen: int) -> float:
        first = PEAK * (seen / (2 * 32)) ** -0.51 * size / 32
        return min(PEAK, first if a is None else a * size * seen**-0.51)

    assert rate(0, 7) == pytest.approx(law(32, 8 * 32))
    assert rate(1, 4) == pytest.approx(law(32, 25 * 32))
    assert rate(1, 5) == pytest.approx(law(64, 25 * 32 + 64))
    assert rate(1, 9) == pytest.approx(law(64, 25 * 32 + 5 * 64))
    assert rate(2, 0) == pytest.approx(law(64, 25 * 32 + 17 * 64) / 2)  # warm-up: half of the law at its end
    assert rate(2, 3) == pytest.approx(law(64, 25 * 32 + 19 * 64))


def test_power_of_a_ramp_that_changes_nothing_is_power() -> None:
    sizes = BatchSizes(32)
    for task, step in ((0, 0), (0, 9), (2, 1), (2, 17), (2, 19)):
        ramped = Position(task, step, 20, PEAK, FLOOR, 32, True, 20 * task, sizes.seen)
        assert power(ramped) == power(at(step, 20, task))


@pytest.mark.parametrize("options", [{"a": 0.0}, {"a": -1.0}, {"b": 0.5}, {"b": float("nan")}])
def test_an_impossible_law_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(fomo.FomoError, match=r"schedule\.a="):
        power(at(0, 10), **options)


@pytest.mark.parametrize(
    ("meta", "schedule"),
    [(m, s) for m in (autoregressive, dynamic, continued, recovered) for s in SCHEDULES if (m, s) not in PAIRS],
)
def test_pairs_without_a_form_are_refused_with_the_reason(
    meta: Callable[..., float], schedule: Callable[..., float]
) -> None:
    text = f"meta_schedule={meta.__name__} continues .* schedule={schedule.__name__} has no such form.*independent"
    for given_schedule in (schedule, partial(schedule, warmup=0.2)):
        with pytest.raises(fomo.FomoError, match=text):
            meta(given_schedule, at(0, 20))


@pytest.fixture
def linear() -> Callable[..., float]:
    """The schedule of docs/template, a guest's."""
    schedule: Callable[..., float] = run_path(str(TEMPLATE_CODE / "linear.py"))["linear"]
    return schedule


def test_a_guests_schedule_that_declares_its_decay_goes_with_meta_schedules(linear: Callable[..., float]) -> None:
    assert linear(at(10, 20)) == pytest.approx(mult(0.5)) and linear(at(19, 20)) == pytest.approx(0.002)
    peak = 17 / 36  # t = 1: 40 steps with warm-up 4 at position 22: 1 − (22−4+1)/36
    assert autoregressive(linear, at(1, 20, task=1)) == pytest.approx(mult(peak))
    assert autoregressive(linear, at(10, 20, task=1)) == pytest.approx(mult(peak / 2))
    assert dynamic(linear, at(10, 20, task=1)) == pytest.approx(mult(1 - (30 - 4 + 1) / 36))
    assert autoregressive(partial(linear, warmup=0.2), at(3, 20, task=1)) == pytest.approx(mult(1 - 17 / 32))
    for meta in (continued, recovered):
        with pytest.raises(fomo.FomoError, match=r"of schedule=rsqrt .*schedule=linear has no such form"):
            meta(linear, at(0, 20))


def test_a_guests_decay_that_runs_on_is_continued_and_recovered() -> None:
    @decaying(lambda step, w, num_steps: 1 / (1 + step), ends=False)
    def hyperbola(at: Position) -> float:
        return between(at, 1 / (1 + at.step))

    # no warm-up, no cool-down: task 1 starts where 20 steps have led
    assert continued(hyperbola, at(0, 20, task=1)) == pytest.approx(mult(1 / 21))
    assert recovered(hyperbola, at(5, 20, task=1)) == pytest.approx(mult(1 / 26))


def test_settings_of_a_schedule_reach_its_meta_schedule() -> None:
    slow = partial(rsqrt, warmup=0.2, cooldown=0.3)  # w = 4, c = 6: √(4/14)
    assert continued(slow, at(3, 20, task=1)) == pytest.approx(mult(math.sqrt(4 / 14)))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["meta_schedule=recovered"], "has no such form"),
        (["schedule=rsqrt", "meta_schedule=dynamic"], "has no such form"),
        (["schedule=rsqrt", "budget.steps=2"], "exceed the 1 steps of a task"),
        (["schedule=rsqrt", "meta_schedule=recovered", "budget.steps=4"], "leave none between"),
        (["meta_schedule=autoregressive", "budget.steps=2"], "needs steps after its warm-up"),
        (["schedule.warmup=2"], r"schedule\.warmup=2"),
    ],
)
def test_nonsense_is_refused_before_training(settings: list[str], text: str) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        tiny.prepared(*settings)


def test_a_run_follows_the_schedule_through_its_tasks(tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", "schedule=rsqrt", "meta_schedule=continued", "budget.steps=20")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    rates = [event["lr"] for event in events if event["event"] == "step"]
    # S = 10, w = c = 1, η = 1e-3, η_min = 1e-6; task 1: √(1/9) = ⅓
    assert rates[0] == 1e-3 and rates[4] == pytest.approx(1e-6 + 999e-6 / 2) and rates[9] == 0
    assert rates[10] == pytest.approx(1e-6 + 333e-6) and rates[14] == pytest.approx(1e-6 + 333e-6 / 2)
