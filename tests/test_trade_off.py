"""The benchmark is worth running: replay keeps what plain fine-tuning forgets, and both learn.

Fewer steps on smaller batches than the full figures of docs/results.md have; wide margins.
"""

from pathlib import Path

from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.results.scores import Point, read_scores
from fomo.running.run import execute, prepare
from tests.tiny import Silent

SHORT = ("num_tasks=4", "budget=steps", "budget.steps=120", "batch_size=48", "runtime.device=cpu")


def ends(folder: Path, *overrides: str) -> tuple[Point, Point]:
    """KA and ZS of the base model and of the last one of a short run on the whole pocket stream."""
    execute(prepare(resolve(compose([*SHORT, *overrides]))), folder, Silent())
    scores = read_scores(folder)
    return scores.points[0], scores.final


def test_replay_keeps_what_plain_fine_tuning_forgets_and_both_learn(tmp_path: Path) -> None:
    frozen, thirds = ends(tmp_path / "thirds", "mixture=thirds")
    _, update_only = ends(tmp_path / "update_only", "experiment=update_only")
    # the base model knows more of what is to be kept than of what is to be learned
    assert frozen.zs >= 50 and frozen.ka <= 45
    assert thirds.zs - update_only.zs >= 15
    assert thirds.ka - frozen.ka >= 15
    assert update_only.ka > frozen.ka
