"""Sizes of batches over a run, and the learning rate that follows them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.errors import FomoError
from fomo.stream.batch_sizes import BatchScaling, BatchSizes, Stretch, read_ramp
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.running.test_resume import OFTEN, cut_run

# 24 samples a step; 48 are seen after step 1, 60 lie inside of step 2, so that step 3 is the first of 40; 112 after it,
# 152 after the next; 130 lie inside of that, so that step 5 is the first of 10.
BY_HAND = BatchSizes(24, ((60, 40), (130, 10)))


def test_a_ramp_by_hand() -> None:
    assert [BY_HAND.of(step) for step in range(8)] == [24, 24, 24, 40, 40, 10, 10, 10]
    assert [BY_HAND.seen(step) for step in range(8)] == [0, 24, 48, 72, 112, 152, 162, 172]
    assert BY_HAND.distinct == (24, 40, 10)
    assert BY_HAND.stretches(0, 8) == [(3, 24), (2, 40), (3, 10)] and BY_HAND.stretches(4, 1) == [(1, 40)]
    assert BY_HAND.of_tasks((3, 0, 3, 2)) == [[Stretch(3, 24)], [], [Stretch(2, 40), Stretch(1, 10)], [Stretch(2, 10)]]


def test_a_position_that_ends_a_batch_begins_with_the_next() -> None:
    assert [BatchSizes(24, ((48, 8),)).of(step) for step in range(4)] == [24, 24, 8, 8]


@st.composite
def ramps(draw: st.DrawFn) -> BatchSizes:
    """Pairs that lie further apart than any batch is large."""
    first, samples, ramp = draw(st.integers(1, 50)), 0, []
    for gap, size in draw(st.lists(st.tuples(st.integers(50, 400), st.integers(2, 50)), max_size=5)):
        samples += gap
        ramp.append((samples, size))
    return BatchSizes(first, tuple(ramp))


@given(ramps(), st.integers(0, 120))
def test_sizes_follow_the_samples_seen_step_by_step(sizes: BatchSizes, num_steps: int) -> None:
    seen = 0
    for step in range(num_steps):
        expected = next((size for samples, size in reversed(sizes.ramp) if samples <= seen), sizes.first)
        assert (sizes.of(step), sizes.seen(step)) == (expected, seen)
        seen += expected


@given(ramps(), st.lists(st.integers(0, 30), max_size=6))
def test_stretches_are_the_steps_of_the_tasks(sizes: BatchSizes, steps: list[int]) -> None:
    step = 0
    for num_steps, stretches in zip(steps, sizes.of_tasks(steps), strict=True):
        listed = [size for stretch in stretches for size in [stretch.size] * stretch.num_steps]
        assert listed == [sizes.of(step + number) for number in range(num_steps)]
        step += num_steps


@pytest.mark.parametrize(
    ("rule", "reference", "factor"),
    [("none", 8, 1.0), ("linear", None, 1.5), ("linear", 128, 0.75), ("sqrt", None, math.sqrt(1.5)), ("sqrt", 24, 2.0)],
)
def test_the_rules_by_hand(rule: str, reference: int | None, factor: float) -> None:
    assert BatchScaling(rule, reference).factor(96, batch_size=64) == pytest.approx(factor, rel=1e-15)


@pytest.mark.parametrize("rule", ["none", "linear", "sqrt"])
def test_the_reference_itself_is_not_scaled(rule: str) -> None:
    assert BatchScaling(rule).factor(37, 37) == 1.0


@pytest.mark.parametrize(
    "value", ["big", 5, [], [5], [[5]], [[5, 6, 7]], [5, 6], [["5", 6]], [[5.5, 6]], [[True, 6]], {}]
)
def test_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(FomoError, match=r"batch_ramp=.*\[\[SAMPLES,SIZE\],…\], or null"):
        read_ramp(value)


@pytest.mark.parametrize(
    ("ramp", "text"),
    [
        (((0, 8),), r"\[0, 8\]: allowed are samples from 1"),
        (((9, 1),), r"\[9, 1\]: .* sizes from 2"),
        (((90, 8), (50, 9)), "50 samples after 90: they have to rise"),
        (((90, 8), (90, 9)), "90 samples after 90"),
        (((25, 8), (47, 9)), r"no batch has the size of \[25, 8\]: \[47, 9\] .* at 48 samples"),
        (((100, 8), (200, 90), (300, 4), (310, 5)), r"size of \[300, 4\]: \[310, 5\]"),
    ],
)
def test_a_ramp_without_sense_is_refused(ramp: tuple[tuple[int, int], ...], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        BatchSizes(24, ramp)


def test_a_size_that_the_run_does_not_reach_is_refused() -> None:
    BY_HAND.check_reached(6)
    BY_HAND.check_reached(0)
    with pytest.raises(FomoError, match=r"\[130, 10\] is never reached: the 5 steps of the run end at 152 samples"):
        BY_HAND.check_reached(5)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["batch_ramp=[[60,40],[130]]"], "pairs of integers"),
        (["batch_ramp=[[1000,40]]"], "never reached"),
        (["batch_ramp=[[60,1]]"], "sizes from 2"),
        (["batch_scaling.rule=liner"], "rule 'liner'. Did you mean 'linear'"),
        (["batch_scaling.reference=0"], "batch_scaling.reference=0"),
        (["batch_scaling.refrence=9"], "Did you mean 'batch_scaling.reference'"),
        (["schedule=power", "budget.steps=20", "batch_scaling.rule=sqrt"], "power has the batch's size in it"),
    ],
)
def test_nonsense_is_refused_before_training(settings: list[str], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        tiny.prepared(*settings)


RAMP = ("batch_ramp=[[60,36],[130,12]]", "batch_scaling.rule=linear")


def steps_of(run: Path) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == "step"]


def test_a_run_by_hand(tmp_path: Path) -> None:
    """Tasks of four steps: 24, 24, 24, 36 | 36, 12, 12, 12; 72 samples after the third, 144 after the fifth."""
    run = tiny.run(tmp_path / "run", *RAMP, "budget.steps=8", "schedule=constant", "schedule.warmup=0.5")
    sizes = [24, 24, 24, 36, 36, 12, 12, 12]
    assert [step["batch_size"] for step in steps_of(run)] == sizes
    # η = 1e-3 for 24; the warm-up ½, 1 of two steps, each times its b/24
    rates = [0.5e-3, 1e-3, 1e-3, 1.5e-3, 0.75e-3, 0.5e-3, 0.5e-3, 0.5e-3]
    assert [step["lr"] for step in steps_of(run)] == pytest.approx(rates, rel=1e-12)
    ledger = json.loads((run / "ledger.json").read_text())
    # 24·λ: 8, 9, 7; 36·λ = 11.88, 12.24, 11.88: 12, 13, 11; 12·λ = 3.96, 4.08, 3.96: 4, 5, 3. Task 1 has no buffer:
    # 24: 11, 13; 36: 12 + 5, 13 + 6.
    assert ledger["samples"] == {"pretraining": 33 + 17 + 12 + 12, "update": 39 + 19 + 13 + 15, "buffer": 11 + 9}
    assert sum(ledger["samples"].values()) == sum(sizes)


def test_a_rule_without_a_ramp_scales_every_rate(tmp_path: Path) -> None:
    plain, scaled = (
        [step["lr"] for step in steps_of(tiny.run(tmp_path / f"{number}", *overrides))]
        for number, overrides in enumerate(([], ["batch_scaling.rule=sqrt", "batch_scaling.reference=96"]))
    )
    assert scaled == [rate * 0.5 for rate in plain]


COUNTED = ("budget.steps=null", "batch_ramp=[[100,12],[220,36]]")


@pytest.mark.parametrize(
    ("total", "overrides"),
    [
        (60, ("budget=mafs", "method=ewc", "regularizer.num_samples=20", "mixture.batches=unmixed")),
        (120, ("budget=gflops", "optimizer=galore", "optimizer.update_proj_gap=3")),
    ],
    ids=["mafs", "gflops"],
)
def test_charged_is_planned_to_the_digit_across_sizes(total: int, overrides: tuple[str, ...], tmp_path: Path) -> None:
    unit = f"total_{overrides[0].split('=')[1]}"
    run = tiny.run(tmp_path / "run", *COUNTED, *overrides, f"budget.{unit}={total}")
    ledger, steps = json.loads((run / "ledger.json").read_text()), steps_of(run)
    by_task = [{step["batch_size"] for step in steps if step["task"] == task} for task in (1, 2)]
    assert set.union(*by_task) == {24, 12, 36} and max(map(len, by_task)) > 1
    assert ledger["charged"] == ledger["planned"] and ledger["charged"]["steps"] == len(steps)
    for task in ledger["tasks"].values():
        assert task["charged"] == task["planned"] and task["charged"]["steps"] > 0
        assert task["charged"].get("mafs", task["charged"]["flops"] / 1e9) <= total / 2
    assert ledger["left"] >= 0 and sum(ledger["samples"].values()) == sum(step["batch_size"] for step in steps)


@pytest.mark.parametrize(
    "budget", [("budget=samples", "budget.samples=400"), ("budget=wall_seconds", "budget.wall_seconds=3")]
)
def test_samples_and_seconds_fill_their_share(
    budget: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fomo.planning.planner._timed", lambda *given: 0.1)
    run = tiny.run(tmp_path / "run", "budget.steps=null", "batch_ramp=[[40,12]]", *budget)
    sizes = [step["batch_size"] for step in steps_of(run)]
    assert sizes[:3] == [24, 24, 12] and set(sizes[3:]) == {12}
    if budget[0] == "budget=samples":  # 200 each: 2·24 + 12·12 = 192; 16·12 = 192
        assert len(sizes) == 14 + 16


@pytest.mark.parametrize("batches", ["mixed", "unmixed"])
def test_a_ramped_run_that_was_cut_is_the_run_that_was_not(batches: str, tmp_path: Path) -> None:
    overrides = (*RAMP, "budget.steps=8", f"mixture.batches={batches}", "runtime.num_workers=0")
    whole = tiny.run(tmp_path / "whole", *overrides)
    assert cut_run(tmp_path / "run", [5, 3, 2, 2], *overrides, OFTEN) >= 3
    assert differences(whole, tmp_path / "run") == []
