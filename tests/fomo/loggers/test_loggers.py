"""Loggers hear what the events have, each point once however often a run is cut, and change nothing of it."""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
import yaml

import fomo
from fomo.cli.methods import plugins as listed
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.loggers import logger as contract
from fomo.loggers.logger import LoggedRun, Logger, Point
from fomo.loggers.loggers import Loggers
from fomo.loggers.points import OVER_STEPS, OVER_TASKS, Points
from fomo.loggers.tensorboard import TensorBoard
from fomo.loggers.wandb import WeightsAndBiases
from fomo.results.layout import CONFIG, TENSORBOARD, WANDB
from fomo.results.scores import Evaluation, ScoredDataset, ScoredStream, Scores
from fomo.running.prepared import Prepared
from fomo.running.run import execute, prepare
from tests import tiny
from tests.faults.compare import differences, events
from tests.fomo.helpers import put, status
from tests.fomo.loggers.told import Keeping, Told, expected, on_tensorboard, on_wandb
from tests.fomo.running.test_resume import OFTEN, Cut, Cutting
from tests.plugin import install, seen

BOTH = "log=[tensorboard,wandb]"
METHOD = ("method=ewc", "regularizer.num_samples=24")


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests may have one."""
    for name in [*filter(lambda name: name.startswith("WANDB_"), os.environ)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody logs."""
    return tiny.run(tmp_path_factory.mktemp("whole") / "run", *METHOD)


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


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a user sees; wandb's own log is a file."""
    seen = (each for each in caplog.records if each.levelno >= logging.WARNING and each.name.startswith("fomo."))
    return [record.getMessage() for record in seen]


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


