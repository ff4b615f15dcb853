"""What the YAML declares hangs together."""

from collections import Counter
from itertools import chain

import pytest

from fomo.config.compose import compose
from fomo.data.card import DatasetCard
from fomo.errors import FomoError
from streams.desktop.declared import CLIENTS, chosen_sets, load_packages, load_sets
from streams.desktop.manifest import load_manifest
from streams.desktop.readers import FILES, ICONS

SETS = load_sets()
LISTED = ("icons", "brands", "furniture", "clipart", "textures", "deep_sky")
"""Readers that look for what the classes list."""


@pytest.mark.parametrize("key", load_packages())
def test_a_package_is_pinned(key: str) -> None:
    package = load_packages()[key]
    assert package.client in CLIENTS and len(package.sha256) == 64 and int(package.sha256, 16) and package.size
    assert package.version in package.command and package.version.split(":")[-1] in package.file
    assert bool(package.pool) == (package.client == "apt")


@pytest.mark.parametrize("name", SETS)
def test_a_dataset_is_declared_whole(name: str) -> None:
    one = SETS[name]
    assert name.startswith("desktop_") and one.reader in {**ICONS, **FILES}
    assert set(one.packages) <= set(load_packages()) and one.packages
    DatasetCard(one.name, ("any",), one.templates, {}, one.kind, one.role)
    assert bool(one.classes) == (one.reader in LISTED)
    assert one.debian == any(load_packages()[key].client == "apt" for key in one.packages)


def test_no_icon_shows_two_classes() -> None:
    names = [name for one in SETS.values() if one.reader == "icons" for names in one.classes.values() for name in names]
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("name", SETS)
def test_no_name_is_listed_for_two_classes_nor_a_design_for_two_splits(name: str) -> None:
    for listed in (SETS[name].classes, SETS[name].vendors):
        assert [each for each, count in Counter(chain.from_iterable(listed.values())).items() if count > 1] == []


def test_the_stream_has_all_datasets_that_are_always_prepared_in_their_roles() -> None:
    stream = compose(["stream=desktop"])["stream"]
    always = chosen_sets((), SETS)
    assert stream["adaptation"] == [one.name for one in always if one.role == "adaptation"]
    assert stream["retention"] == [one.name for one in always if one.role == "retention"]
    assert stream["pool"] == [one.name for one in always if one.role == "pool"]


def test_what_has_no_stated_origin_or_no_free_licence_is_asked_for() -> None:
    assert {one.short for one in SETS.values() if one.ask} == {"foods", "silhouettes", "solar_cells"}
    assert "CC-BY-NC-SA" in SETS["desktop_solar_cells"].ask
    assert len(chosen_sets(("foods",), SETS)) == len(chosen_sets((), SETS)) + 1
    with pytest.raises(FomoError, match=r"'food'\. Did you mean 'foods'"):
        chosen_sets(("food",), SETS)


def test_debians_datasets_come_together() -> None:
    more = [one.short for one in chosen_sets((), SETS, debian=True) if one not in chosen_sets((), SETS)]
    assert more == ["stamps", "cards", "chess", "furniture", "clipart", "deep_sky", "textures"]
    with pytest.raises(FomoError, match=r"--with cards.*--debian, which brings stamps, cards"):
        chosen_sets(("cards",), SETS)


def test_the_manifest_has_every_dataset() -> None:
    assert set(load_manifest()) == set(SETS)
    for name, each in load_manifest().items():
        assert (each["splits"]["train"]["images"] and set(SETS[name].classes) >= set(each["classes"])) or not SETS[
            name
        ].classes
