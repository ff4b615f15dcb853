"""Duplicates, labels that disagree, splits made here, and what is said of a dataset as a whole."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomo.data.importing.planning import stratified
from fomo.data.inspect.remarks import remarks
from fomo.data.shards import open_dataset
from fomo.errors import FomoError
from tests.fomo.data.importing.trees import fill, import_folder, samples, sizes
from tests.fomo.helpers import encoded, error_of, picture, put, status


def conflict(root: Path) -> Path:
    """One image as an apple and as a pear, another one twice as an apple."""
    fill(root, {"apple": 4, "pear": 4})
    put(root / "apple" / "same.png", picture(900))
    put(root / "pear" / "other.png", picture(900))
    put(root / "apple" / "twice.png", picture(0))
    return root


def test_an_image_of_two_classes_is_dropped_and_both_paths_are_listed(tmp_path: Path) -> None:
    card = import_folder(conflict(tmp_path / "root"))
    assert card.counts == {"one image under two classes": 2, "exact duplicate": 1} and sum(sizes(card)) == 8
    listed = (tmp_path / "out" / "mine" / "left_out.jsonl").read_text()
    assert "apple/same.png and pear/other.png" in listed and "pear/other.png and apple/same.png" in listed
    assert picture(900).tobytes() not in [
        pixels for part in samples(tmp_path / "root").values() for _, pixels, _ in part
    ]


def test_the_first_of_two_classes_may_keep_an_image(tmp_path: Path) -> None:
    card = import_folder(conflict(tmp_path / "root"), conflicts="first")
    assert card.counts == {"one image under two classes": 1, "exact duplicate": 1} and sum(sizes(card)) == 9
    found = {pixels: name for part in samples(tmp_path / "root").values() for name, pixels, _ in part}
    assert found[picture(900).tobytes()] == "apple"


def test_labels_that_disagree_may_be_refused_and_both_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"'apple/same.png' and 'pear/other.png' are one image under two classes"):
        import_folder(conflict(tmp_path / "root"), conflicts="refuse")
    card = import_folder(fill(tmp_path / "sound", {"apple": 3, "pear": 3}), conflicts="refuse")
    assert sum(sizes(card)) == 6


def test_labels_disagree_across_splits_too(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"train/apple": 3, "train/pear": 3, "test/apple": 2, "test/pear": 2})
    put(root / "train" / "apple" / "x.png", picture(900))
    put(root / "test" / "pear" / "x.png", picture(900))
    card = import_folder(root)
    assert card.counts == {"one image under two classes": 2} and sizes(card) == (6, 0, 4)


def test_sixty_classes_of_five_images_all_have_a_test_image(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {f"cat of kind {number:02d}": 5 for number in range(60)})
    card = import_folder(root)
    assert sizes(card) == (240, 0, 60) and remarks(open_dataset(tmp_path / "out" / "mine")) == []


@pytest.mark.parametrize(
    ("number", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (2, 0, 1)), (10, (7, 1, 2)), (100, (70, 10, 20))]
)
def test_every_class_is_split_in_the_same_shares(number: int, expected: tuple[int, int, int]) -> None:
    places = list(stratified(f"{digest:064x}" for digest in range(number)).values())
    assert tuple(places.count(split) for split in ("train", "validation", "test")) == expected


def test_other_classes_move_no_image(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"apple": 30})
    import_folder(root)
    before = samples(root)
    (tmp_path / "out").rename(tmp_path / "first")
    import_folder(fill(root, {"pear": 30}, start=500))
    after = samples(root)
    assert all({p for _, p, _ in before[split]} <= {p for _, p, _ in after[split]} for split in before)


def test_by_hash_no_image_moves_whatever_comes(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"apple": 30})
    import_folder(root, splits="hash")
    before = samples(root)
    (tmp_path / "out").rename(tmp_path / "first")
    fill(tmp_path / "more", {"apple": 30}, start=500)
    for path in (tmp_path / "more" / "apple").iterdir():
        path.rename(root / "apple" / f"new {path.name}")
    import_folder(root, splits="hash")
    after = samples(root)
    assert all({p for _, p, _ in before[split]} <= {p for _, p, _ in after[split]} for split in before)


def test_images_that_differ_beyond_8_bits_are_kept_and_stand_on_one_side(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    for number in range(40):
        image = Image.fromarray(ramp * np.float32(1 - number / 10**5))
        put(tmp_path / "root" / ("a" if number % 2 else "b") / f"{number}.tif", encoded(image, "TIFF"))
    card = import_folder(tmp_path / "root")
    assert len(card.classes) == 2 and sum(sizes(card)) == 40 and card.counts == {}
    found = samples(tmp_path / "root")
    sides = [{(name, pixels) for name, pixels, _ in part} for part in found.values()]
    assert all(not one & other for number, one in enumerate(sides) for other in sides[:number])


def test_grey_of_an_unknown_range_is_counted_and_never_a_black_duplicate(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"a": 3})
    for number in range(5):
        values = np.full((6, 8), 40 + number, dtype=np.float32)
        put(root / "a" / f"float {number}.tif", encoded(Image.fromarray(values), "TIFF"))
        put(root / "a" / f"int {number}.tif", encoded(Image.fromarray(values.astype(np.int32)), "TIFF"))
    assert import_folder(root).counts == {"unknown range": 10}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"apple": 9}, ["one class alone, 'apple'"]),
        ({"train/apple": 4, "train/pear": 4}, ["no test images; `--splits stratified`"]),
        (
            {"train/apple": 4, "val/apple": 1, "val/pear": 1},
            ["no test images, evaluation=validation", "1 of 2 classes wi"],
        ),
        ({"val/apple": 4, "test/pear": 1, "test/apple": 1}, ["no training images: the dataset can be scored"]),
        (
            {"train/a": 4, "train/b": 1, "test/b": 1, "test/c": 1},
            ["without training images: c", "without test images: a"],
        ),
        ({"n01440764": 4, "n01443537": 4}, ["identifiers (n01440764, n01443537): `--classes FILE`"]),
        ({"train/a": 300, "train/b": 3, "test/b": 1, "test/a": 1}, ["300 training images of 'a', 3 of 'b'"]),
        ({"train/a": 3, "train/b": 3, "test/b": 1, "test/a": 1}, []),
    ],
)
def test_what_concerns_the_whole_dataset_is_said(tmp_path: Path, spec: dict[str, int], said: list[str]) -> None:
    import_folder(fill(tmp_path / "root", spec))
    found = remarks(open_dataset(tmp_path / "out" / "mine"))
    assert len(found) == len(said) and all(part in sentence for part, sentence in zip(said, found, strict=True)), found


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("001.Black_footed_Albatross", "002.Laysan_Albatross"), "001 Black footed Albatross, 002 Laysan Albatross"),
        (("n02085620-Chihuahua", "n02085782-Japanese_spaniel"), "n02085620 Chihuahua, n02085782 Japanese spaniel"),
        (("20 dollars", "10 euros"), ""),
    ],
)
def test_identifiers_before_names_are_said(tmp_path: Path, names: tuple[str, str], said: str) -> None:
    import_folder(fill(tmp_path / "root", dict.fromkeys(names, 2)))
    found = " ".join(remarks(open_dataset(tmp_path / "out" / "mine")))
    assert (f"numbers or identifiers too ({said})" in found) if said else "identifiers" not in found


def test_the_table_shows_counts_and_remarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "import", "folder", str(conflict(tmp_path / "root")), "--out", str(tmp_path / "out")]
    assert status(*arguments, "--name=mine", "--workers=1") == 0
    shown = capsys.readouterr().out
    assert "one image under two classes" in shown and "note:" not in shown and "source: root" in shown
    assert status(*arguments[:3], str(tmp_path / "root" / "apple"), *arguments[4:], "--name=one", "--workers=1") == 0
    assert "note: one class alone, 'apple'" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x" * 256, "x" * 201, "猫" * 100])
def test_a_name_that_no_folder_can_have_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fill(tmp_path / "root", {"apple": 1})
    error = error_of(capsys, "data", "import", "folder", str(root), "--name", name, "--out", str(tmp_path / "out"))
    assert f"--name of {len(name)} characters" in error and "allowed are 200 bytes" in error and len(error) < 200
    assert not (tmp_path / "out").exists()


def test_a_name_of_200_bytes_is_allowed(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"apple": 1})
    out = str(tmp_path / "out")
    assert status("data", "import", "folder", str(root), "--name", "x" * 200, "--out", out, "--workers=1") == 0


def test_whole_images_come_in_whatever_their_metadata(tmp_path: Path) -> None:
    from tests.fomo.data.test_metadata import DAMAGED, jpeg, upright

    root = tmp_path / "root"
    for number, block in enumerate(DAMAGED.values()):
        data = jpeg((0xE1, block), (0xFE, b"%d" % number))
        put(root / "a" / f"{number}.jpg", data)
    card = import_folder(root)
    assert card.counts == {"exact duplicate": len(DAMAGED) - 1} and sum(sizes(card)) == 1
    ((_, pixels, _),) = [each for part in samples(root).values() for each in part]
    assert upright(Image.frombytes("RGB", (32, 48), pixels))
