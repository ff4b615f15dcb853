"""Every row of the table "my data looks like this → this command" in docs/data.md is run on such data."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from fomo.data.shards import open_dataset
from tests.fomo.data.importing.trees import fill, sizes
from tests.fomo.helpers import encoded, picture, put, status
from tests.fomo.tars import tar

PAGE = Path(__file__).parents[4] / "docs" / "data.md"
LINES = [("a.png", "cat"), ("b.png", "dog"), ("c.png", "cat")]


def rows() -> list[tuple[str, str]]:
    """What the data looks like and the command, from the page."""
    found = re.findall(r"^\| (.+) \| `(fomo data import .+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, "the table is not there"
    return found


def class_folders(place: Path) -> None:
    fill(place / "PATH", {"cat": 10, "dog": 10})


def split_first(place: Path) -> None:
    fill(place / "PATH", {f"{split}/{name}": 2 for split in ("train", "val", "test") for name in ("cat", "dog")})


def class_first(place: Path) -> None:
    fill(place / "PATH", {f"{name}/{split}": 2 for split in ("train", "test") for name in ("cat", "dog")})


def lists(place: Path) -> None:
    class_folders(place)
    put(place / "PATH" / "train.txt", "cat/000.png\ndog/000.png\ncat/001.png\n")
    put(place / "PATH" / "test.txt", "cat/002.png\n")


def numbered_lists(place: Path) -> None:
    class_folders(place)
    paths = [f"{name}/00{number}.png" for name in ("cat", "dog") for number in range(3)]
    put(place / "PATH" / "images.txt", "".join(f"{number} {path}\n" for number, path in enumerate(paths)))
    put(place / "PATH" / "train_test_split.txt", "".join(f"{number} {int(number % 3 > 0)}\n" for number in range(6)))


def table_of_splits(place: Path) -> None:
    class_folders(place)
    put(place / "PATH" / "labels.csv", "file,split\ncat/000.png,train\ndog/000.png,train\ncat/001.png,test\n")


def tiny_imagenet(place: Path) -> None:
    fill(place / "PATH", {"train/n01/images": 2, "train/n02/images": 2, "val/images": 2, "test/images": 1})
    put(place / "PATH" / "val" / "val_annotations.txt", "000.png\tn01\t0\t0\t9\t9\n001.png\tn02\t0\t0\t9\t9\n")
    put(place / "PATH" / "words.txt", "n01\tcat\nn02\tdog\n")


def one_folder_around(place: Path) -> None:
    fill(place / "PATH" / "101_ObjectCategories", {"cat": 10, "dog": 10})


def json_of_splits(place: Path) -> None:
    fill(place / "PATH", {"cat": 3, "dog": 3})
    for file in (place / "PATH").rglob("*.png"):
        put(file.with_suffix(".json"), json.dumps({"split": "test" if file.stem == "002" else "train"}))


def list_of_parts(place: Path) -> None:
    fill(place / "PATH", {"cat": 3, "dog": 3})
    lines = [f"{name}/00{number}.png {number}\n" for name in ("cat", "dog") for number in range(3)]
    put(place / "PATH" / "list_eval_partition.txt", "".join(lines))


def named_train_and_test(place: Path) -> None:
    fill(place / "PATH", {"train": 5, "test": 5})


def identifiers(place: Path) -> None:
    fill(place / "PATH", {"n01": 5, "n02": 5})
    put(place / "FILE", "n01 cat, felis\nn02 dog\n")


def order_within(place: Path) -> None:
    fill(place / "PATH", {"cat/2021/05": 5, "cat/2022": 2, "dog/2021": 5})


def links(place: Path) -> None:
    fill(place / "STORE", {"cat": 5, "dog": 5})
    (place / "PATH").mkdir()
    for name in ("cat", "dog"):
        (place / "PATH" / name).symlink_to(place / "STORE" / name)


def captions(place: Path) -> None:
    class_folders(place)
    put(place / "PATH" / "cat" / "000.txt", "a grey cat\n")


def imagefolder(place: Path) -> None:
    fill(place / "PATH", {"train": 4, "test": 2})
    for split, number in (("train", 4), ("test", 2)):
        lines = [json.dumps({"file_name": f"{n:03d}.png", "label": ("cat", "dog")[n % 2]}) for n in range(number)]
        put(place / "PATH" / split / "metadata.jsonl", "\n".join(lines))


def images(place: Path) -> None:
    for number, (name, _) in enumerate(LINES):
        put(place / name, picture(number))


def csv_beside(place: Path) -> None:
    images(place / "PATH")
    put(place / "PATH" / "labels.csv", "file,class\n" + "".join(f"{name},{kind}\n" for name, kind in LINES))


def csv_elsewhere(place: Path) -> None:
    images(place / "IMAGES")
    put(place / "PATH" / "labels.csv", "nr;breed\n" + "".join(f"{name[0]};{kind}\n" for name, kind in LINES))


def csv_per_split(place: Path) -> None:
    images(place / "PATH")
    put(place / "PATH" / "train.csv", "file,class\na.png,cat\nb.png,dog\n")
    put(place / "PATH" / "test.csv", "file,class\nc.png,cat\n")


def json_lines(place: Path) -> None:
    images(place / "PATH")
    rows = [json.dumps({"image": name, "label": kind, "caption": f"a {kind}"}) for name, kind in LINES]
    put(place / "PATH" / "data.jsonl", "\n".join(rows))


def coco(place: Path) -> None:
    images(place / "IMAGES")
    for split, chosen in (("train2017", LINES[:2]), ("val2017", LINES[2:])):
        about = {
            "images": [{"id": name, "file_name": name} for name, _ in chosen],
            "annotations": [{"image_id": name, "caption": f"a {kind}"} for name, kind in chosen],
        }
        put(place / "PATH" / f"captions_{split}.json", json.dumps(about))


def pairs(place: Path) -> None:
    for number in range(3):
        path = place / "PATH" / "00000" / f"{number:09d}.png"
        put(path, picture(number))
        put(path.with_suffix(".txt"), "a cat")
        put(path.with_suffix(".json"), '{"caption": "another"}')


def shards(place: Path, names: tuple[str, ...] = ("00000.tar",), **texts: str) -> None:
    for shard, name in enumerate(names):
        members = [(f"{n}.png", encoded(picture(10 * shard + n))) for n in range(2)]
        tar(place / "PATH" / name, members + [(f"{n}.{end}", t.encode()) for n in range(2) for end, t in texts.items()])


def laion(place: Path) -> None:
    shards(place, txt="a cat", json='{"url": "x"}')


def benchmark(place: Path) -> None:
    shards(place, ("train/0.tar", "test/0.tar"), cls="1")
    put(place / "PATH" / "classnames.txt", "cat\ndog\n")


def numbered(place: Path) -> None:
    shards(place, cls="1")
    put(place / "FILE", "cat\ndog\n")


def named_shards(place: Path) -> None:
    shards(place, ("train-000000.tar", "val-000000.tar"), txt="a cat")


def said_splits(place: Path) -> None:
    for number, is_train in enumerate((True, True, False)):
        shards(place, (f"{number}.tar",), cls="cat", json=json.dumps({"is_train": is_train}))


def without_splits(place: Path) -> None:
    shards(place, ("0.tar", "1.tar"), cls="1")
    put(place / "PATH" / "classnames.txt", "cat\ndog\n")


def again(place: Path) -> None:
    split_first(place)
    (place / "PATH").rename(place / "tree")
    assert status("data", "import", "folder", "tree", "--name", "PATH", "--out", ".", "--workers", "1") == 0


EXPECTED: list[tuple[Callable[[Path], None], int, tuple[int, int, int]]] = [
    (class_folders, 2, (14, 2, 4)),
    (split_first, 2, (4, 4, 4)),
    (class_first, 2, (4, 0, 4)),
    (lists, 2, (3, 0, 1)),
    (numbered_lists, 2, (4, 0, 2)),
    (table_of_splits, 2, (2, 0, 1)),
    (split_first, 2, (8, 2, 2)),
    (named_train_and_test, 2, (8, 0, 2)),
    (tiny_imagenet, 2, (4, 2, 0)),
    (one_folder_around, 2, (14, 2, 4)),
    (json_of_splits, 2, (4, 0, 2)),
    (list_of_parts, 2, (2, 2, 2)),
    (identifiers, 2, (8, 0, 2)),
    (order_within, 2, (9, 1, 2)),
    (links, 2, (8, 0, 2)),
    (class_folders, 2, (14, 2, 4)),
    (captions, 2, (14, 2, 4)),
    (imagefolder, 2, (4, 0, 2)),
    (csv_beside, 2, (2, 0, 1)),
    (csv_elsewhere, 2, (2, 0, 1)),
    (csv_per_split, 2, (2, 0, 1)),
    (json_lines, 2, (2, 0, 1)),
    (coco, 0, (2, 1, 0)),
    (pairs, 0, (3, 0, 0)),
    (laion, 0, (2, 0, 0)),
    (benchmark, 2, (2, 0, 2)),
    (numbered, 2, (2, 0, 0)),
    (named_shards, 0, (2, 2, 0)),
    (said_splits, 1, (4, 0, 2)),
    (said_splits, 1, (6, 0, 0)),
    (without_splits, 2, (3, 0, 1)),
    (again, 2, (4, 4, 4)),
]
"""Of each row the data, the number of classes, and the images for training, validation and test."""


def test_the_table_has_a_row_for_each_kind_of_data() -> None:
    assert len(rows()) == len(EXPECTED)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_each_row_of_the_table_does_what_it_says(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, num_classes, expected = EXPECTED[number]
    _, command = rows()[number]
    make(tmp_path)
    assert status(*shlex.split(command)[1:], "--name", "mine", "--out", "data", "--workers", "1") == 0
    card = open_dataset(tmp_path / "data" / "mine").card
    assert (len(card.classes), sizes(card)) == (num_classes, expected)
