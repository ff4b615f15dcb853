"""``fomo methods NAME``: what a method, a part, a technique or somebody else's class is, and takes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fomo.cli.methods import main
from fomo.cli.methods_about import GROUPS, about
from fomo.config.compose import builtin_groups
from fomo.errors import FomoError
from methods.merging.techniques import TECHNIQUES
from methods.presets import PRESETS
from tests.fomo.helpers import error_of
from tests.plugin import TEMPLATE_CODE, install_template, seen

NAMES = [f"method={name}" for name in PRESETS] + [f"merging.technique={name}" for name in TECHNIQUES]
NAMES += [f"{group}={name}" for group in GROUPS for name in builtin_groups()[group]]


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of docs/template is installed, and ``pull.py`` lies in the folder at hand."""
    install_template(tmp_path)
    shutil.copy(TEMPLATE_CODE / "pull.py", tmp_path / "lying_here.py")
    monkeypatch.chdir(tmp_path)
    with seen(tmp_path, monkeypatch):
        yield


def test_everything_that_is_built_in_has_a_page() -> None:
    for name in NAMES:
        page = about(name)[0]
        assert page.use == name and page.about, name


def test_a_method_is_told_with_its_parts_their_settings_and_papers(capsys: pytest.CaptureFixture[str]) -> None:
    main(["ewc"])
    printed = capsys.readouterr().out
    for text in (
        "method=ewc\n",
        "made of trainable=full, regularizer=ewc",
        "Kirkpatrick et al. 2017, arXiv 1612.00796",
        "regularizer.strength=1.0    λ",
        "regularizer.batch_size=${batch_size}",
        "trainable=full\n",
    ):
        assert text in printed, printed


def test_a_page_as_json_has_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    main(["merging=ema", "--json"])
    (page,) = json.loads(capsys.readouterr().out)
    assert {each["key"]: each["default"] for each in page["settings"]}["merging.weight"] == 0.5
    assert page["target"] == "methods.merging.temporal.TemporalMerge"


def test_plug_ins_of_every_kind_have_a_page(template: None) -> None:
    assert [(each.key, each.default) for each in about("pull")[0].settings] == [("regularizer.strength", 0.01)]
    assert "‖θ − θ₀‖²" in about("pull")[0].about
    assert [(each.key, each.default) for each in about("schedule=linear")[0].settings] == [("schedule.warmup", 0.1)]
    uses = [about(name)[0].use for name in ("pull", "agree", "swatches", "interleaved", "worst_task")]
    assert uses == [
        "regularizer=pull",
        "merging.technique=agree",
        "stream.adaptation=[swatches]",
        "stream.ordering=interleaved",
        "--metrics=worst_task",
    ]
    assert "min_j R[T][j]" in about("worst_task")[0].about


@pytest.mark.parametrize("name", ["lying_here:Pull", "lying_here.Pull"])
def test_a_class_has_a_page_in_either_spelling(name: str, template: None) -> None:
    (page,) = about(name)
    assert page.use == "regularizer._target_=lying_here.Pull"
    assert [each.key for each in page.settings] == ["+regularizer.strength"]


def test_an_unknown_name_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str], template: None) -> None:
    assert "Did you mean 'lora'?" in error_of(capsys, "methods", "lorra")
    assert "Did you mean 'trainable=lora'?" in error_of(capsys, "methods", "trainable=lorra")
    for name in ("lying_here.Pul", "lying_here:Pul"):
        with pytest.raises(FomoError, match="Did you mean 'Pull'"):
            about(name)
