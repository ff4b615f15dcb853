"""Parts from other packages: found by their entry points, built without leave, refused where they are wrong."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fomo
from fomo.cli import main
from fomo.cli.methods import plugins as listed
from fomo.config import plugins
from fomo.config.code import code_hashes
from fomo.config.compose import compose, groups
from fomo.config.factory import build
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.results.layout import WEIGHTS
from fomo.stream.definition import Concept
from methods.merging.techniques import technique_of
from streams.opening import available, open_named
from streams.orderings import Facts, order
from tests import tiny
from tests.plugin import TEMPLATE, install, seen

TOP = Path(__file__).parents[3]
SOURCE = """
import fomo
import numpy as np
from PIL import Image
from fomo.data.card import DatasetCard
from fomo.data.samples import Dataset
from methods.merging.rules import interpolate
from methods.merging.techniques import Technique


class Pull(fomo.Method):
    def __init__(self, strength: float, anchors: tuple = ("run",), power: int = 2) -> None:
        self.strength = 1 / strength

    def loss(self, network, batch, loss):
        return loss


class Half(fomo.Method):
    group = "trainable"

    def begin_task(self, network, task):
        network.requires_grad_(False)
        network.logit_scale.requires_grad_(True)


class Stranger:
    pass


class Grouped(fomo.Method):
    group = "regulariser"


def linear(at, warmup=0.25):
    return at.peak * (1 - at.step / at.num_steps) * warmup


def backwards(concepts, seed, facts):
    return sorted(concepts, key=lambda concept: concept.name, reverse=True)


def lossy(concepts, seed, facts):
    return list(concepts)[1:]


class Samples:
    targets = np.array([0, 1] * 30)

    def __len__(self):
        return 60

    def image(self, index):
        return Image.new("RGB", (32, 32), (200 * (index % 2), 0, 50))

    def captions(self, index, kind=None):
        return [["red", "blue"][index % 2]]


def colours(name="colours"):
    card = DatasetCard(name, ("red", "blue"), ("the colour {}",), {"train": 60, "test": 60}, role="adaptation")
    return Dataset(card, lambda split: Samples())


def misnamed():
    return colours("other")


midpoint = Technique(interpolate, vectors=False)
number = 3
"""
ENTRIES = {
    "methods.drag": "Pull",
    "methods.half": "Half",
    "methods.stranger": "Stranger",
    "methods.grouped": "Grouped",
    "methods.absent": "Nowhere",
    "merges.midpoint": "midpoint",
    "merges.mean": "interpolate",
    "merges.number": "number",
    "schedules.linear": "linear",
    "schedules.number": "number",
    "orderings.backwards": "backwards",
    "orderings.lossy": "lossy",
    "datasets.colours": "colours",
    "datasets.misnamed": "misnamed",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages, one of them with plug-ins of every kind."""
    folder = tmp_path / "site"
    install(folder, "someone", SOURCE, ENTRIES)
    monkeypatch.delitem(sys.modules, "someone", raising=False)
    with seen(folder, monkeypatch):
        yield folder


def test_a_method_is_an_option_of_its_group_with_its_settings(site: Path) -> None:
    values = compose(["regularizer=drag", "regularizer.strength=0.5"])
    assert values["regularizer"] == {"_target_": "someone.Pull", "strength": 0.5, "anchors": ["run"], "power": 2}
    part = build("regularizer", resolve(values).config.regularizer)
    assert isinstance(part, fomo.Method) and part.strength == 2  # type: ignore[attr-defined]


def test_a_method_is_a_preset_over_full_fine_tuning(site: Path) -> None:
    values = compose(["method=drag", "regularizer.strength=2"])
    assert values["trainable"]["what"] == "full" and values["regularizer"]["_target_"] == "someone.Pull"
    assert values["label"].startswith("drag")
    values = compose(["method=half"])
    assert values["trainable"] == {"_target_": "someone.Half"} and values["regularizer"]["_target_"] == "fomo.Method"
    assert compose(["method=drag", "trainable=lora"])["trainable"]["_target_"] == "methods.lora.LoRA"


