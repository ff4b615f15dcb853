"""What imports are pointed at: tables, lists, files of names, trees of any names, texts and metadata."""

import json
from pathlib import Path

import ftfy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fomo.data.importing.captions import words
from fomo.data.importing.class_names import read_names, told_apart_by
from fomo.data.importing.described import read_table, remarks_on_parts, row_in, said_split, split_of
from fomo.data.importing.split_lists import splits_by_list
from fomo.data.importing.splits import named_split, split_folders
from fomo.data.metadata import DamagedPixels, without_metadata
from fomo.data.sources import Location, Unusable
from fomo.data.texts import caption_lines, decoded, sample_texts
from tests.fomo.helpers import put
from tests.fuzz.harness import PARSER, survives
from tests.fuzz.strategies import NASTY, SCRIPTS, json_bytes, spoilt
from tests.fuzz.test_bytes import PICTURES

CSV = b"file,class,caption,split\na.png,cat,a cat,train\nb.png,dog,,test\n"
ROWS = [{"file": "a.png", "class": "cat", "caption": ["a cat"], "split": "train"}, {"file": "b.png", "split": "val"}]
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "sentences": [{"raw": "x"}], "split": "val"}],
    "annotations": [{"image_id": 1, "caption": "a cat"}],
}
NAMES = {"n01": "cat", "n02": ["n02", "dog"], "owl": 3}
WORDS = SCRIPTS | st.sampled_from([each for each in NASTY if isinstance(each, str) and "\ud800" not in each])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@PARSER
@given(data=spoilt(CSV) | st.binary(max_size=60), suffix=st.sampled_from((".csv", ".tsv", ".jsonl", ".json")))
def test_tables_of_bytes(root: Path, data: bytes, suffix: str) -> None:
    path = put(root / f"table{suffix}", data)
    for image in survives(root, lambda: read_table(path)) or ():
        assert image.file and image.split in ("", "train", "validation", "test")
        assert all(isinstance(text, str) and text.strip() for text in (*image.captions, image.class_name or "-"))


@PARSER
@given(data=json_bytes(ROWS) | json_bytes(COCO))
def test_tables_of_json(root: Path, data: bytes) -> None:
    path = put(root / "table.json", data)
    survives(root, lambda: read_table(path))
    lines = put(root / "table.jsonl", data)
    survives(root, lambda: read_table(lines))


@PARSER
@given(data=json_bytes(NAMES) | spoilt(b"n01 cat\nn02 dog\n"), suffix=st.sampled_from((".txt", ".json")))
def test_files_of_names(root: Path, data: bytes, suffix: str) -> None:
    path = put(root / f"names{suffix}", data)
    names = survives(root, lambda: read_names(path))
    if names is not None:
        assert all(name.strip() for name in (*names.by_id.values(), *names.listed))
        survives(root, names.numbered)


@PARSER
@given(
    data=spoilt(b"cat/1\ndog/2.png 7\n./cat/3.png,1\n") | json_bytes({"train": [["cat/1.png", 0]], "val": ["dog/2"]})
)
@example(b"\rcat/1\ndog/2.png 7\n./cat/3.png,1\n")  # lines that end in two ways
@example(b"file,split\n" + b"a" * 140_000 + b",train\n")  # a field beyond the limit of Python's reader
def test_lists_of_splits(root: Path, data: bytes) -> None:
    paths = [put(root / name, data) for name in ("train.txt", "split.json", "split.csv")]
    images = ["cat/1.png", "dog/2.png", "cat/3.png"]
    for path in paths:
        found = survives(root, lambda: splits_by_list([path], images, root))  # noqa: B023
        assert found is None or set(found[0]) <= set(images)


FOLDER_NAMES = ("train", "test", "val", "valid", "Training", "a", "b", "tr", "te", "seg_train", "a_test")
FOLDERS = st.lists(st.lists(st.sampled_from(FOLDER_NAMES) | WORDS))


@PARSER
@given(folders=FOLDERS, to_use=st.booleans())
@example([["train"] * 200, ["test"] * 200], True)
def test_trees_of_any_names(root: Path, folders: list[list[str]], to_use: bool) -> None:
    ways = [tuple(folder) for folder in folders]
    found = survives(root, lambda: split_folders(ways, to_use))
    for way in ways if found is not None else ():
        place = found.place(way)  # type: ignore[union-attr]
        assert place is None or place[0] in ("train", "validation", "test")


@PARSER
@given(text=WORDS)
@example("a" * 10**5)
@example("_-" * 10**5)
@example("1" * 10**5)
@example("&amp;" * 10**4)
@example("\x83À")  # in small letters it reads like something decoded wrongly, "ƒà"
def test_names_of_files_and_classes(root: Path, text: str) -> None:
    found = survives(root, lambda: words(text))
    assert found is not None and not any(sign.isdecimal() and sign.isascii() for sign in found)
    folded = survives(root, lambda: told_apart_by(text))
    assert folded is not None and (folded == told_apart_by(folded) or ftfy.fix_text(folded) != folded)
    named_split(text)


@PARSER
@given(data=st.binary(max_size=40) | WORDS.map(lambda text: text.encode("utf-16")))
@example(b"0 " * 10**5)
@example(b"(" * 10**5)
def test_texts_beside_images(root: Path, data: bytes) -> None:
    try:
        lines = caption_lines(decoded(data))
        assert all(line == " ".join(line.split()) and line for line in lines)
    except Unusable as reason:
        assert str(reason)


@PARSER
@given(
    data=json_bytes(
        {"caption": "a", "captions": ["b"], "caption_kinds": {"default": ["c"]}, "split": "val", "is_test": 0}
    )
)
def test_json_beside_images(root: Path, data: bytes) -> None:
    row = row_in(Location(put(root / "a.json", data)))
    survives(root, lambda: split_of(said_split(row), "here"))
    assert all(isinstance(remark, str) for remark in remarks_on_parts(row, "here", "", is_used=False))
    for kind in (None, "default", "synthetic"):
        try:
            assert all(isinstance(text, str) for text in sample_texts({"json": data}, kind))
        except Unusable as reason:
            assert str(reason)


@PARSER
@given(draw=st.data(), number=st.integers(0, len(PICTURES) - 1))
def test_metadata(root: Path, draw: st.DataObject, number: int) -> None:
    data = draw.draw(spoilt(PICTURES[number]))
    try:
        assert 1 <= without_metadata(data).orientation <= 8
    except DamagedPixels:
        assert data.startswith(b"\x89PNG")


def test_the_documents_to_begin_with_are_whole(root: Path) -> None:
    assert len(read_table(put(root / "a.csv", CSV))) == 2
    assert len(read_table(put(root / "a.json", json.dumps(ROWS)))) == 2
    assert len(read_table(put(root / "a.json", json.dumps(COCO)))) == 1
    assert read_names(put(root / "a.json", json.dumps(NAMES))).by_id == {"n01": "cat", "n02": "dog", "3": "owl"}
