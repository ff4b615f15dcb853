"""What evaluation costs, by hand, and what a run really looks at."""

from pathlib import Path

import pytest

from fomo.data.card import DatasetCard
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.cost import evaluation_cost
from fomo.planning.scale import Scored
from fomo.results.scores_file import read_scores
from tests import tiny

CARDS = (
    DatasetCard("large", tuple(f"c{number}" for number in range(10)), ("{}",), {"test": 5000}),
    DatasetCard("small", ("a", "b"), ("{}",), {"test": 40}),
    DatasetCard("found", (), (), {"test": 1000}, kind="retrieval"),
)


@pytest.mark.parametrize(
    ("config", "images", "evaluations", "said"),
    [
        (EvaluationConfig(), 6040 * 5, 5, "5 × 6,040 = 30,200 test images"),
        (EvaluationConfig(every_tasks=3), 6040 * 3, 3, "3 × 6,040 = 18,120 test images"),  # 0, 3 and 4
        (EvaluationConfig(subset="protocol"), 1540 * 5 + 2 * 6040, 7, "5 × 1,540 and 2 × 6,040 = 19,780 test images"),
        # tasks of 7, 6, 6 and 0 steps: after 3 and 6 of the first, after 3 of the next two
        (EvaluationConfig(every_steps=3), 6040 * 9, 9, "9 × 6,040 = 54,360 test images, 4 of them within tasks"),
        (EvaluationConfig(split="validation"), 0, 5, "5 × 0 = 0 test images"),
    ],
)
def test_by_hand(config: EvaluationConfig, images: int, evaluations: int, said: str) -> None:
    cost = evaluation_cost(CARDS, config, (7, 6, 6, 0))
    assert (cost.run_images, cost.num_evaluations, str(cost)) == (images, evaluations, said)


def test_flops_are_of_what_is_looked_at() -> None:
    assert Scored(10, 3, 5.0, 2.0).flops(4) == 5 * (10 * 5 + 3 * 2)
    assert Scored(10, 3, 5.0, 2.0, 0, 7, 42).flops(4) == 42 * 5 + 7 * 3 * 2


def test_it_is_what_a_run_looks_at(tmp_path: Path) -> None:
    prepared = tiny.prepared(looks := "evaluation.every_steps=2", "evaluation.every_tasks=2")
    scores = read_scores(tiny.run(tmp_path / "run", looks, "evaluation.every_tasks=2"))
    seen = sum(sum(each.num_samples.values()) for each in (*scores.evaluations, *scores.within))
    assert f"= {seen:,} test images, 2 of them within tasks." in prepared.work
    assert prepared.work.startswith("Training: 144 samples. ")
