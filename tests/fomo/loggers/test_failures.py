"""A logger that fails, or has no network, folder or key, costs its log and not the run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import wandb

from fomo.loggers.logger import LoggedRun, Logger, Point
from fomo.loggers.loggers import Loggers
from fomo.loggers.wandb import WeightsAndBiases
from fomo.results.layout import TENSORBOARD, WANDB
from fomo.running.run import execute
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.helpers import put
from tests.fomo.loggers.told import METHOD, SCORES, Keeping, on_wandb, warned
from tests.fomo.running.test_resume import OFTEN, Cut, Cutting


class Failing(Logger):
    """Fails at one of its hooks; the last one is like a full disk."""

    def __init__(self, at: str) -> None:
        self._at = at

    def _fail(self, at: str) -> None:
        if at == self._at:
            raise SystemExit(3) if at == "begin" else OSError(28, "No space left on device\nsecond line")

    def begin(self, run: LoggedRun) -> None:
        self._fail("begin")

    def log(self, point: Point) -> None:
        self._fail("log")

    def end(self, finished: bool) -> None:
        self._fail("end")


@pytest.mark.parametrize("at", ["begin", "log", "end"])
def test_one_that_fails_is_said_once_and_the_others_go_on(
    at: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "events.jsonl", '{"event": "step", "task": 1, "step": 0, "loss": 3.0, "time": 0.0}\n')
    keeping = Keeping()
    loggers = Loggers({"log.bad": Failing(at), "log.good": keeping})
    with loggers.hearing(LoggedRun("1", tmp_path, "", {}), SCORES):
        loggers.hear({"event": "step", "task": 1, "step": 1, "loss": 2.0, "time": 0.0}, SCORES)
    (said,) = warned(caplog)
    assert said.startswith("log.bad (Failing) fails") and "the run" in said and "\n" not in said
    assert [point.values["train/loss"] for point in keeping.points] == [3.0, 2.0] and keeping.told[-1] is True


def test_the_end_of_a_run_that_fails_is_told(tmp_path: Path) -> None:
    put(tmp_path / "events.jsonl", "")
    keeping = Keeping()
    with pytest.raises(KeyError), Loggers({"log": keeping}).hearing(LoggedRun("1", tmp_path, "", {}), SCORES):
        raise KeyError
    assert keeping.told[-1] is False


def test_a_folder_that_cannot_be_written_costs_the_log_and_not_the_run(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file where TensorBoard's folder is to be."""
    with pytest.raises(Cut):
        execute(tiny.prepared(*METHOD, OFTEN), tmp_path / "run", Cutting(4))
    put(tmp_path / "run" / TENSORBOARD, "in the way")
    tiny.run(tmp_path / "run", *METHOD, "log=tensorboard")
    assert [said.split(":")[1].strip() for said in warned(caplog)] == ["FileExistsError"]
    assert differences(whole, tmp_path / "run") == []


def test_without_a_network_it_is_said_and_waited_for_no_longer_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.teardown()  # it asks for modes and keys once in a process
    monkeypatch.setattr("fomo.loggers.wandb.INIT_SECONDS", 1.0)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    put(tmp_path / "events.jsonl", "")
    run = LoggedRun("someid", tmp_path, "finetune", {"seed": 0})
    with Loggers({"log": WeightsAndBiases()}).hearing(run, SCORES):
        pass
    (said,) = warned(caplog)
    assert "log (WeightsAndBiases) fails" in said and "Comm" in said


def test_without_a_key_it_is_offline_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Online is asked for, but nobody may be asked for a login."""
    wandb.teardown()  # it asks for modes and keys once in a process
    put(tmp_path / "events.jsonl", '{"event": "step", "task": 1, "step": 0, "loss": 3.0, "time": 0.0}\n')
    run = LoggedRun("someid", tmp_path, "finetune", {"seed": 0})
    with Loggers({"log": WeightsAndBiases(mode="online")}).hearing(run, SCORES):
        pass
    (said,) = warned(caplog)
    assert "no key is configured, so it is offline" in said and "wandb sync" in said
    assert on_wandb(tmp_path / WANDB) == {"train/loss": [(1, 3.0)]}


class Server:
    """Stands in for a run that W&B's server has some rows of already."""

    step = 2

    def __init__(self) -> None:
        self.rows: dict[int, Mapping[str, Any]] = {}

    def define_metric(self, name: str, step_metric: str) -> None:
        assert step_metric in ("step", "task")

    def log(self, row: Mapping[str, Any], step: int, commit: bool) -> None:
        assert commit and step not in self.rows
        self.rows[step] = row

    def finish(self, exit_code: int) -> None:
        assert exit_code == 0


def test_online_what_the_server_has_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    asked = dict[str, Any]()
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb, "init", lambda **given: asked.update(given) or server)
    lines = [{"event": "step", "task": 1, "step": n, "loss": float(n), "time": 0.0} for n in range(4)]
    put(tmp_path / "events.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    with Loggers({"log": WeightsAndBiases()}).hearing(LoggedRun("id1", tmp_path, "lora", {"seed": 3}), SCORES):
        pass
    assert (asked["id"], asked["resume"], asked["mode"], asked["name"]) == ("id1", "allow", "online", "lora seed=3")
    assert {number: row["train/loss"] for number, row in server.rows.items()} == {2: 2.0, 3: 3.0}
