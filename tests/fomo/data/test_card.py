"""Dataset cards refuse what is not valid, by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.data.card import PLAIN, SHOWN, DatasetCard, distinct, read_card
from fomo.errors import FomoError
from tests.fomo.helpers import put

GOOD: dict[str, Any] = {
    "name": "mine",
    "classes": ("cat", "dog"),
    "templates": ("a picture of {}", "{}"),
    "num_samples": {"train": 3, "test": 0},
}


def stored(**changes: Any) -> dict[str, Any]:
    return DatasetCard(**GOOD).to_json() | changes


def test_a_card_comes_back_from_its_file(tmp_path: Path) -> None:
    card = DatasetCard(**GOOD, kind="retrieval", role="retention", domain="ü", licence="CC0", counts={"broken": 2})
    path = put(tmp_path / "dataset.json", json.dumps(card.to_json()))
    assert read_card(path) == card
    assert card.to_json()["schema"] == "fomo.dataset/1"


def test_a_card_from_before_images_could_be_read_plainly_means_as_they_are_shown(tmp_path: Path) -> None:
    assert "decoding" not in stored() and DatasetCard.from_json(stored(), "here").decoding == SHOWN
    plain = DatasetCard(**GOOD, decoding=PLAIN)
    path = put(tmp_path / "dataset.json", json.dumps(plain.to_json()))
    assert read_card(path) == plain
    with pytest.raises(FomoError, match=r"bad decoding \(allowed: shown, plain\): 'upright'"):
        DatasetCard.from_json(stored(decoding="upright"), "here")


def test_what_is_not_known_is_empty() -> None:
    card = DatasetCard(**GOOD)
    assert (card.licence, card.source, card.domain, card.role) == ("", "", "", "unassigned")


def test_prompts_hold_the_class_name_as_it_is() -> None:
    card = DatasetCard(**(GOOD | {"classes": ("{0} cat", "100 % {name}")}))
    assert card.prompts("a picture of {}") == ["a picture of {0} cat", "a picture of 100 % {name}"]


def test_primers_stand_where_the_first_template_is_wrong() -> None:
    card = DatasetCard(**GOOD, primers={"dog": "my dog"})
    assert card.prompts("a picture of {}") == ["a picture of cat", "my dog"]
    assert card.prompts("{}") == ["cat", "dog"]


@pytest.mark.parametrize("name", ['the "red" one', "it's", "猫 🐈‍⬛", "a + b", "water / carbon"])
def test_a_class_may_have_any_name_of_one_line(name: str) -> None:
    assert DatasetCard(**(GOOD | {"classes": (name,)})).prompts("a {}") == [f"a {name}"]


@pytest.mark.parametrize("kind", ["retrieval", "pairs"])
def test_only_classification_needs_classes(kind: str) -> None:
    assert DatasetCard("mine", (), (), {"train": 3}, kind=kind).classes == ()
    with pytest.raises(FomoError, match="classes"):
        DatasetCard("mine", (), (), {"train": 3})


def test_the_metric_follows_the_kind() -> None:
    assert DatasetCard(**GOOD).metric == "accuracy"
    assert DatasetCard(**GOOD, kind="retrieval").metric == "recall@5"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "no slash"),
        ({"name": "a b"}, "no space"),
        ({"name": "a\\b"}, "no slash"),
        ({"name": "a\nb"}, "name"),
        ({"name": "."}, "bad name"),
        ({"name": ".."}, "bad name"),
        ({"name": ".hidden"}, "bad name"),
        ({"name": "a+++b"}, "name"),
        ({"classes": ()}, "distinct, not empty"),
        ({"classes": ("cat", "cat")}, "distinct"),
        ({"classes": ("cat", " ")}, "class name"),
        ({"classes": ("a+++b",)}, r"class name .*: ''a\+\+\+b''"),
        ({"classes": ("a\nb",)}, r"class name .*: ''a\\nb''"),
        ({"classes": ("a\u2028b",)}, "class name"),
        ({"classes": ("\ud800",)}, "class name"),
        ({"primers": {"emu": "an emu"}}, "primers .*emu"),
        ({"templates": ()}, "at least one"),
        ({"templates": ("no slot",)}, "no slot"),
        ({"templates": ("{} and {}",)}, "exactly one"),
        ({"num_samples": {"valid": 3}}, "train, validation, test.*valid: 3"),
        ({"num_samples": {"train": -1}}, "train: -1"),
        ({"kind": "detection"}, "classification, retrieval.*detection"),
        ({"role": "both"}, "adaptation, retention.*both"),
    ],
)
def test_a_bad_value_is_refused_by_name(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        DatasetCard(**(GOOD | changes))


def test_classes_that_stand_twice_are_named() -> None:
    with pytest.raises(FomoError, match="dog"):
        DatasetCard(**(GOOD | {"classes": ("cat", "dog", "dog")}))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schema": "fomo.dataset/9"}, "fomo.dataset/9.*fomo.dataset/1"),
        ({"schema": None}, "fomo.dataset/1"),
        ({"lisence": "MIT"}, "'lisence'.*Did you mean 'licence'"),
        ({"classes": "cat"}, "classes"),
        ({"classes": None}, "dataset.json"),
        ({"classes": [1, 2]}, "dataset.json"),
        ({"templates": 7}, "dataset.json"),
        ({"num_samples": [1]}, "dataset.json"),
        ({"num_samples": {"train": "3"}}, "dataset.json"),
        ({"name": 5}, "dataset.json"),
    ],
)
def test_a_bad_file_is_refused_and_named(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        read_card(put(tmp_path / "dataset.json", json.dumps(stored(**changes))))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", b"\xff\xfe"])
def test_a_file_that_is_no_card_is_named(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(FomoError, match=r"dataset\.json"):
        read_card(put(tmp_path / "dataset.json", text))


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    content = stored()
    del content["classes"]
    with pytest.raises(FomoError, match="classes"):
        read_card(put(tmp_path / "dataset.json", json.dumps(content)))


def test_equal_names_are_numbered() -> None:
    assert distinct(["crane", "ibis", "crane", "crane"]) == ("crane", "ibis", "crane (2)", "crane (3)")


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "a (2) (2)", "b"])))
def test_names_become_distinct_and_the_first_of_each_stays(names: list[str]) -> None:
    made = distinct(names)
    assert len(set(made)) == len(made) == len(names)
    assert all(new.startswith(old) for old, new in zip(names, made, strict=True))
    assert made == distinct(made)
