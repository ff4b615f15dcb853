"""The tiny experiment gives what it gave when the numbers were checked in.

Tolerances leave room for another machine's rounding, not for another algorithm: a changed draw, crop or learning rate
moves the losses by several percent.
"""

from pathlib import Path

import pytest

from tests import golden


@pytest.mark.parametrize("case", golden.CASES)
def test_losses_and_scores_are_the_stored_ones(case: str, tmp_path: Path) -> None:
    now, then = golden.run(tmp_path / "run", case), golden.stored()[case]
    assert now["losses"] == pytest.approx(then["losses"], rel=0.005)
    for before, after in zip(then["points"], now["points"], strict=True):
        assert after == pytest.approx(before, abs=2.0)


def test_another_seed_would_be_noticed(tmp_path: Path) -> None:
    other = golden.run(tmp_path / "run", "method=finetune seed=7")
    assert other["losses"] != pytest.approx(golden.stored()["method=finetune"]["losses"], rel=0.005)
