"""Shards made elsewhere: splits in names, classes by number and by name, captions under any key, our own again."""

import json
from pathlib import Path
from typing import Any

import pytest

from fomo.data.card import DatasetCard
from fomo.data.importing.folder import folder_source
from fomo.data.importing.job import bring_in
from fomo.data.importing.webdataset import webdataset_source
from fomo.data.inspect.remarks import remarks
from fomo.data.scanned_tar import ScannedTar
from fomo.data.shards import open_dataset
from fomo.errors import FomoError
from tests.fomo.data.importing.trees import fill, options, samples, sizes
from tests.fomo.helpers import encoded, error_of, picture, put, status
from tests.fomo.tars import tar

Members = list[tuple[str, bytes]]


def sample(number: int, **texts: bytes | str) -> Members:
    """The members of a sample by extension, its image among them."""
    named = [(f"{number:06d}.{end}", text.encode() if isinstance(text, str) else text) for end, text in texts.items()]
    return [(f"{number:06d}.png", encoded(picture(number))), *named]


def brought_in(root: Path, **given: Any) -> DatasetCard:
    return bring_in(webdataset_source(root, "mine", **given), root.parent / "out")


def fill_tar(path: Path, numbers: range, **texts: bytes | str) -> Path:
    return tar(path, [member for number in numbers for member in sample(number, **texts)])


SHARDS = {
    "words first": ("train-000000.tar", "train-000001.tar", "val-000000.tar", "test-000000.tar"),
    "words last": ("0-train.tar", "1-train.tar", "0-validation.tar", "0-test.tar"),
    "with the data's name": ("cc3m-training-0.tar", "cc3m-training-1.tar", "cc3m-valid-0.tar", "cc3m-testing-0.tar"),
    "of how many": ("x_train_00_of_02.tar", "x_train_01_of_02.tar", "x_dev_00_of_01.tar", "x_eval_00_of_01.tar"),
    "folders": ("Training/0.tar", "Training/1.tar", "Valid/0.tar", "TEST/0.tar"),
    "deeper folders": ("data/train/0.tar", "data/train/1.tar", "data/val/0.tar", "data/test/0.tar"),
}


@pytest.mark.parametrize("names", SHARDS.values(), ids=SHARDS)
def test_splits_stand_in_the_names_of_shards_and_folders(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = tmp_path / "root"
    for number, name in enumerate(names):
        fill_tar(root / name, range(10 * number, 10 * number + 3), cls=str(number % 2))
    put(root / "classnames.txt", "cat\ndog\n")
    card = brought_in(root)
    assert card.classes == ("cat", "dog") and sizes(card) == (6, 3, 3) and card.counts == {}
    assert "split given by its" in card.source


def test_pairs_with_a_test_split_can_be_scored(tmp_path: Path) -> None:
    fill_tar(tmp_path / "root" / "train-0.tar", range(3), txt="a text")
    fill_tar(tmp_path / "root" / "test-0.tar", range(3, 5), txt="a text")
    card = brought_in(tmp_path / "root")
    assert (card.kind, sizes(card)) == ("retrieval", (3, 0, 2))


def test_shards_of_which_some_name_no_split_are_refused(tmp_path: Path) -> None:
    fill_tar(tmp_path / "root" / "train-0.tar", range(3), txt="a text")
    fill_tar(tmp_path / "root" / "more.tar", range(3, 5), txt="a text")
    with pytest.raises(FomoError, match=r"train-0.tar' names a split and .*more.tar' does not"):
        brought_in(tmp_path / "root")


def test_tools_leave_no_shards(tmp_path: Path) -> None:
    fill_tar(tmp_path / "root" / "0.tar", range(3), txt="a text")
    fill_tar(tmp_path / "root" / "@eaDir" / "train.tar", range(3, 5), txt="a text")
    put(tmp_path / "root" / "._0.tar", b"x")
    assert sizes(brought_in(tmp_path / "root")) == (3, 0, 0)


@pytest.mark.parametrize(
    "texts",
    [
        {"json": '{"caption": ["one", "two"]}'},
        {"json": '{"captions": ["one", "two"]}'},
        {"json": '{"text": ["one", "two"], "caption": null}'},
        {"json": '{"texts": ["one", "two"], "score": NaN}'},
        {"json": '{"Caption": ["one ", " ", "two"], "similarity": -Infinity}'},
        {"json": "\ufeff" + '{"captions": ["one", "two"]}'},
        {"txt": " \n", "json": '{"captions": ["one", "two"]}'},
    ],
)
def test_captions_are_read_alike_by_imports_and_pools(tmp_path: Path, texts: dict[str, str]) -> None:
    path = fill_tar(tmp_path / "root" / "0.tar", range(2), **texts)
    card = brought_in(tmp_path / "root")
    assert (card.kind, card.counts, sizes(card)) == ("pairs", {}, (2, 0, 0))
    assert [t for _, _, t in samples(tmp_path / "root")["train"]] == [["one", "two"]] * 2
    assert ScannedTar(path).captions(0) == ["one", "two"]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"txt": "café".encode("cp1252")}, "unreadable text"),
        ({"txt": "0 0.1 0.2 0.3 0.4"}, "text of numbers or file names, no caption"),
        ({"json": '{"caption": 3}'}, "unreadable text"),
        ({"txt": " "}, "no caption"),
    ],
)
def test_texts_that_are_no_captions_are_left_out_by_imports_and_pools(
    tmp_path: Path, texts: dict[str, bytes | str], reason: str
) -> None:
    path = tar(tmp_path / "root" / "0.tar", [*sample(1, txt="fine"), *sample(2, **texts)])
    assert brought_in(tmp_path / "root").counts == {reason: 1}
    assert ScannedTar(path).captions(1) == ()


