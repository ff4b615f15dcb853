"""A tree of class folders becomes a dataset, whatever lies in the tree."""

import json
import os
import re
import tarfile
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from fomo import rng
from fomo.data import sources
from fomo.data.card import SPLITS, DatasetCard
from fomo.data.importing import split_writer
from fomo.data.importing.captions import captions_of, words
from fomo.data.importing.folder import folder_source
from fomo.data.importing.found_image import examine
from fomo.data.importing.job import bring_in as bring_in_source
from fomo.data.importing.planning import split_of
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset
from fomo.errors import FomoError
from tests.fomo.helpers import encoded, error_of, picture, put, status


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def bring_in(root: Path, out: Path, name: str = "mine", size: int | None = None) -> DatasetCard:
    """The import, in this process."""
    return bring_in_source(folder_source(root, name, size), out)


def fill(root: Path, folder: str, numbers: range) -> None:
    for number in numbers:
        put(root / folder / f"picture_{number:03d}.png", picture(number))


def opened(out: Path, name: str = "mine") -> Dataset:
    return open_dataset(out / name)


def contents(dataset: Dataset) -> dict[str, list[tuple[str, bytes, list[str]]]]:
    """(class, pixels, captions) of every sample, by split."""
    found = {}
    for split in SPLITS:
        if dataset.card.num_samples[split]:
            samples = dataset.split(split)
            found[split] = [
                (dataset.card.classes[target], samples.image(i).tobytes(), list(samples.captions(i)))
                for i, target in enumerate(samples.targets)
            ]
    return found


def samples_of(dataset: Dataset) -> list[tuple[str, bytes, list[str]]]:
    return [sample for split in contents(dataset).values() for sample in split]


def captions(dataset: Dataset) -> list[list[str]]:
    return [texts for _, _, texts in samples_of(dataset)]


def test_classes_splits_and_pixels_come_through(root: Path, out: Path) -> None:
    fill(root, "cats", range(40))
    fill(root, "dogs", range(40, 80))
    card = bring_in(root, out)
    assert card == opened(out).card and card.classes == ("cats", "dogs") and card.name == "mine"
    assert sum(card.num_samples.values()) == 80 and all(card.num_samples[split] > 0 for split in SPLITS)
    assert card.num_samples["train"] > card.num_samples["test"] > card.num_samples["validation"]
    by_class: dict[str, set[bytes]] = {"cats": set(), "dogs": set()}
    for name, pixels, _ in samples_of(opened(out)):
        by_class[name].add(pixels)
    assert by_class["cats"] == {picture(number).tobytes() for number in range(40)}
    assert by_class["dogs"] == {picture(number).tobytes() for number in range(40, 80)}
    assert card.counts == {} and card.role == "unassigned" and card.licence == ""


def test_split_shares_are_those_promised() -> None:
    counts = dict.fromkeys(SPLITS, 0)
    for number in range(4000):
        counts[split_of(f"{rng.fold(number):032x}")] += 1
    assert abs(counts["test"] - 800) < 120 and abs(counts["validation"] - 400) < 90


def test_no_pixels_stand_in_two_splits(root: Path, out: Path) -> None:
    fill(root, "cats", range(60))
    fill(root, "more cats", range(30, 90))
    bring_in(root, out)
    splits = [{pixels for _, pixels, _ in split} for split in contents(opened(out)).values()]
    assert len(splits) == 3 and all(not one & other for one, other in combinations(splits, 2))


def test_a_picture_stays_in_its_split_when_others_come_and_it_is_renamed(root: Path, out: Path) -> None:
    fill(root, "cats", range(40))
    bring_in(root, out, "before")
    fill(root, "ants", range(100, 140))
    (root / "cats" / "picture_000.png").rename(root / "cats" / "zzz.png")
    bring_in(root, out, "after")
    before, after = contents(opened(out, "before")), contents(opened(out, "after"))
    for split in SPLITS:
        assert {pixels for _, pixels, _ in before[split]} < {pixels for _, pixels, _ in after[split]}


