"""What points are made of evaluations and events."""

from pathlib import Path

from fomo.loggers.points import Points
from fomo.results.scores import Evaluation, ScoredDataset, ScoredStream, Scores
from tests.fomo.loggers.told import SCORES


def test_a_subset_is_told_apart_from_all_samples() -> None:
    datasets = {
        "new": ScoredDataset("adaptation", "classification", "accuracy", 10),
        "old": ScoredDataset("retention", "classification", "accuracy", 10),
    }
    part = Evaluation(0, {"new": 40.0, "old": 90.0}, {1: 40.0}, {}, subset=0.5)
    full = Evaluation(0, {"new": 36.0, "old": 81.0}, {1: 36.0}, {})
    scores = Scores(Path("none"), ScoredStream("none"), "test", (), 1, datasets, (part,), (full,))
    point = Points().of({"event": "evaluation", "task": 0, "time": 5.0}, scores)
    assert point is not None and (point.number, point.task, point.step, point.time) == (0, 0, 0, 5.0)
    assert dict(point.values) == {
        "score/ka": 40.0,
        "score/zs": 90.0,
        "score/gm": 60.0,
        "dataset/new": 40.0,
        "dataset/old": 90.0,
        "task/1": 40.0,
        "score_in_full/ka": 36.0,
        "score_in_full/zs": 81.0,
        "score_in_full/gm": 54.0,
        "dataset_in_full/new": 36.0,
        "dataset_in_full/old": 81.0,
        "task_in_full/1": 36.0,
    }


def test_what_is_not_finite_is_no_point() -> None:
    points = Points()
    step = {"event": "step", "task": 1, "step": 0, "loss": None, "lost": 1, "regularizer.pull": 2.0, "time": 1.0}
    first = points.of(step, SCORES)
    assert first is not None and dict(first.values) == {"train/lost": 1, "method/regularizer.pull": 2.0}
    assert points.of({"event": "resume", "task": 1, "steps": 1, "time": 1.0}, SCORES) is None
    second = points.of({"event": "end_task", "task": 1, "merging.size": 3.0, "time": 2.0}, SCORES)
    assert second is not None and (second.number, second.step) == (1, 1)
    assert dict(second.values) == {"end_task/merging.size": 3.0}
