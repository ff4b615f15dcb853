"""What events say of a run: counted by hand."""

from typing import Any

import pytest

from fomo.report.history import Step, curve, history


def step(task: int, number: int, time: float, **values: Any) -> dict[str, Any]:
    return {"event": "step", "task": task, "step": number, "loss": 1.0, "lr": 0.1, "time": time, **values}


def test_times_are_between_lines_and_those_of_a_stop_are_nowhere() -> None:
    events = [
        {"event": "evaluation", "task": 0, "time": 100.0},
        step(1, 0, 101.0),
        {"event": "within", "task": 1, "step": 1, "time": 131.0},
        step(1, 1, 133.0),
        {"event": "resume", "task": 1, "steps": 2, "time": 9000.0},
        step(1, 2, 9005.0),
        {"event": "end_task", "task": 1, "x": 1.0, "time": 9006.0},
        {"event": "evaluation", "task": 1, "time": 9016.0},
        step(2, 0, 9017.0),
    ]
    found = history(events)
    assert found.num_resumes == 1 and (found.first, found.last) == (100.0, 9017.0)
    assert {task: (time.training, time.evaluation) for task, time in found.times.items()} == {
        1: (1 + 2 + 5 + 1, 30 + 10),
        2: (1, 0),
    }


def test_samples_are_summed_by_pool_and_task() -> None:
    rows = {"pretraining": 3, "update": 4, "buffer": 0}
    found = history([step(1, 0, 1.0, **rows), step(1, 1, 2.0, **rows), step(2, 0, 3.0, pretraining=1), step(3, 0, 4.0)])
    assert found.seen(1) == {"pretraining": 6, "update": 8, "buffer": 0}
    assert found.seen(2) == {"pretraining": 1} and found.seen(3) == found.seen(9) == {}


def test_a_loss_that_was_not_finite_is_left_open() -> None:
    found = history([step(1, 0, 1.0, loss=None), step(1, 1, 2.0, loss=1e99), step(1, 2, 3.0)])
    assert [each.loss for each in found.steps] == [None, None, 1.0]
    assert curve(found.steps, [each.loss for each in found.steps], {}, 10) == [(pytest.approx(2.5 / 3), 1.0)]


def test_lines_that_lack_something_do_no_harm() -> None:
    odd = [{}, {"event": "step"}, {"event": "step", "task": "one"}, {"event": "evaluation", "task": 1, "time": "now"}]
    found = history([*odd, {"event": "step", "task": 1}])
    assert found.steps == [Step(1, 0, None, None, {})] and found.times == {} and found.first is None


def test_a_curve_is_over_updates_and_each_point_the_mean_of_its_stretch() -> None:
    steps = [Step(task, number, None, None, {}) for task in (1, 2) for number in range(4)]
    values = [float(value) for value in range(8)]
    assert curve(steps, values, {}, 100)[0] == (0.125, 0.0) and curve(steps, values, {}, 100)[-1] == (1.875, 7.0)
    assert curve(steps, values, {}, 4) == [(0.25, 0.5), (0.75, 2.5), (1.25, 4.5), (1.75, 6.5)]
    assert curve(steps[:2], values[:2], {1: 4}, 100) == [(0.125, 0.0), (0.375, 1.0)]
