"""What a study's page says of one method in several orders, by hand."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fomo.report.leaderboard import leaderboard
from fomo.report.study import page
from tests.fomo.helpers import evaluation, run_folder

PATHS = {("random", 0): (36, 64), ("random", 1): (38, 66), ("given", 0): (40, 65), ("given", 1): (42, 69)}
"""KA after the first and the last of two updates, by order and seed."""


def run(place: Path, order: str, seed: int, **stream: Any) -> Path:
    """One of ``finetune`` that keeps 49 %."""
    first, last = PATHS[order, seed]
    points = (evaluation(0, 10, 10, 64), evaluation(1, first, first, 49), evaluation(2, last, last, 49))
    folder = run_folder(place / f"{order}{seed}", *points, seed=seed)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"stream": {"ordering": order, **stream}}))
    return folder


def orders_in(folders: list[Path]) -> list[str]:
    """The lines of the page from the first section on orders on."""
    lines = page(leaderboard(folders), "x").splitlines()
    return lines[next((n for n, line in enumerate(lines) if line.startswith("## Orders")), len(lines)) :]


def test_orders_are_apart_on_the_way_and_at_the_end_by_hand(tmp_path: Path) -> None:
    """Apart by 4 and 4 on the way, by 1 and 3 at the end: 2 ± 12.706, and 4 - 2 = 2 ± 12.706 seed by seed."""
    lines = orders_in([run(tmp_path, order, seed) for order, seed in PATHS])
    assert lines[0] == "## Orders: finetune" and "2 orders, seeds 0, 1." in lines[2]
    assert "| KA | 4.0 ± 0.0 | 2.0 ± 12.7 | +2.0 ± 12.7 |" in lines
    assert "| ZS | 0.0 ± 0.0 | 0.0 ± 0.0 | +0.0 ± 0.0 |" in lines
    assert lines[lines.index("| order | KA after 1 | KA after 2 |") + 2 :][:2] == [
        "| given | 41.0 | 67.0 |",
        "| random | 37.0 | 65.0 |",
    ]
    assert "Results on all test images, minus those of `random`, seed by seed:" in lines
    assert any(line.startswith("| given | +2.0 ± 12.7 | +0.0 ± 0.0 |") for line in lines)


def test_files_of_orders_are_named(tmp_path: Path) -> None:
    lines = orders_in(
        [run(tmp_path, order, seed, path=rf"C:\orders/{order[0]}.json") for order, seed in PATHS],
    )
    assert "| given of g | 41.0 | 67.0 |" in lines and "minus those of `given of g`" in " ".join(lines)


@pytest.mark.parametrize(
    "chosen",
    [
        [("random", 0), ("random", 1)],
        [("random", 0), ("given", 0), ("given", 1)],
        [("random", 0), ("given", 1)],
    ],
)
def test_one_order_or_one_common_seed_says_nothing(chosen: list[tuple[str, int]], tmp_path: Path) -> None:
    assert not orders_in([run(tmp_path, order, seed) for order, seed in chosen])


def test_streams_that_differ_in_more_than_the_order_are_not_put_together(tmp_path: Path) -> None:
    folders = [run(tmp_path, order, seed, chunks="dataset" if order == "given" else "equal") for order, seed in PATHS]
    assert not orders_in(folders)
