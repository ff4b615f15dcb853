"""``fomo data prepare`` as a user types it."""

import shutil
from pathlib import Path

import pytest

from fomo.data.shards import open_dataset
from streams.prepare import RECIPES
from tests.fomo.helpers import error_of, put, status
from tests.streams.prepare.made import Fabricate, files_of, written
from tests.streams.prepare.originals import Samples, reference_info


@pytest.fixture
def textures(fabricate: Fabricate, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """The command finds the small copy of DTD where it would find the real one."""
    recipe, samples = fabricate("DTD")
    monkeypatch.setitem(RECIPES, "DTD", recipe)
    return samples


def test_the_command_prepares_and_says_why_the_name_is_another(
    textures: Samples, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("data", "prepare", "DTD", "--out", str(out), "--workers", "1")
    assert status(*command) == 0
    shown = capsys.readouterr()
    assert "'DTD' names FoMo-in-Flux's split" in shown.err and "becomes 'dtd_standard'" in shown.err
    assert "dtd_standard: 2 classes" in shown.out
    assert status("data", "verify", str(out / "dtd_standard"), "--workers", "1") == 0
    shutil.rmtree(out / ".sources")
    before = files_of(out / "dtd_standard")
    assert status(*command) == 0 and files_of(out / "dtd_standard") == before, "what is finished is only shown"


def test_with_the_references_json_the_dataset_has_its_name_role_and_split(
    textures: Samples, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = reference_info(tmp_path / "info")
    command = ("data", "prepare", "DTD", "--out", str(out), "--info", str(info), "--workers", "1")
    assert status(*command) == 0
    assert "names FoMo-in-Flux's split" not in capsys.readouterr().err
    dataset = open_dataset(out / "DTD")
    assert dataset.card.num_samples == {"train": 8, "validation": 0, "test": 4}
    assert (dataset.card.role, dataset.card.domain) == ("adaptation", "textural")
    assert list(dataset.split("train").captions(0)) == ["a banded thing"]
    assert sorted(written(out / "DTD")["test"]) == sorted(textures["test"])


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["DDT"], ["unknown dataset 'DDT'", "Did you mean 'DTD'?", "data import folder"]),
        (["CUB200"], ["no downloader for 'CUB200'", "https://www.vision.caltech.edu", "import fomo-in-flux"]),
        (["CARS196"], ["no downloader for 'CARS196'", "its page is unknown"]),
        (["CIFAR10", "--info", "."], ["--info", "arrays", "import fomo-in-flux PATH --name CIFAR10"]),
        (["DTD", "--info", "nowhere"], ["nowhere"]),
        (["DTD", "--info", ".", "--source", "here"], ["--source", "must be 'DTD'"]),
        (["DTD", "--size", "0"], ["--size 0", "1 and above"]),
        (["DTD", "--workers", "0"], ["--workers 0", "1 and above"]),
    ],
)
def test_the_command_refuses_before_any_work(
    arguments: list[str], texts: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, "data", "prepare", *arguments, "--out", str(out))
    assert all(text in error for text in texts), error
    assert not out.exists()


def test_the_command_refuses_a_place_that_is_taken(
    textures: Samples, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = put(out / "dtd_standard" / "thesis.tex", "x")
    error = error_of(capsys, "data", "prepare", "DTD", "--out", str(out))
    assert f"'{out / 'dtd_standard'}' is no finished dataset" in error and "--out" in error
    assert list((out / "dtd_standard").iterdir()) == [kept]
