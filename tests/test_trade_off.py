"""The benchmark is worth running: replay keeps what plain fine-tuning forgets, and both learn.

Four datasets in sixty steps, on a part of the test images; wide margins.
"""

from pathlib import Path

from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.results.scores import Point
from fomo.results.scores_file import read_scores
from fomo.running.run import execute, prepare
from tests.tiny import Silent

SHORT = (
    "stream.adaptation=[pocket_charts,pocket_aerial,pocket_solids,pocket_curves]",
    "stream.test_images=100",
    "evaluation.subset=none",
    "num_tasks=2",
    "budget=steps",
    "budget.steps=60",
    "batch_size=64",
    "runtime.device=cpu",
)


def ends(folder: Path, *overrides: str) -> tuple[Point, Point]:
    """KA and ZS of the base model and of the last one of a short run."""
    execute(prepare(resolve(compose([*SHORT, *overrides]))), folder, Silent())
    scores = read_scores(folder)
    return scores.start, scores.final


def test_replay_keeps_what_plain_fine_tuning_forgets_and_both_learn(tmp_path: Path) -> None:
    frozen, thirds = ends(tmp_path / "thirds", "mixture=thirds")
    _, update_only = ends(tmp_path / "update_only", "experiment=update_only")
    # the base model knows more of what is to be kept than of what is to be learned
    assert frozen.zs >= 50 and frozen.ka <= 45
    assert thirds.zs - update_only.zs >= 5
    assert thirds.ka - frozen.ka >= 20
    assert update_only.ka - frozen.ka >= 10
