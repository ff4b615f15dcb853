"""The contract of a stream's plan, held to with a stream of somebody else's."""

from collections.abc import Sequence

import pytest

from fomo.errors import FomoError
from fomo.stream.definition import Concept
from fomo.stream.plan import StreamPlan
from tests.birds import CLASSES, BirdPlan


def test_a_plan_of_names_and_datasets_alone_opens() -> None:
    stream = BirdPlan().open(2, 0, "test")
    assert [[concept.name for concept in task] for task in stream.tasks] == [["owl", "emu"], ["kiwi", "gull"]]
    assert list(stream.adaptation) == ["birds"] and list(stream.retention) == ["old_birds"]
    assert stream.pool is not None and len(stream.pool) == 40


def test_a_plan_without_datasets_is_none() -> None:
    with pytest.raises(TypeError, match="datasets"):
        StreamPlan()  # type: ignore[abstract]


def test_what_a_checked_stream_lacks_is_its_pool() -> None:
    checked = BirdPlan().checked(2, 0, "test")
    assert checked.pool is None and checked.sha256 == BirdPlan().open(2, 0, "test").sha256


def test_its_own_order_is_cut_into_tasks() -> None:
    class Backwards(BirdPlan):
        def ordered(self, seed: int, facts: object = None) -> Sequence[Concept]:
            return self.concepts[::-1]

    tasks = Backwards().open(4, 0, "test").tasks
    assert [task[0].name for task in tasks] == list(CLASSES)[::-1]


def test_a_run_that_is_scored_on_the_validation_split_holds_some_samples_out() -> None:
    streams = [BirdPlan().open(2, 0, split) for split in ("test", "validation")]
    assert [len(stream.adaptation["birds"].split("train")) for stream in streams] == [40, 36]


def test_training_samples_are_those_of_the_cards() -> None:
    assert BirdPlan(size=60).num_training_samples() == 60


def test_a_dataset_that_is_not_there_is_told_and_refused_when_the_stream_is_opened() -> None:
    plan = BirdPlan(absent=True)
    assert plan.absent() == ["lost_birds"]
    with pytest.raises(FomoError, match="stream 'birds': datasets that are not there: lost_birds"):
        plan.open(2, 0, "test")
