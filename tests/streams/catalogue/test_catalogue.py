"""The catalogue says what the published table says, and refuses what is not valid, by name."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from fomo.errors import FomoError
from streams import catalogue
from streams.catalogue import Declaration, declared

TABLE = Path(__file__).parents[4] / "shared" / "fomo_in_flux" / "datasets.tsv"
GOOD: dict[str, Any] = {
    "name": "CATS",
    "role": "adaptation",
    "kind": "classification",
    "domain": ["natural", "finegrained"],
    "licence": "CC0",
    "captions": "generated",
    "time_group": 3,
    "main_metric": "accuracy",
    "num_train": 10,
    "num_test": 5,
    "num_classes": 2,
    "torchvision": None,
    "homepage": "https://example.org/cats",
    "citation": None,
}
KEPT = GOOD | {"role": "retention", "time_group": None}


def read(**changes: Any) -> Declaration:
    (declaration,) = declared([GOOD | changes], "here.yaml")
    return declaration


def test_every_row_of_the_published_table_is_declared_as_it_stands_there() -> None:
    if not TABLE.is_file():
        pytest.skip(f"the published table is not at {TABLE}")
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 63
    found = {}
    for d in catalogue.load().values():
        group = "-" if d.time_group is None else str(d.time_group)
        numbers = [str(d.num_train), str(d.num_test), str(d.num_classes)]
        found[d.name] = [d.role, d.kind, *numbers, ", ".join(d.domain), d.licence, d.captions or "-", group]
    keys = ["role", "kind", "num_train", "num_test", "num_classes", "domain", "license", "captions", "time_group"]
    assert found == {row["dataset"]: [row[key] for key in keys] for row in rows}
    assert list(found) == [row["dataset"] for row in rows]


def test_63_datasets_41_of_them_to_learn() -> None:
    known = catalogue.load()
    learned = [declaration for declaration in known.values() if declaration.role == "adaptation"]
    assert len(known) == 63 and len(learned) == 41
    assert {d.name for d in known.values() if d.kind == "retrieval"} == {"FSCOCO", "MSCOCO", "FLICKR30K"}
    assert {d.time_group for d in learned} == set(range(15))


def test_what_is_loaded_can_be_changed_without_changing_the_catalogue() -> None:
    catalogue.load().clear()
    assert len(catalogue.load()) == 63


def test_unknown_stays_unknown() -> None:
    isic = catalogue.load()["ISICMELANOMA"]
    assert (isic.citation, isic.homepage, isic.torchvision, isic.obtain) == (None, None, None, "unknown")
    assert catalogue.load()["CIFAR10"].obtain == "fomo data prepare CIFAR10"
    assert catalogue.load()["MSCOCO"].obtain == "https://cocodataset.org/"


def test_torchvision_has_every_class_that_is_named() -> None:
    from torchvision import datasets

    named = [d.torchvision for d in catalogue.load().values() if d.torchvision]
    assert len(named) == 20 and all(hasattr(datasets, name) for name in named)


def test_a_good_declaration_comes_through() -> None:
    assert read().domain == ("natural", "finegrained") and read().licence == "CC0"
    assert declared([KEPT | {"num_train": 0}], "here.yaml")[0].time_group is None
    assert read(kind="retrieval", main_metric="recall@5", num_classes=0).num_classes == 0


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"colour": "red"}, ["unknown key", "'colour'", "Allowed:", "licence", "here.yaml"]),
        ({"license": "CC0"}, ["unknown key", "'license'", "Did you mean 'licence'?"]),
        ({"name": ""}, ["name is ''"]),
        ({"name": "a b"}, ["name is 'a b'"]),
        ({"name": "a+++b"}, ["name is 'a+++b'"]),
        ({"name": 7}, ["name is 7"]),
        ({"role": "retentoin"}, ["role", "'retentoin'", "Did you mean 'retention'?"]),
        ({"role": "pool"}, ["role", "'pool'", "Allowed: adaptation, retention"]),
        ({"kind": "detection"}, ["kind", "'detection'", "classification"]),
        ({"kind": None}, ["kind", "'None'"]),
        ({"captions": "some"}, ["captions", "'some'", "generated"]),
        ({"main_metric": "recall@5"}, ["main_metric is 'recall@5'", "'accuracy' for classification"]),
        ({"domain": "natural"}, ["domain is 'natural'", "a list of words"]),
        ({"domain": []}, ["domain is ()"]),
        ({"domain": ["x", 3]}, ["domain is ('x', 3)"]),
        ({"licence": None}, ["licence is None"]),
        ({"citation": ""}, ["citation is ''", "null for unknown"]),
        ({"citation": "two\nlines"}, ["citation is 'two"]),
        ({"homepage": "example.org"}, ["homepage is 'example.org'", "http(s)"]),
        ({"homepage": "https://a b"}, ["homepage is 'https://a b'"]),
        ({"torchvision": 1}, ["torchvision is 1"]),
        ({"num_train": 0}, ["num_train is 0", "at least 1"]),
        ({"num_train": "many"}, ["num_train is 'many'"]),
        ({"num_test": 0}, ["num_test is 0", "at least 1"]),
        ({"num_test": 1.5}, ["num_test is 1.5"]),
        ({"num_classes": 1}, ["num_classes is 1", "at least 2"]),
        ({"num_classes": True}, ["num_classes is True"]),
        ({"time_group": None}, ["time_group is None", "an integer from 0"]),
        ({"time_group": -1}, ["time_group is -1"]),
        ({"role": "retention"}, ["time_group is 3", "null for retention"]),
    ],
)
def test_a_bad_value_is_refused_by_name(changes: dict[str, Any], texts: list[str]) -> None:
    with pytest.raises(FomoError) as caught:
        read(**changes)
    assert all(text in str(caught.value) for text in texts), caught.value


@pytest.mark.parametrize("key", GOOD)
def test_a_key_left_out_is_refused(key: str) -> None:
    rest = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(FomoError, match=rf"lacks {key}; write null"):
        declared([rest], "here.yaml")


@pytest.mark.parametrize("text", ["", "{CATS: {}}", "a text", "3", "[3]", "[[a, b]]"])
def test_yaml_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(FomoError, match=r"here\.yaml"):
        declared(yaml.safe_load(text), "here.yaml")


def test_two_datasets_of_one_name_are_refused() -> None:
    with pytest.raises(FomoError, match="'CATS' is declared twice"):
        declared([GOOD, KEPT], "here.yaml")