def test_equal_trees_give_equal_bytes_whatever_their_times(tmp_path: Path, out: Path) -> None:
    for number, name in enumerate(("one", "two")):
        root = tmp_path / name / "root"
        for folder in ("b", "a") if number else ("a", "b"):
            fill(root, folder, range(10) if folder == "a" else range(10, 20))
        for path in root.rglob("*.png"):
            os.utime(path, (number * 10**6, number * 10**8))
        bring_in(root, out / name)
    files = sorted(path.relative_to(out / "one") for path in (out / "one").rglob("*") if path.is_file())
    assert len(files) == 7
    assert all((out / "one" / file).read_bytes() == (out / "two" / file).read_bytes() for file in files)


def test_several_shards_hold_the_same_samples(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, "cats", range(30))
    bring_in(root, out, "whole")
    monkeypatch.setattr(split_writer, "SHARD_BYTES", 1000)
    bring_in(root, out, "cut")
    assert len(list((out / "cut").glob("train-*.tar"))) > 3
    assert contents(opened(out, "cut")) == contents(opened(out, "whole"))


def test_exact_duplicates_are_dropped_and_counted(root: Path, out: Path) -> None:
    put(root / "a" / "one.png", picture(1))
    put(root / "a" / "same bytes.png", picture(1))
    put(root / "a" / "same pixels.bmp", encoded(picture(1), "BMP"))
    put(root / "a" / "same pixels.webp", encoded(picture(1), "WEBP", lossless=True))
    put(root / "b" / "two.png", picture(2))
    card = bring_in(root, out)
    assert card.counts == {"exact duplicate": 3} and sum(card.num_samples.values()) == 2


def test_pictures_of_equal_bytes_and_other_sizes_are_no_duplicates(root: Path, out: Path) -> None:
    put(root / "a" / "wide.png", Image.new("RGB", (8, 2), "red"))
    put(root / "a" / "high.png", Image.new("RGB", (2, 8), "red"))
    assert sum(bring_in(root, out).num_samples.values()) == 2


def test_nested_folders_are_classes_named_by_their_path(root: Path, out: Path) -> None:
    fill(root, "animals/big_cats", range(3))
    fill(root, "animals", range(3, 6))
    fill(root, "ToyCar-red", range(6, 9))
    fill(root, "7", range(9, 12))
    card = bring_in(root, out)
    assert card.classes == ("7", "Toy Car red", "animals", "animals big cats")


def test_a_class_name_keeps_its_numbers(root: Path, out: Path) -> None:
    fill(root, "Boeing_737-800", range(2))
    fill(root, "Boeing_737-900", range(2, 4))
    assert bring_in(root, out).classes == ("Boeing 737 800", "Boeing 737 900")


def test_pictures_in_the_root_itself_are_one_class(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, ".", range(3))
    assert bring_in(root, out).classes == ("root",)
    monkeypatch.chdir(root)
    card = bring_in(Path("."), out, "again")
    assert card.classes == ("root",) and card.source == "root"


def test_two_folders_of_one_class_name_are_refused_and_both_named(root: Path, out: Path) -> None:
    fill(root, "big_cat", range(2))
    fill(root, "big-cat", range(2, 4))
    with pytest.raises(FomoError, match=r"big-cat.*big_cat.*'big cat'.*rename"):
        folder_source(root, "mine")


@pytest.mark.parametrize("folder", ["+++", " "])
def test_a_folder_that_names_no_class_is_refused_before_long_work(root: Path, out: Path, folder: str) -> None:
    fill(root, folder, range(2))
    with pytest.raises(FomoError, match="class name"):
        folder_source(root, "mine")


def test_captions_come_from_the_text_beside_the_picture(root: Path, out: Path) -> None:
    put(root / "a" / "one.png", picture(1))
    put(root / "a" / "one.txt", "a red thing\n\n  another line  \r\n")
    card = bring_in(root, out)
    assert captions(opened(out)) == [["a red thing", "another line"]] and card.counts == {}