def test_keys_with_dots_are_read_alike_by_imports_and_pools(tmp_path: Path) -> None:
    members = [("v1.5.png", encoded(picture(1))), ("v1.5.txt", b"a"), ("c.png", encoded(picture(2))), ("c.txt", b"b")]
    path = tar(tmp_path / "root" / "0.tar", [*members, ("c.seg.png", encoded(picture(3)))])
    assert sizes(brought_in(tmp_path / "root")) == (2, 0, 0)
    assert [ScannedTar(path).captions(row) for row in (0, 1)] == [["a"], ["b"]] and len(ScannedTar(path)) == 2


def test_classes_are_numbered_in_a_file_that_the_user_gives(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fill_tar(root / "train-0.tar", range(3), cls="1\n")
    fill_tar(root / "test-0.tar", range(3, 5), cls="0")
    names = put(tmp_path / "names.json", '{"0": "cat", "1": "dog"}')
    card = brought_in(root, class_file=names)
    assert card.classes == ("cat", "dog") and {n for n, _, _ in samples(root)["test"]} == {"cat"}
    (tmp_path / "out").rename(tmp_path / "first")
    assert brought_in(root, class_file=put(tmp_path / "names.txt", "cat\ndog\nowl\n")).classes == ("cat", "dog", "owl")


def test_numbers_without_names_are_refused_with_the_way_out(tmp_path: Path) -> None:
    fill_tar(tmp_path / "root" / "0.tar", range(3), cls="1")
    with pytest.raises(FomoError, match=r"classnames.txt' is missing.*--classes FILE"):
        brought_in(tmp_path / "root")
    with pytest.raises(FomoError, match="names by number from 0"):
        brought_in(tmp_path / "root", class_file=put(tmp_path / "a.txt", "n01 cat\nn02 dog\n"))


@pytest.mark.parametrize(
    "texts",
    [
        ({"cls": "cat"}, {"cls": "dog"}),
        ({"cls": "0", "json": '{"class_name": "cat"}'}, {"cls": "1", "json": '{"class_name": "dog"}'}),
        ({"json": '{"classname": "cat", "x": NaN}'}, {"json": '{"classname": "dog"}'}),
        ({"json": '{"label": "cat"}'}, {"json": '{"label": "dog"}'}),
        ({"json": '{"class": "cat", "captions": ["one"]}'}, {"json": '{"class": "dog", "captions": ["one"]}'}),
    ],
)
def test_samples_may_name_their_classes(tmp_path: Path, texts: tuple[dict[str, str], dict[str, str]]) -> None:
    root = tmp_path / "root"
    for number, each in enumerate(texts):
        fill_tar(root / f"{number}.tar", range(10 * number, 10 * number + 3), **each)
    card = brought_in(root)
    assert card.classes == ("cat", "dog") and sizes(card) == (6, 0, 0) and card.counts == {}
    assert [name for name, _, _ in samples(root)["train"]] == ["cat"] * 3 + ["dog"] * 3


def test_identifiers_are_looked_up_in_a_file_that_the_user_gives(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number, key in enumerate(("n02", "n01", "n07")):
        fill_tar(root / f"{number}.tar", range(10 * number, 10 * number + 2), cls=key)
    card = brought_in(root, class_file=put(tmp_path / "a.txt", "n01 cat\nn02 dog, hound\n"))
    assert card.classes == ("cat", "dog") and {name for name, _, _ in samples(root)["train"]} == {"cat", "dog"}
    assert card.counts == {"class that the list of classes does not name": 2}


def test_a_label_beside_a_caption_is_a_class_where_classes_are_listed(tmp_path: Path) -> None:
    fill_tar(tmp_path / "root" / "0.tar", range(3), json='{"caption": "a text", "label": 1}')
    put(tmp_path / "root" / "classnames.txt", "cat\ndog\n")
    brought_in(tmp_path / "root")
    assert {(name, *texts) for name, _, texts in samples(tmp_path / "root")["train"]} == {("dog", "a text")}


def test_shards_without_a_test_split_are_split_on_demand(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fill_tar(root / "0.tar", range(10), cls="0")
    fill_tar(root / "1.tar", range(10, 20), cls="1")
    put(root / "classnames.txt", "cat\ndog\n")
    card = brought_in(root, splits="stratified")
    assert sizes(card) == (14, 2, 4) and "split made here: stratified" in card.source
    assert sorted(name for name, _, _ in samples(root)["test"]) == ["cat", "cat", "dog", "dog"]
    with pytest.raises(FomoError, match="value of --splits"):
        brought_in(root, splits="random")
    fill_tar(tmp_path / "pairs" / "0.tar", range(3), txt="a cat")
    with pytest.raises(FomoError, match="no classes"):
        brought_in(tmp_path / "pairs", splits="hash")


def test_images_of_two_classes_and_of_two_splits_are_said(tmp_path: Path) -> None:
    fill_tar(tmp_path / "root" / "train-0.tar", (1, 2, 3), cls="0")
    fill_tar(tmp_path / "root" / "train-1.tar", (1, 4), cls="1")
    fill_tar(tmp_path / "root" / "test-0.tar", (2, 5), cls="0")
    fill_tar(tmp_path / "root" / "test-1.tar", (6,), cls="1")
    put(tmp_path / "root" / "classnames.txt", "cat\ndog\n")
    brought_in(tmp_path / "root")
    said = remarks(open_dataset(tmp_path / "out" / "mine"))
    assert [each.rsplit(": ")[-1] for each in said] == ["1", "1"] and "class" in said[0] and "trained on" in said[1]


def test_a_label_beside_a_caption_is_no_class(tmp_path: Path) -> None:
    fill_tar(tmp_path / "root" / "0.tar", range(3), json='{"caption": "a text", "label": "spam", "category": 3}')
    assert brought_in(tmp_path / "root").kind == "pairs"


def test_our_own_shards_are_imported_again_with_all_they_hold(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {f"{s}/{c}": 3 for s in ("train", "val", "test") for c in ("red", "green")})
    put(root / "train" / "red" / "000.txt", "one\ntwo\n")
    bring_in(folder_source(root, "mine"), tmp_path / "out")
    first, before = open_dataset(tmp_path / "out" / "mine").card, samples(root)
    bring_in(webdataset_source(tmp_path / "out" / "mine", "mine"), tmp_path / "again" / "out")
    second = open_dataset(tmp_path / "again" / "out" / "mine").card
    assert samples(tmp_path / "again" / "root") == before
    assert (second.classes, second.templates, second.num_samples) == (first.classes, first.templates, first.num_samples)
    assert second.source == first.source and second.counts == {}


def test_our_own_pairs_and_tars_without_their_card_are_read_too(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {f"{s}/{c}": 3 for s in ("train", "test") for c in ("red", "green")})
    bring_in(folder_source(root, "mine", options=options()), tmp_path / "out")
    before = samples(root)
    for name in ("dataset.json", "index-train.npz", "index-test.npz", "index-validation.npz"):
        (tmp_path / "out" / "mine" / name).unlink()
    card = bring_in(webdataset_source(tmp_path / "out" / "mine", "mine"), tmp_path / "again" / "out")
    assert card.classes == ("green", "red") and samples(tmp_path / "again" / "root") == before


def test_a_class_told_apart_by_a_number_keeps_its_true_prompt(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fill_tar(root / "0.tar", range(3), cls="2")
    put(root / "classnames.txt", "sunglasses\ncat (2)\nsunglasses\n")
    put(root / "zeroshot_classification_templates.txt", "a photo of {c}.\nmy {c}\n")
    card = brought_in(root)
    assert card.classes == ("sunglasses", "cat (2)", "sunglasses (2)")
    assert card.counts["class name that stands twice: numbered"] == 1
    assert card.prompts("a photo of {}.") == ["a photo of sunglasses.", "a photo of cat (2).", "a photo of sunglasses."]
    assert card.prompts("my {}") == ["my sunglasses", "my cat (2)", "my sunglasses"]


@pytest.mark.parametrize("names", ["Cat\ncat\n", "Tom & Jerry\nTom &amp; Jerry\n", "caf\u00e9\ncafe\u0301\n"])
def test_listed_classes_that_no_model_tells_apart_are_refused(tmp_path: Path, names: str) -> None:
    fill_tar(tmp_path / "root" / "0.tar", range(3), cls="0")
    put(tmp_path / "root" / "classnames.txt", names)
    with pytest.raises(FomoError, match="no model can tell apart"):
        brought_in(tmp_path / "root")


def test_named_classes_that_no_model_tells_apart_are_refused(tmp_path: Path) -> None:
    tar(tmp_path / "root" / "0.tar", [*sample(1, cls="cat"), *sample(2, cls="Cat")])
    with pytest.raises(FomoError, match="no model can tell apart"):
        brought_in(tmp_path / "root")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_takes_a_file_of_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill_tar(tmp_path / "root" / "0.tar", range(3), cls="1")
    arguments = ["data", "import", "webdataset", str(tmp_path / "root"), "--name=mine", "--out", str(tmp_path / "out")]
    assert "--classes FILE" in error_of(capsys, *arguments)
    names = put(tmp_path / "names.txt", "cat\ndog\n")
    assert status(*arguments, "--workers=1", "--classes", str(names)) == 0
    shown = capsys.readouterr().out
    assert "mine: 2 classes" in shown and "note: 1 of 2 classes without training images: cat" in shown
    assert json.loads((tmp_path / "out" / "mine" / "dataset.json").read_text())["classes"] == ["cat", "dog"]


def numbered(root: Path, numbers: str, names: str) -> Path:
    """A tar whose samples have these numbers, and a list of names."""
    for place, number in enumerate(numbers):
        fill_tar(root / f"{place}.tar", range(10 * place, 10 * place + 2), cls=number)
    put(root / "classnames.txt", names)
    return root


def test_numbers_from_1_are_not_taken_for_numbers_from_0(tmp_path: Path) -> None:
    root = numbered(tmp_path / "root", "123", "cat\ndog\nowl\n")
    with pytest.raises(FomoError, match="number their classes from 1 to 3, names in"):
        brought_in(root)
    brought_in(root, class_file=put(tmp_path / "names.txt", "1 cat\n2 dog\n3 owl\n"))
    assert [name for name, _, _ in samples(root)["train"]] == ["cat", "cat", "dog", "dog", "owl", "owl"]


def test_names_that_are_numbers_are_not_taken_for_other_numbers(tmp_path: Path) -> None:
    root = numbered(tmp_path / "root", "123", "1\n2\n3\n")
    brought_in(root)
    assert [name for name, _, _ in samples(root)["train"]] == ["1", "1", "2", "2", "3", "3"]


def test_of_two_classes_of_one_name_the_number_says_which(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fill_tar(root / "0.tar", range(2), cls="2", json='{"class_name": "crane"}')
    fill_tar(root / "1.tar", range(2, 4), cls="0", json='{"class_name": "crane"}')
    fill_tar(root / "2.tar", range(4, 6), json='{"class_name": "crane"}')
    fill_tar(root / "3.tar", range(6, 7), json='{"class_name": "owl"}')
    put(root / "classnames.txt", "crane\nowl\ncrane\n")
    card = brought_in(root)
    assert [name for name, _, _ in samples(root)["train"]] == ["crane (2)", "crane (2)", "crane", "crane", "owl"]
    assert card.counts["class name that stands twice in the list, without a number"] == 2


def test_what_a_tool_leaves_beside_shards_is_not_counted_as_one(tmp_path: Path) -> None:
    root = numbered(tmp_path / "root", "01", "cat\ndog\n")
    put(root / "nshards.txt", "2")
    put(root / "._0.tar", b"\x00\x05\x16\x07")
    assert sum(sizes(brought_in(root))) == 4
