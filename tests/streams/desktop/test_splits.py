"""Splits by designer, without copies on both sides."""

import numpy as np
import pytest

from fomo.data.inspect.duplicates import Signature
from streams.desktop.icon_names import brand, families, share, subject
from streams.desktop.pictures import Picture
from streams.desktop.splits import (
    AMBIGUOUS,
    COPY_OF_HELD_OUT,
    COPY_OF_OTHERS,
    COPY_OF_TEST,
    FEW,
    HELD_OUT_SHARE,
    REPEATED,
    TEST_SHARE,
    Row,
    decide,
    for_the_pool,
    split_of,
)
from tests.streams.desktop.made import SETS, icon_set

NUMBERS = np.random.default_rng(0).integers(2**62, size=1000).tolist()


def row(number: int, split: str, name: str | None = "cat", alike: int | None = None, dataset: str = "pets") -> Row:
    """A row of its own hashes, or of those of the row ``alike``, but for two bits."""
    base = NUMBERS[number if alike is None else alike]
    perceptual = base if alike is None else base ^ 3
    return Row(dataset, number, f"p{number}", name, split, Signature(number, perceptual, bytes(48)), f"d{number}")


def full(dataset: str = "pets", name: str = "cat", start: int = 0) -> list[Row]:
    """A class that stays: five to train on, one to test on."""
    splits = ["train"] * 5 + ["test", "validation"]
    return [row(start + number, split, name, dataset=dataset) for number, split in enumerate(splits)]


def reasons(rows: list[Row]) -> list[str]:
    return [each.reason for each in rows]


def test_what_is_whole_stays() -> None:
    assert reasons(decide({"pets": full()})["pets"]) == [""] * 7


def test_a_copy_of_a_test_image_is_not_trained_on_nor_validated_on() -> None:
    rows = [*full(), row(7, "train", alike=5), row(8, "validation", alike=5)]
    assert reasons(decide({"pets": rows})["pets"])[7:] == [COPY_OF_HELD_OUT, COPY_OF_TEST]


def test_a_copy_of_another_datasets_held_out_image_is_not_trained_on() -> None:
    pool = [row(20, "train", None, alike=5, dataset="pool"), row(21, "train", None, dataset="pool")]
    decided = decide({"pets": full(), "pool": pool})
    assert reasons(decided["pool"]) == [COPY_OF_HELD_OUT, ""] and reasons(decided["pets"]) == [""] * 7


def test_beside_other_datasets_nothing_of_these_changes_and_no_copy_is_on_both_sides() -> None:
    others = full("others")
    mine = [
        *full("mine", start=10),
        row(17, "test", alike=0, dataset="mine"),
        row(18, "train", alike=5, dataset="mine"),
    ]
    mine += [row(19, "validation", alike=5, dataset="mine"), row(20, "train", alike=1, dataset="mine")]
    decided = decide({"mine": mine}, others)
    assert list(decided) == ["mine"]
    assert reasons(decided["mine"]) == [""] * 7 + [COPY_OF_OTHERS, COPY_OF_HELD_OUT, COPY_OF_TEST, ""]


def test_equal_images_stay_once_and_in_the_test() -> None:
    first, last = full()[0], row(7, "test")
    rows = [*full(), Row(**{**vars(last), "digest": first.digest})]
    assert reasons(decide({"pets": rows})["pets"])[0] == REPEATED
    assert reasons(decide({"pets": [*full(), row(8, "train")]})["pets"])[7] == ""


def test_one_image_under_two_classes_goes() -> None:
    rows = [*full(), *full(name="dog", start=10), Row(**{**vars(row(30, "train", "dog")), "digest": "d0"})]
    decided = decide({"pets": rows})["pets"]
    assert decided[-1].reason == AMBIGUOUS and decided[0].reason == AMBIGUOUS
    assert decided[1].reason == FEW, "four are left to train on"


@pytest.mark.parametrize("lost", [0, 5])
def test_a_class_needs_five_to_train_on_and_one_to_test_on(lost: int) -> None:
    rows = [*full(name="dog", start=10), *(each for each in full() if each.number != lost)]
    assert reasons(decide({"pets": rows})["pets"]) == [""] * 7 + [FEW] * 6


def picture(designer: str, vendor: str = "any") -> Picture:
    return Picture("p", "cat", designer, vendor, "", "MIT")


def test_all_pictures_of_a_designer_go_one_way() -> None:
    one = SETS[1]
    drawn = [split_of(one, picture(f"designer {number}"), "") for number in range(4000)]
    assert {split_of(one, picture("ash"), str(number)) for number in range(50)} == {split_of(one, picture("ash"), "")}
    assert abs(drawn.count("test") / 4000 - TEST_SHARE) < 0.02
    assert abs(drawn.count("validation") / 4000 - (HELD_OUT_SHARE - TEST_SHARE)) < 0.02


def test_listed_vendors_go_where_they_are_listed() -> None:
    one = icon_set("x", "adaptation", {"a": ("a",)}, vendors={"test": ("b",), "validation": ("c",)})
    assert [split_of(one, picture("d", vendor), "") for vendor in "abc"] == ["train", "test", "validation"]
    assert split_of(SETS[2], picture("b"), "") == "train", "a pool is trained on"


def test_the_pool_takes_training_images_alone() -> None:
    rows = [row(number, "train" if number % 2 else "test") for number in range(1000)]
    taken = for_the_pool(rows)
    assert {each.split for each in taken} == {"train"} and 20 < len(taken) < 65, "8 % of 500"


def test_sets_of_one_author_or_one_first_word_are_a_family() -> None:
    authors = {"mdi": "A", "mdi-light": "B", "ph": "C", "zoo": "b", "ion": "D"}
    found = families(authors)
    assert found["mdi"] == found["mdi-light"] == found["zoo"] != found["ph"] != found["ion"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("cat", "cat"), ("cat-outline", "cat"), ("cat-fill-24", "cat"), ("cat-food", "cat-food"), ("24", "24")],
)
def test_a_style_is_no_part_of_what_an_icon_shows(name: str, shown: str) -> None:
    assert subject(name) == shown


@pytest.mark.parametrize(
    "name", ["stack-overflow", "brand-stackoverflow", "stackoverflow-logo-1", "logo-stackoverflow"]
)
def test_a_brand_is_found_under_its_many_names(name: str) -> None:
    assert brand(name) == "stackoverflow"


def test_shares_are_even_and_depend_on_the_words_alone() -> None:
    drawn = [share("a", str(number)) for number in range(2000)]
    assert drawn == [share("a", str(number)) for number in range(2000)] and abs(np.mean(drawn) - 0.5) < 0.02
    assert share("ab", "c") != share("a", "bc")
