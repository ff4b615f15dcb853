"""Every recipe is tested, and says what torchvision says."""

import inspect

import pytest
from torchvision import datasets as tv

from streams import catalogue
from streams.prepare import RECIPES
from tests.streams.prepare.originals import ORIGINALS


def test_every_recipe_is_tested_and_every_downloader_has_one() -> None:
    downloadable = {name for name, declared in catalogue.load().items() if declared.torchvision}
    assert set(RECIPES) == set(ORIGINALS) == downloadable
    for name, recipe in RECIPES.items():
        assert recipe.reader is getattr(tv, catalogue.load()[name].torchvision or "")


@pytest.mark.parametrize("name", ["EuroSAT", "CALTECH101", "CALTECH256", "GTSRB"])
def test_checksums_that_were_copied_are_those_of_torchvision(name: str) -> None:
    module = inspect.getsource(inspect.getmodule(RECIPES[name].reader))  # type: ignore[arg-type]
    for archive in RECIPES[name].archives:
        if archive.file not in module:
            pytest.skip(f"this version of torchvision does not fetch {archive.file}")
        assert str(archive.md5) in module


def test_only_the_aircraft_have_no_published_checksum() -> None:
    assert [name for name, recipe in RECIPES.items() if None in {a.md5 for a in recipe.archives}] == ["FGVCAircraft"]
