"""Which runs and submissions a folder stands for: each once, without what only looks like one."""

from pathlib import Path

import pytest

from fomo.errors import FomoError
from fomo.report.leaderboard import leaderboard
from fomo.results.folders import results, run_folders
from tests.fomo.helpers import evaluation, put, run_folder

STEPS = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60), evaluation(2, 40, 40, 40))


def test_a_folder_stands_for_the_runs_and_submissions_below_it(tmp_path: Path) -> None:
    for name in ("b", "a/deep"):
        run_folder(tmp_path / name, *STEPS)
    put(tmp_path / "a" / "theirs.fomo.zip", "")
    put(tmp_path / "notes.txt", "")
    assert run_folders([tmp_path]) == [tmp_path / "a" / "deep", tmp_path / "b"]
    assert results([tmp_path]) == [tmp_path / "a" / "deep", tmp_path / "b", tmp_path / "a" / "theirs.fomo.zip"]


def test_what_loggers_and_methods_keep_in_a_run_is_no_run(tmp_path: Path) -> None:
    """W&B writes a ``config.yaml`` into ``wandb/run-…/files``."""
    run = run_folder(tmp_path / "run", *STEPS)
    for place in ("wandb/run-1/files", "work", "checkpoint", "tensorboard"):
        put(run / place / "config.yaml", "wandb_version: 1")
    assert results([tmp_path]) == [run] and not leaderboard(results([tmp_path])).refused


def test_a_run_has_one_name_that_is_no_link_where_there_is_one(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "runs" / "run", *STEPS)
    (tmp_path / "runs" / "latest").symlink_to("run")
    assert run_folders([tmp_path / "runs"]) == [run] == run_folders([run, run, tmp_path / "runs" / "latest"])


def test_a_link_to_a_run_elsewhere_is_followed_and_no_other_link(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "runs" / "run", *STEPS)
    best = tmp_path / "best"
    best.mkdir()
    (best / "chosen").symlink_to(run)
    (best / "round").symlink_to(best)
    (best / "all").symlink_to(tmp_path / "runs")
    (best / "nowhere").symlink_to(tmp_path / "absent")
    assert run_folders([best]) == [best / "chosen"]
    assert [entry.folders for entry in leaderboard(results([best])).entries] == [(str(best / "chosen"),)]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="is not a folder"):
        run_folders([tmp_path / "absent"])


def test_a_link_to_itself_is_named_and_the_rest_is_ranked(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", *STEPS)
    for name in ("round.fomo.zip", "round"):
        (tmp_path / name).symlink_to(name)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.yaml").symlink_to("config.yaml")
    board = leaderboard(results([tmp_path]))
    assert len(board.entries) == 1
    assert set(board.refused) == {str(tmp_path / "round.fomo.zip"), str(broken)}
