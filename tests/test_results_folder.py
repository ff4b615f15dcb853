"""The submissions that lie in ``results/`` are fit, and the board is built from them."""

import re
from pathlib import Path

import pytest

from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.report.board_page import board_page
from fomo.report.leaderboard import leaderboard
from fomo.report.submitted import one_entry
from fomo.results.card import read_card
from fomo.results.folders import results
from fomo.results.layout import CONFIG
from fomo.results.submission import SUFFIX, opened

TOP = Path(__file__).parents[1]
FILES = results([TOP / "results"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_submission_is_fit_for_a_leaderboard(file: Path) -> None:
    assert one_entry([file]).seeds


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_configuration_makes_the_same_run_as_ever(file: Path) -> None:
    """Its hash, which names the run, has not moved with what can be chosen since."""
    with opened(file) as runs:
        for folder in runs.values():
            assert resolve(compose([], folder / CONFIG)).sha256 == read_card(folder).config_sha256


def test_the_board_has_a_row_for_every_submission_and_says_why_for_every_other() -> None:
    board = leaderboard(FILES)
    assert not board.refused
    assert board_page(board).count("<tr data-entry=") == len(FILES) == len(board.entries)


def test_nothing_else_lies_there_and_make_builds_the_page() -> None:
    names = {path.name for path in (TOP / "results").iterdir()}
    assert all(name.endswith(SUFFIX) or name == "README.md" for name in names)
    rule = re.search(r"^board: .*\n((?:\t.*\n)+)", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert rule and "fomo leaderboard results --html site/board.html" in rule.group(1)
