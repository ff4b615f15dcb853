"""Loggers hear what the events have, each point once however often a run is cut, and change nothing of it."""

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fomo
from fomo.loggers.logger import LoggedRun, Logger
from fomo.loggers.points import OVER_STEPS, OVER_TASKS
from fomo.results.layout import TENSORBOARD, WANDB
from fomo.running.prepared import Prepared
from fomo.running.run import execute
from tests import tiny
from tests.faults.compare import differences, events
from tests.fomo.loggers.told import METHOD, Keeping, Told, expected, on_tensorboard, on_wandb
from tests.fomo.running.test_resume import OFTEN, Cut, Cutting

BOTH = "log=[tensorboard,wandb]"


def told_by(prepared: Prepared, logger: Logger) -> Prepared:
    """The same run with one more logger."""
    return replace(prepared, loggers={**prepared.loggers, "kept": logger})


def kept(folder: Path, *overrides: str, at: int | None = None) -> Keeping:
    """Run, with a logger that keeps what it hears beside those that are chosen, and cut at the ``at``-th step."""
    keeping = Keeping()
    prepared = told_by(tiny.prepared(*METHOD, *overrides), keeping)
    execute(prepared, folder, tiny.Silent() if at is None else Cutting(at))
    return keeping


def close(one: Told, other: Told) -> None:
    """TensorBoard has fp32."""
    assert one.keys() == other.keys()
    for key, points in one.items():
        assert [step for step, _ in points] == [step for step, _ in other[key]], key
        assert [value for _, value in points] == pytest.approx([value for _, value in other[key]], rel=1e-6), key


def hooks() -> list[Any]:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGWINCH)
    return [sys.exit, sys.excepthook, *map(signal.getsignal, signals)]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Keeping]:
    """The same run with loggers, one of which draws from shared generators."""
    folder = tmp_path_factory.mktemp("logged") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        before = hooks()
        keeping = kept(folder, BOTH)
        assert hooks() == before
    return folder, keeping


def test_no_logger_changes_a_result(whole: Path, logged: tuple[Path, Keeping]) -> None:
    assert differences(whole, logged[0]) == []


def test_they_hear_what_the_events_and_scores_have(logged: tuple[Path, Keeping]) -> None:
    folder, keeping = logged
    first, *_, last = keeping.told
    assert isinstance(first, LoggedRun) and first.folder == folder and first.config["seed"] == 0 and last is True
    steps = [each for each in events(folder) if each["event"] == "step"]
    told = expected(keeping.points)
    assert [value for _, value in told["train/loss"]] == [each["loss"] for each in steps]
    assert [value for _, value in told["train/lr"]] == [each["lr"] for each in steps]
    assert [step for step, _ in told["train/lr"]] == [1, 2, 3, 4, 5, 6]
    rows = zip(told["pools/pretraining"], told["pools/update"], told["pools/buffer"], strict=True)
    assert [sum(value for _, value in row) for row in rows] == [24] * 6
    spent = json.loads((folder / "ledger.json").read_text())["charged"]["flops"] / 1e9
    flops = [value for _, value in told["ledger/gflops"]]
    assert flops == sorted(flops) and flops[0] > 0 and flops[-1] <= spent
    scores = fomo.load(folder).scores
    assert [value for _, value in told["score/ka"]] == [point.ka for point in scores.points]
    assert [value for _, value in told["dataset/pocket_flags"]] == [
        e.scores["pocket_flags"] for e in scores.evaluations
    ]
    assert told["task/2"][-1] == (6, scores.evaluations[-1].tasks[2])
    assert {key.split("/")[0] for key in told} <= {*OVER_STEPS, *OVER_TASKS}
    assert [point.number for point in keeping.points] == list(range(len(keeping.points)))


def test_tensorboard_and_wandb_show_all_of_it(logged: tuple[Path, Keeping]) -> None:
    folder, keeping = logged
    told = expected(keeping.points)
    assert on_wandb(folder / WANDB) == told
    close(on_tensorboard(folder / TENSORBOARD), told)


@pytest.mark.parametrize("at", [[2], [5, 3], [7]])
def test_a_run_that_goes_on_has_every_point_once(
    at: list[int], whole: Path, logged: tuple[Path, Keeping], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However soon: wandb names its folders by the second."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("wandb.sdk.wandb_init.time", SimpleNamespace(**vars(time) | {"time": lambda: 1.7e9}))
    for number in at:
        with pytest.raises(Cut):
            kept(tmp_path / "run", BOTH, OFTEN, at=number)
    keeping = kept(tmp_path / "run", BOTH, OFTEN)
    told = expected(keeping.points)
    assert told == expected(logged[1].points) and keeping.told[0].id
    assert on_wandb(tmp_path / "run" / WANDB) == told
    close(on_tensorboard(tmp_path / "run" / TENSORBOARD), told)
    assert differences(whole, tmp_path / "run") == []


def test_who_listens_later_hears_everything(whole: Path, logged: tuple[Path, Keeping], tmp_path: Path) -> None:
    with pytest.raises(Cut):
        execute(tiny.prepared(*METHOD, OFTEN), tmp_path / "run", Cutting(6))
    tiny.run(tmp_path / "run", *METHOD, "log=tensorboard")
    close(on_tensorboard(tmp_path / "run" / TENSORBOARD), expected(logged[1].points))
    assert differences(whole, tmp_path / "run") == []
