"""Which loggers a run has is chosen by ``log=``, of packages too, and is no part of the run."""

import json
from pathlib import Path

import pytest
import yaml

from fomo.cli.methods import plugins as listed
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.loggers import logger as contract
from fomo.loggers.tensorboard import TensorBoard
from fomo.results.layout import CONFIG, TENSORBOARD
from fomo.running.run import prepare
from tests import tiny
from tests.faults.compare import differences, events
from tests.fomo.helpers import put, status
from tests.fomo.loggers.told import METHOD
from tests.plugin import install, seen

BOTH = "log=[tensorboard,wandb]"


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