def test_it_takes_part_in_a_run(site: Path, tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", "method=half", "schedule=linear", "stream.ordering=backwards", "num_tasks=1",
                   "stream.adaptation=[colours]", "merging=ft", "merging.technique=midpoint")  # fmt: skip
    assert (run / WEIGHTS).is_file() and "someone.linear" in (run / "config.yaml").read_text()
    assert json.loads((run / "stream.json").read_text())["tasks"] == [["colours+++red", "colours+++blue"]]


def test_a_schedule_takes_its_settings(site: Path) -> None:
    node = compose(["schedule=linear", "schedule.warmup=0.5"])["schedule"]
    assert node == {"_target_": "someone.linear", "_partial_": True, "warmup": 0.5}
    assert build("schedule", node)(fomo.Position(0, 2, 4, peak=1.0, floor=0.0)) == 0.25


def test_a_missing_setting_is_asked_for(site: Path) -> None:
    with pytest.raises(FomoError, match=r"regularizer.strength"):
        resolve(compose(["regularizer=drag"]))


def test_code_is_imported_when_it_is_named(site: Path) -> None:
    compose(["method=ewc"])
    groups()
    assert "someone" not in sys.modules
    compose(["schedule=linear"])
    assert "someone" in sys.modules


def test_merging_rules(site: Path) -> None:
    assert not technique_of("midpoint").vectors and technique_of("mean").vectors
    with pytest.raises(FomoError, match=r"'number'.*is of type int"):
        technique_of("number")
    with pytest.raises(FomoError, match=r"value of merging.technique 'midpont'.*Did you mean 'midpoint'"):
        technique_of("midpont")


def test_orderings_and_their_reverse(site: Path) -> None:
    concepts = [Concept("d", name) for name in "bca"]
    assert [each.name for each in order("backwards", concepts, 0, Facts())] == ["c", "b", "a"]
    assert [each.name for each in order("reverse_backwards", concepts, 0, Facts())] == ["a", "b", "c"]
    with pytest.raises(FomoError, match=r"'lossy' of someone 1.2 returned 2 concepts for 3"):
        order("lossy", concepts, 0, Facts())
    with pytest.raises(FomoError, match="Did you mean 'backwards'"):
        order("backward", concepts, 0, Facts())


def test_datasets(site: Path, tmp_path: Path) -> None:
    assert open_named("colours", tmp_path / "data").card.classes == ("red", "blue")
    assert available(tmp_path / "data")["colours"] is None
    with pytest.raises(FomoError, match=r"returned the dataset 'other'.*named 'misnamed' is expected"):
        open_named("misnamed", tmp_path / "data")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("method=stranger", "'stranger' of someone 1.2 is the class Stranger, not a subclass of fomo.Method"),
        ("method=grouped", "value of Grouped.group 'regulariser'.*Did you mean 'regularizer'"),
        ("method=absent", "someone:Nowhere cannot be imported: AttributeError"),
        ("trainable=drag", "is a regularizer. Write regularizer=drag"),
        ("schedule=number", "someone:number is of type int, not a function"),
        ("method=dragg", "Did you mean 'drag'"),
    ],
)
def test_what_is_wrong_is_said(site: Path, override: str, text: str) -> None:
    with pytest.raises(FomoError, match=text):
        compose([override])


def test_an_error_in_a_constructor_names_the_plug_ins_line(site: Path) -> None:
    node = compose(["method=drag", "regularizer.strength=0"])["regularizer"]
    text = re.escape("ZeroDivisionError: division by zero (__init__.py, line 13: self.strength = 1 / strength)")
    with pytest.raises(FomoError, match=f"someone.Pull: {text}"):
        build("regularizer", node)


def test_only_what_an_entry_point_names_is_trusted(site: Path) -> None:
    with pytest.raises(FomoError, match=r"allow_targets=\[someone\]"):
        build("regularizer", {"_target_": "someone.Stranger2"})
    with pytest.raises(FomoError, match="allow_targets"):
        build("regularizer", {"_target_": "someone.backwards.__globals__"})


def test_a_part_that_is_no_method_is_refused_before_the_run(site: Path) -> None:
    with pytest.raises(FomoError, match=r"_target_ = someone.colours is the class Dataset, not a subclass"):
        tiny.prepared("regularizer._target_=someone.colours")