def test_a_mark_at_the_start_of_a_text_is_no_part_of_the_caption(root: Path, out: Path) -> None:
    put(root / "a" / "one.png", picture(1))
    put(root / "a" / "one.txt", b"\xef\xbb\xbfa red thing")
    bring_in(root, out)
    assert captions(opened(out)) == [["a red thing"]]


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("a_red-car_0012", ["a picture of a, a red car"]),
        ("RedCar", ["a picture of a, Red Car"]),
        ("0001", []),
        ("___", []),
        ("42.7", []),
        ("grüner Apfel 🍏", ["a picture of a, grüner Apfel 🍏"]),
        ("猫", ["a picture of a, 猫"]),
    ],
)
def test_captions_else_are_the_class_and_the_words_of_the_file_name(
    root: Path, out: Path, stem: str, expected: list[str]
) -> None:
    put(root / "a" / f"{stem}.png", picture(1))
    bring_in(root, out)
    assert captions(opened(out)) == [expected]


def test_a_text_without_words_leaves_the_class_prompt(root: Path, out: Path) -> None:
    put(root / "a" / "red car.png", picture(1))
    put(root / "a" / "red car.txt", " \n\n")
    bring_in(root, out)
    assert captions(opened(out)) == [[]]


def test_separators_become_spaces() -> None:
    assert words("big_cats-and+dogs,2.x") == "big cats and dogs x"


def test_unicode_names_come_through_whole(root: Path, out: Path) -> None:
    for number, folder in enumerate(("猫", "Größe", "🐕 dog", "a'b\"c")):
        put(root / folder / f"фото {number} 🎉.png", picture(number))
    assert set(bring_in(root, out).classes) == {"猫", "Größe", "🐕 dog", "a'b\"c"}
    assert ["a picture of 猫, фото 🎉"] in captions(opened(out))


def test_a_file_name_that_is_no_text_comes_in(root: Path, out: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(root) + b"/a/red \xff car.png")), picture(1))
    put(Path(os.fsdecode(os.fsencode(root) + b"/a/\xff.png")), b"broken")
    assert bring_in(root, out).counts == {"broken image": 1}
    assert captions(opened(out)) == [["a picture of a, red ? car"]]


def test_a_folder_name_that_is_no_text_is_refused(root: Path, out: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(root) + b"/\xff/a.png")), picture(1))
    with pytest.raises(FomoError, match="class name"):
        bring_in(root, out)


def test_keys_hold_no_dots_and_members_stay_plain(root: Path, out: Path) -> None:
    put(root / "v1.0" / "a.b.c.png", picture(1))
    put(root / "v1.0" / "x.tar.jpg", encoded(picture(2), "JPEG"))
    bring_in(root, out)
    assert {name for name, _, _ in samples_of(opened(out))} == {"v1 0"}
    names = []
    for path in (out / "mine").glob("*.tar"):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    assert len(names) == 4 and all(re.fullmatch(r"[0-9]{12}\.(png|jpg|json)", name) for name in names)


def test_files_that_cannot_be_used_are_counted_by_reason(root: Path, out: Path) -> None:
    fill(root, "a", range(3))
    put(root / "a" / "empty.png", b"")
    put(root / "a" / "text.png", "not a picture")
    put(root / "a" / "cut.png", encoded(picture(9, (64, 64)))[:500])
    put(
        root / "a" / "huge.bmp",
        encoded(Image.new("1", (1, 1)), "BMP").replace(b"\x01\0\0\0\x01\0\0\0", b"\0\0\1\0\0\0\1\0", 1),
    )
    put(root / "a" / "notes.pdf", "x")
    put(root / "a" / ".DS_Store", "x")
    put(root / "a" / "words.txt", "x")
    (root / "a" / "gone.png").symlink_to(root / "a" / "nowhere.png")
    card = bring_in(root, out)
    counts = dict(card.counts)
    assert sum(card.num_samples.values()) == 3
    assert counts.pop("empty file") == 1 and counts.pop("broken image") == 2
    assert counts.pop("too many pixels") == 1 and counts.pop("not an image by name") == 2
    assert list(counts.values()) == [1], "the link to nowhere"


def test_classes_without_a_usable_picture_are_counted_and_no_classes(root: Path, out: Path) -> None:
    fill(root, "a", range(3))
    (root / "b" / "empty").mkdir(parents=True)
    put(root / "broken" / "text.png", "not a picture")
    put(root / "notes" / "readme.md", "x")
    card = bring_in(root, out)
    listed = map(json.loads, (out / "mine" / "left_out.jsonl").read_text().splitlines())
    assert card.classes == ("a",) and card.counts["class without any image"] == 3
    assert {each["path"] for each in listed if "class" in each["reason"]} == {"b/empty", "broken", "notes"}