def test_a_logger_is_no_part_of_a_run(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, logged = tiny.resolved(*METHOD), tiny.resolved(*METHOD, BOTH, "log.wandb.project=mine")
    assert logged.sha256 == plain.sha256 and logged.config.label == plain.config.label
    assert logged.values["log"]["wandb"]["project"] == "mine"
    assert status("run", *tiny.TINY, *METHOD, f"run.dir={whole}", "log=tensorboard") == 0
    assert "is finished: nothing to do" in " ".join(capsys.readouterr().out.split())
    assert not (whole / TENSORBOARD).exists()


def test_of_a_replayed_configuration_the_loggers_are_chosen_anew(tmp_path: Path) -> None:
    file = put(tmp_path / CONFIG, tiny.resolved("log=wandb", "log.entity=somebody_else").to_yaml())
    none = {"_target_": "fomo.loggers.logger.Logger"}
    assert compose([], file)["log"] == none == tiny.resolved().values["log"]
    assert list(compose([BOTH], file)["log"]) == ["tensorboard", "wandb", "_order_"]
    assert compose(["log=wandb", "log.entity=me"], file)["log"]["entity"] == "me"
    with pytest.raises(FomoError, match="Did you mean 'wandb'"):
        compose(["log=wanda"], file)


def test_an_older_configuration_names_no_logger(tmp_path: Path) -> None:
    values = {key: value for key, value in tiny.resolved().values.items() if key != "log"}
    file = put(tmp_path / CONFIG, yaml.safe_dump(values))
    assert resolve(compose([], file)).sha256 == tiny.resolved().sha256


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


SCORES = Scores(Path("none"), ScoredStream("none"), "test", (), 1, {})


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


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_said_before_the_first_step(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = contract.importlib.util.find_spec
    monkeypatch.setattr(contract.importlib.util, "find_spec", lambda each: None if each == name else found(each))
    with pytest.raises(FomoError, match=rf"log={name} needs {name}.*pip install 'fomo-bench\[{name}\]'"):
        tiny.run(tmp_path / "run", f"log={name}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["log=tensorbord"], "Did you mean 'tensorboard'"),
        (["log=wandb", "log.mode=on"], "unknown value of log.mode, or WANDB_MODE, 'on'. Did you mean 'online'"),
        (["log=wandb", "log.projekt=x"], "Did you mean 'log.project'"),
        (["log=[none,wandb]"], "not none"),
        (["log._target_=fomo.Method"], "log._target_ = fomo.Method"),
    ],
)
def test_what_is_no_logger_is_refused(overrides: list[str], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        factory.loggers(tiny.resolved(*overrides).config)


def test_of_several_processes_the_first_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = tiny.resolved("log=tensorboard")
    assert isinstance(prepare(resolved).loggers["log"], TensorBoard)
    monkeypatch.setattr(factory, "is_first", lambda: False)
    assert prepare(resolved).loggers == {}


GUEST = """
import fomo


class Lines(fomo.Logger):
    def __init__(self, name="lines.txt", digits=3):
        self.name = name
        self.digits = digits

    def begin(self, run):
        self.file = (run.folder / self.name).open("w")

    def log(self, point):
        for key, value in point.values.items():
            self.file.write(f"{point.step} {key} {value:.{self.digits}f}\\n")

    def end(self, finished):
        self.file.close()


class Stranger:
    pass
"""


def test_a_package_brings_its_own(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "liner", GUEST, {"loggers.lines": "Lines", "loggers.stranger": "Stranger"})
    with seen(tmp_path / "site", monkeypatch):
        folder = tiny.run(tmp_path / "run", *METHOD, "log=[lines,tensorboard]", "log.lines.digits=1")
        with pytest.raises(FomoError, match=r"'stranger' of liner 1\.2: .* is not a subclass of fomo\.Logger"):
            tiny.resolved("log=stranger")
        rows = {row["name"]: row for row in listed() if row["kind"] == "loggers"}
    assert rows["lines"]["use"] == "log=lines" and "not a subclass" in rows["stranger"]["problem"]
    lines = (folder / "lines.txt").read_text().splitlines()
    losses = [each["loss"] for each in events(whole) if each["event"] == "step"]
    assert [line for line in lines if "train/loss" in line] == [
        f"{n} train/loss {x:.1f}" for n, x in enumerate(losses, 1)
    ]
    assert differences(whole, folder) == [] and json.loads((folder / "card.json").read_text())["code"] == {}


def test_a_subset_is_told_apart_from_all_samples() -> None:
    datasets = {
        "new": ScoredDataset("adaptation", "classification", "accuracy", 10),
        "old": ScoredDataset("retention", "classification", "accuracy", 10),
    }
    part = Evaluation(0, {"new": 40.0, "old": 90.0}, {1: 40.0}, {}, subset=0.5)
    full = Evaluation(0, {"new": 36.0, "old": 81.0}, {1: 36.0}, {})
    scores = Scores(Path("none"), ScoredStream("none"), "test", (), 1, datasets, (part,), (full,))
    point = Points().of({"event": "evaluation", "task": 0, "time": 5.0}, scores)
    assert point is not None and (point.number, point.task, point.step, point.time) == (0, 0, 0, 5.0)
    assert dict(point.values) == {
        "score/ka": 40.0,
        "score/zs": 90.0,
        "score/gm": 60.0,
        "dataset/new": 40.0,
        "dataset/old": 90.0,
        "task/1": 40.0,
        "score_in_full/ka": 36.0,
        "score_in_full/zs": 81.0,
        "score_in_full/gm": 54.0,
        "dataset_in_full/new": 36.0,
        "dataset_in_full/old": 81.0,
        "task_in_full/1": 36.0,
    }


def test_what_is_not_finite_is_no_point() -> None:
    points = Points()
    step = {"event": "step", "task": 1, "step": 0, "loss": None, "lost": 1, "regularizer.pull": 2.0, "time": 1.0}
    first = points.of(step, SCORES)
    assert first is not None and dict(first.values) == {"train/lost": 1, "method/regularizer.pull": 2.0}
    assert points.of({"event": "resume", "task": 1, "steps": 1, "time": 1.0}, SCORES) is None
    second = points.of({"event": "end_task", "task": 1, "merging.size": 3.0, "time": 2.0}, SCORES)
    assert second is not None and (second.number, second.step) == (1, 1)
    assert dict(second.values) == {"end_task/merging.size": 3.0}