@pytest.mark.parametrize(("entry", "overrides"), [("methods.ewc", []), ("methods.lora", []), ("schedules.wsd", [])])
def test_a_built_in_name_is_refused(site: Path, entry: str, overrides: list[str]) -> None:
    install(site, "thief", SOURCE, {entry: "Pull"})
    plugins.installed.cache_clear()
    with pytest.raises(FomoError, match=rf"'{entry.split('.')[1]}' of thief 1.2: the name is built in"):
        compose(overrides)


def test_built_in_names_of_the_other_kinds_are_refused(site: Path, tmp_path: Path) -> None:
    entries = {"merges.ties": "midpoint", "orderings.random": "lossy", "datasets.pocket_flags": "colours"}
    install(site, "thief", SOURCE, entries)
    plugins.installed.cache_clear()
    for act in (lambda: technique_of("midpoint"), lambda: order("backwards", [], 0, Facts()),
                lambda: available(tmp_path)):  # fmt: skip
        with pytest.raises(FomoError, match=r"of thief 1.2: the name is built in"):
            act()


def test_one_name_of_two_packages_is_refused(site: Path) -> None:
    install(site, "other", SOURCE, {"methods.drag": "Pull"})
    plugins.installed.cache_clear()
    with pytest.raises(FomoError, match=r"'drag' of .* and .*'drag' of .* have one name: uninstall one"):
        compose([])


def test_methods_lists_what_is_installed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["methods", "--json"])
    found = json.loads(capsys.readouterr().out)
    presets = {row["name"]: row for row in found["presets"]}
    assert presets["ewc"]["parts"] == {"trainable": "full", "regularizer": "ewc"} and presets["ewc"]["about"]
    assert "lora" in found["parts"]["trainable"] and "power" in found["parts"]["schedule"]
    plugged = {(row["kind"], row["name"]): row for row in found["plugins"]}
    assert plugged["methods", "drag"]["use"] == "method=drag, regularizer=drag"
    assert plugged["methods", "drag"]["package"] == "someone 1.2" and not plugged["methods", "drag"]["problem"]
    assert "not a subclass" in plugged["methods", "stranger"]["problem"]
    main(["methods"])
    printed = capsys.readouterr().out
    assert "ewc" in printed and "someone" in printed


def test_metrics_are_listed_and_are_no_part_of_a_run(site: Path) -> None:
    install(site, "measuring", "def finetune(scores): return 1.0\nnumber = 3", {"metrics.random": "finetune"})
    install(site, "failing", "number = 3", {"metrics.number": "number", "metrics.ka": "number"})
    plugins.installed.cache_clear()
    assert "measuring.finetune" not in code_hashes({"ordering": "random"}) and not plugins.trusted("measuring.finetune")
    rows = {row["name"]: row for row in listed() if row["kind"] == "metrics"}
    assert all("'ka' of failing 1.2: the name is built in" in row["problem"] for row in rows.values())
    (site / "failing-1.2.dist-info" / "entry_points.txt").write_text("[fomo.metrics]\nnumber = failing:number\n")
    plugins.installed.cache_clear()
    rows = {row["name"]: row for row in listed() if row["kind"] == "metrics"}
    assert rows["random"]["use"] == "--metrics=random" and not rows["random"]["problem"]
    assert "of type int, not a function" in rows["number"]["problem"]


@pytest.fixture(scope="module")
def installed_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template, installed by pip into a folder."""
    target = tmp_path_factory.mktemp("target")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(TEMPLATE)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


def test_the_template_is_installed_listed_checked_and_run(installed_template: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{installed_template}{os.pathsep}{TOP}"}

    def fomo_command(*words: str) -> str:
        command = [sys.executable, "-m", "fomo", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    listed = json.loads(fomo_command("methods", "--json"))["plugins"]
    assert {row["name"] for row in listed} == {
        "pull",
        "agree",
        "linear",
        "swatches",
        "interleaved",
        "lines",
        "worst_task",
        "emoji",
    }
    assert {(row["package"], row["problem"]) for row in listed} == {("fomo-template 0.1.0", "")}
    assert " ok  precision" in fomo_command("check", "pull", "trainable=lnfit")
    fomo_command("run", "method=pull", "regularizer.strength=0.5", "run.dir=run", *tiny.TINY)
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert (
        "fomo_template.pull.Pull" in config and "strength: 0.5" in config and (tmp_path / "run" / "card.json").is_file()
    )