def test_a_picture_under_a_wrong_extension_is_stored_as_what_it_is(root: Path, out: Path) -> None:
    put(root / "a" / "one.jpg", picture(1))
    put(root / "a" / "two.PNG", encoded(picture(2), "GIF"))
    assert sum(bring_in(root, out).num_samples.values()) == 2
    assert picture(1).tobytes() in [pixels for _, pixels, _ in samples_of(opened(out))]


def test_a_file_of_too_many_bytes_is_not_read(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, "a", range(2))
    put(root / "a" / "fat.png", encoded(picture(9)) + b"\0" * 5000)
    monkeypatch.setattr(sources, "MAX_BYTES", 4000)
    card = bring_in(root, out)
    assert card.counts == {"too many bytes": 1} and sum(card.num_samples.values()) == 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "JPEG"])
def test_damaged_animations_never_stop_an_import(tmp_path: Path, kind: str) -> None:
    frames = [picture(number, (16, 12)) for number in range(3)]
    options = {} if kind == "JPEG" else {"save_all": True, "append_images": frames[1:]}
    whole = encoded(frames[0], kind, **options)
    generator, reasons = rng.generator("animation", kind), set()
    for number in range(150):
        damaged = bytearray(whole[: int(generator.integers(len(whole) // 2, len(whole) + 1))])
        for place in generator.integers(0, len(damaged), 2):
            damaged[place] = generator.integers(0, 256)
        ((_, _, reason),) = examine([put(tmp_path / f"{number}.png", bytes(damaged))])
        reasons.add(reason or "read")
    assert "broken image" in reasons and reasons <= {"broken image", "read", "too many pixels", "empty image"}


def test_an_animation_becomes_its_first_frame(root: Path, out: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    put(root / "a" / "moving.webp", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    bring_in(root, out)
    assert [pixels for _, pixels, _ in samples_of(opened(out))] == [frames[0].tobytes()]


def test_links_out_of_the_root_are_not_followed(root: Path, out: Path, tmp_path: Path) -> None:
    fill(root, "a", range(2))
    secret = put(tmp_path / "elsewhere" / "secret.png", picture(7))
    (root / "a" / "stolen.png").symlink_to(secret)
    card = bring_in(root, out)
    assert card.counts == {"link out of the folder": 1} and sum(card.num_samples.values()) == 2


def test_a_caption_file_that_leads_out_of_the_root_is_not_read(root: Path, out: Path, tmp_path: Path) -> None:
    put(root / "a" / "red car.png", picture(1))
    (root / "a" / "red car.txt").symlink_to(put(tmp_path / "passwords", "secret"))
    bring_in(root, out)
    assert captions(opened(out)) == [["a picture of a, red car"]]


def test_links_inside_of_the_root_are_duplicates(root: Path, out: Path) -> None:
    fill(root, "a", range(2))
    (root / "a" / "again.png").symlink_to(root / "a" / "picture_000.png")
    assert bring_in(root, out).counts == {"exact duplicate": 1}


def test_a_linked_folder_is_counted_and_not_followed(root: Path, out: Path, tmp_path: Path) -> None:
    fill(root, "a", range(2))
    fill(tmp_path, "elsewhere", range(5, 8))
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "round").symlink_to(root)
    card = bring_in(root, out)
    assert card.classes == ("a",) and card.counts == {"link to a folder": 2}


def test_a_pipe_is_no_picture(root: Path, out: Path) -> None:
    fill(root, "a", range(2))
    os.mkfifo(root / "a" / "pipe.png")
    card = bring_in(root, out)
    assert card.counts == {"not a file": 1} and sum(card.num_samples.values()) == 2


def test_size_shrinks_the_shorter_side_and_never_enlarges(root: Path, out: Path) -> None:
    put(root / "a" / "big.png", picture(1, (40, 20)))
    put(root / "a" / "small.png", picture(2, (9, 6)))
    put(root / "a" / "thin.png", picture(3, (200, 11)))
    bring_in(root, out, size=10)
    data = opened(out)
    made = {data.split(s).image(i).size for s in contents(data) for i in range(data.card.num_samples[s])}
    assert made == {(20, 10), (9, 6), (182, 10)}


def test_size_does_not_move_a_picture_to_another_split(root: Path, out: Path) -> None:
    fill(root, "a", range(40))
    whole, small = bring_in(root, out, "whole"), bring_in(root, out, "small", size=4)
    assert whole.num_samples == small.num_samples


def left_in(out: Path) -> list[Path]:
    return list(out.iterdir()) if out.exists() else []


def test_no_usable_picture_at_all_leaves_nothing(root: Path, out: Path) -> None:
    put(root / "a" / "one.png", "words")
    put(root / "a" / "two.png", "")
    with pytest.raises(FomoError, match=r"no usable image.*1 × broken image.*1 × empty file"):
        bring_in(root, out)
    assert left_in(out) == []


def test_a_folder_without_pictures_says_what_there_was(root: Path, out: Path) -> None:
    put(root / "a" / "notes.pdf", "x")
    put(root / "b" / "notes.txt", "x")
    with pytest.raises(FomoError, match=r"no image in .*1 × not an image by name.*\.png"):
        folder_source(root, "mine")


def test_an_empty_folder_is_called_empty(root: Path, out: Path) -> None:
    put(root / "words.txt", "x")
    with pytest.raises(FomoError, match=r"no image in .*: it is empty") as caught:
        folder_source(root, "mine")
    assert "0 ×" not in str(caught.value)


def test_an_existing_destination_is_refused_and_left_alone(root: Path, out: Path) -> None:
    fill(root, "a", range(2))
    kept = put(out / "mine" / "thesis.tex", "x")
    with pytest.raises(FomoError, match=r"out/mine' exists.*--name"):
        bring_in(root, out)
    assert left_in(out / "mine") == [kept]


@pytest.mark.parametrize("size", [0, -5])
def test_a_bad_size_is_refused(root: Path, out: Path, size: int) -> None:
    fill(root, "a", range(2))
    with pytest.raises(FomoError, match=rf"--size {size}: allowed are 1 and above"):
        folder_source(root, "mine", size)


def test_captions_of_a_picture_without_a_name_are_empty(tmp_path: Path) -> None:
    assert captions_of(tmp_path / "00_17.png", "cat") == []


def test_the_command_imports_and_tells_what_was_left_out(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(root, "cats [big]", range(20))
    put(root / "cats [big]" / "broken.png", "x")
    assert status("data", "import", "folder", str(root), "--name", "mine", "--out", str(out)) == 0
    shown = capsys.readouterr().out
    assert "mine: 1 classes" in shown and "left out: broken image" in shown
    assert opened(out).card.classes == ("cats [big]",)
    assert sum(opened(out).card.num_samples.values()) == 20
    assert status("data", "list", "--root", str(out)) == 0
    assert "mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("a/b", ["'a/b'", "no slash"]),
        ("two words", ["'two words'", "no space"]),
        ("", ["name"]),
        (".", ["'.'"]),
        ("..", ["'..'"]),
        ("pocket_flags", ["'pocket_flags'", "pocket dataset", "--name"]),
    ],
)
def test_the_command_refuses_a_bad_name_before_any_work(
    root: Path, out: Path, name: str, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(root, "a", range(2))
    error = error_of(capsys, "data", "import", "folder", str(root), "--name", name, "--out", str(out))
    assert error.startswith("error: ") and all(text in error for text in texts), error
    assert not out.exists()


@pytest.mark.parametrize("size", ["0", "-3", "big"])
def test_the_command_refuses_a_bad_size(root: Path, out: Path, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(root, "a", range(2))
    error = error_of(capsys, "data", "import", "folder", str(root), "--name", "x", "--out", str(out), f"--size={size}")
    assert "--size" in error and size in error


def test_the_command_refuses_paths_that_are_no_folders(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not a folder" in error_of(
        capsys, "data", "import", "folder", str(root / "nowhere"), "--name", "x", "--out", str(out)
    )
    fill(root, "a", range(2))
    file = put(out.with_name("file"), "x")
    error = error_of(capsys, "data", "import", "folder", str(root), "--name", "x", "--out", str(file))
    assert str(file) in error and "folder" in error
    assert file.read_text() == "x"
