"""Where the time of a run goes, by a clock that stands still until it is moved."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from fomo.budget.flops import unmetered
from fomo.running.card import stage_rates
from fomo.system.devices import Peak
from fomo.system.stages import PHASES, Stages


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Run:
    """Steps that take as long as is said."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.stages = Stages(clock=self.clock)

    def slow(self, seconds: list[float]) -> Iterator[float]:
        for each in seconds:
            self.clock.now += each
            yield each

    def spend(self, **seconds: float) -> None:
        for name, each in seconds.items():
            with self.stages.over(unmetered)(name.replace("__", ".")):
                self.clock.now += each

    def evaluate(self, seconds: float) -> None:
        with self.stages.during("evaluation"):
            self.clock.now += seconds

    def keep(self, seconds: float) -> dict[str, Any]:
        """A checkpoint, in whose midst the state is asked for."""
        with self.stages.during("checkpoint"):
            self.clock.now += seconds / 2
            state = self.stages.state_dict()
            self.clock.now += seconds / 2
        return state

    def task(self, number: int, sizes: list[int]) -> None:
        self.spend(lwf__begin_task=1)
        self.steps(number, sizes)

    def steps(self, number: int, sizes: list[int], start: int = 0, end: int | None = None) -> None:
        """Of 8.25 s and 10 FLOPs each."""
        steps = range(start, len(sizes) if end is None else end)
        for step, _ in zip(steps, self.stages.waiting(self.slow([1] * len(steps))), strict=False):
            self.spend(forward=2, lwf__loss=0.25, backward=4, optimizer=0.5)
            self.clock.now += 0.5
            self.stages.step(number, sizes[step], 10 * (step + 1))

    def end(self, number: int, sizes: list[int]) -> None:
        self.spend(ewc__end_task=3)
        self.evaluate(20)
        self.stages.end_task(10 * len(sizes) + 5)


def test_every_second_is_of_one_phase_and_evaluation_is_apart() -> None:
    run = Run()
    run.evaluate(7)
    for task in (1, 2):
        run.task(task, [8, 8])
        run.keep(0.5)
        run.end(task, [8, 8])
    (row,) = run.stages.rows
    assert row.steps == 4 and row.tasks == [1, 2] and row.flops == 50
    expected = {"data": 4, "forward": 8, "backward": 16, "optimizer": 2, "hooks": 9, "checkpoint": 1}
    expected |= {"other": 2, "evaluation": 47}
    assert row.seconds == pytest.approx(expected)
    assert sum(row.seconds.values()) == pytest.approx(run.clock.now - 100) and row.training_seconds == 42
    rates = stage_rates(row, computed_flops=75, model_flops=50, best=Peak(10.0, "made up"))
    assert sum(rates.shares.values()) == pytest.approx(1) and list(rates.shares) == list(PHASES)
    assert rates.samples_per_second == 4 * 8 / 42 and rates.evaluation_seconds == 47
    assert (rates.hfu, rates.mfu) == pytest.approx((75 / 42 / 10, 50 / 42 / 10)) and rates.peak_source == "made up"
    unknown = stage_rates(row, computed_flops=50, model_flops=None, best=Peak(10.0, "made up"))
    assert unknown.mfu is None and unknown.hfu == pytest.approx(50 / 42 / 10)


def test_the_start_of_the_process_is_no_training() -> None:
    run = Run()
    run.clock.now += 1000
    run.stages.begin()
    run.steps(1, [8])
    assert sum(run.stages.rows[0].seconds.values()) == 8.25


def test_a_ramp_has_a_row_for_each_size_with_what_comes_before_and_after() -> None:
    run = Run()
    run.evaluate(7)
    run.task(1, [8, 8, 16])
    run.end(1, [8, 8, 16])
    run.task(2, [32])
    run.end(2, [32])
    first, second, third = run.stages.rows
    assert [(row.batch_size, row.steps, row.tasks) for row in run.stages.rows] == [
        (8, 2, [1, 1]),
        (16, 1, [1, 1]),
        (32, 1, [2, 2]),
    ]
    assert [row.flops for row in run.stages.rows] == [20, 15, 15]
    assert [row.seconds["evaluation"] for row in run.stages.rows] == [7, 20, 20]
    assert [row.seconds["data"] for row in run.stages.rows] == [2, 1, 1]
    assert [row.seconds["hooks"] for row in run.stages.rows] == pytest.approx([1.5, 3.25, 4.25])
    assert first.seconds["other"] == 1 and second.seconds["other"] == third.seconds["other"] == 0.5


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_run_that_was_stopped_adds_up(cut: int) -> None:
    sizes = [8, 8, 16]
    whole = Run()
    before = Run()
    for run in (whole, before):
        run.evaluate(7)
    whole.task(1, sizes)
    whole.end(1, sizes)
    before.spend(lwf__begin_task=1)
    before.steps(1, sizes, end=cut)
    kept = json.loads(json.dumps(before.stages.state_dict()))
    before.clock.now += 1000  # what comes after a checkpoint is made again
    after = Run()
    after.stages.load_state_dict(kept)
    after.steps(1, sizes, start=cut)
    after.end(1, sizes)
    assert after.stages.rows == whole.stages.rows


class FakeStream:
    """A device that the host runs ahead of: it knows when its work ends once it is waited for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits = 0


def test_no_phase_on_a_gpu_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FakeStream()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, on: FakeStream) -> None:
            self.at = on.now

        def synchronize(self) -> None:
            stream.waits += 1

        def elapsed_time(self, end: "Event") -> float:
            return 1000 * (end.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    clock = Clock()
    stages = Stages("cuda:0", clock)
    for name, seconds in (("forward", 2), ("backward", 4), ("optimizer", 0.5), ("ema.after_step", 0.25)):
        with stages.over(lambda name: nullcontext())(name):
            stream.now += seconds  # the host has only asked for it
    assert stream.waits == 0
    clock.now += 8
    stages.step(1, 8, 10)
    (row,) = stages.rows
    assert stream.waits == 4 and row.seconds["hooks"] == 0.25 and row.seconds["other"] == pytest.approx(1.25)
    assert sum(row.seconds.values()) == pytest.approx(8)


def test_a_state_of_a_version_that_knew_fewer_phases_is_counted_on_from() -> None:
    run = Run()
    run.steps(1, [8])
    kept = run.stages.state_dict()
    for stage in (*kept["rows"], kept["pending"]):
        del stage["seconds"]["checkpoint"]
    after = Run()
    after.stages.load_state_dict(kept)
    after.keep(2)
    after.stages.end_task(10)
    assert after.stages.rows[0].seconds == run.stages.rows[0].seconds | {"checkpoint": 2}


def test_an_error_in_a_phase_goes_through() -> None:
    def fail() -> Any:
        with Stages().over(unmetered)("forward"):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()


@pytest.mark.gpu
def test_events_of_a_gpu_are_read_where_a_step_ends() -> None:
    stages = Stages("cuda")
    matrix = torch.ones(1024, 1024, device="cuda")
    for name in ("forward", "backward"):
        with stages.over(unmetered)(name):
            matrix = matrix @ matrix
    stages.step(1, 8, 10)
    assert min(stages.rows[0].seconds[name] for name in ("forward", "backward")) > 0
