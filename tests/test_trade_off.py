"""The benchmark is worth running: replay keeps what plain fine-tuning forgets, and both learn.

A third of the default budget, wide margins: the full figures are in docs/results.md.
"""

from pathlib import Path

import pytest

from fomo.compose import compose
from fomo.config import resolve
from fomo.run import execute, prepare
from fomo.scores import Point, read_scores
from tests.tiny import Silent

pytestmark = pytest.mark.xdist_group("trade_off")  # the runs are shared
SHORT = ("num_tasks=4", "budget.total=120", "batch_size=96")


def final(folder: Path, *overrides: str) -> Point:
    """KA and ZS of the last model of a short run on the whole pocket stream."""
    execute(prepare(resolve(compose([*SHORT, *overrides]))), folder, Silent())
    return read_scores(folder).final


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Point]:
    """One run per way to train."""
    folder = tmp_path_factory.mktemp("runs")
    runs = {"frozen": "method=frozen", "thirds": "mixture=thirds", "update_only": "mixture=update_only"}
    return {name: final(folder / name, override) for name, override in runs.items()}


def test_the_base_model_knows_what_is_to_be_kept_and_little_of_what_is_to_be_learned(points: dict[str, Point]) -> None:
    assert points["frozen"].zs >= 60 and points["frozen"].ka <= 20


def test_replay_keeps_what_plain_fine_tuning_forgets(points: dict[str, Point]) -> None:
    assert points["thirds"].zs - points["update_only"].zs >= 15


def test_training_accumulates_knowledge(points: dict[str, Point]) -> None:
    assert points["thirds"].ka - points["frozen"].ka >= 15
    assert points["update_only"].ka > points["frozen"].ka
