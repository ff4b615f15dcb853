"""Captions come from what people wrote, never from cameras, counters, hashes, labels or bytes of another encoding."""

from pathlib import Path

import pytest

from fomo.data.importing.captions import captions_of, words
from fomo.data.importing.folder import folder_source
from fomo.data.sources import Unusable
from fomo.data.texts import caption_lines, decoded, is_caption, json_captions, parsed
from tests.fomo.data.importing.trees import import_folder, samples
from tests.fomo.helpers import picture, put


def beside(tmp_path: Path, text: bytes, name: str = "1.txt") -> tuple[list[str], dict[str, int]]:
    """The captions of an image with a text beside it, and what the import counts."""
    root = tmp_path / "root"
    put(root / "cat" / "1.png", picture(1))
    put(root / "dog" / "2.png", picture(2))
    put(root / "cat" / name, text)
    card = import_folder(root)
    found = {name: texts for part in samples(root).values() for name, _, texts in part}
    return found["cat"], dict(card.counts)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_texts_are_decoded_by_their_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    assert beside(tmp_path, "a grey cat, größer 猫\n\nanother line".encode(encoding)) == (
        ["a grey cat, größer 猫", "another line"],
        {},
    )


def test_utf_16_of_either_order_is_read() -> None:
    assert decoded(b"\xff\xfe" + "ü".encode("utf-16-le")) == decoded(b"\xfe\xff" + "ü".encode("utf-16-be")) == "ü"
    assert decoded(b"\xff\xfe\0\0" + "ü".encode("utf-32-le")) == "ü"


@pytest.mark.parametrize(
    "data",
    [
        "café".encode("cp1252"),
        "猫".encode("shift-jis"),
        "кот".encode("koi8-r"),
        "a cat".encode("utf-16-le"),
        "a cat".encode("utf-16-be"),
        b"\xff\xfeodd",
        b"a\x00cat",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"\x01\x02\x03",
    ],
)
def test_what_cannot_be_decoded_is_counted_and_the_class_prompt_serves(tmp_path: Path, data: bytes) -> None:
    assert beside(tmp_path, data) == ([], {"unreadable text": 1})


@pytest.mark.parametrize(
    "text",
    [
        "0 0.51 0.43 0.2 0.3\n1 0.1 0.2 0.3 0.4\n",
        "3",
        "0,0.5,0.5,1,1",
        "cat 0.5 0.5 0.25 0.25",
        "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56",
        "10.0 20.0 30.0 20.0 30.0 40.0 10.0 40.0 plane 0",
        "[12, 44, 190, 260]",
        "nan -inf 1e-5",
        "IMG_2021.jpg",
        '{"caption": "a cat"}',
        "<annotation><name>cat</name></annotation>",
        "DSC00012",
        "9f3ab2c4d1",
        "123e4567-e89b-12d3-a456-426614174000",
        "---",
    ],
)
def test_label_files_are_no_captions(tmp_path: Path, text: str) -> None:
    assert beside(tmp_path, text.encode()) == ([], {"text of numbers or file names, no caption": 1})


@pytest.mark.parametrize(
    "line",
    [
        "a cat",
        "5 cats",
        "in 1969 the Beatles, 4 of them",
        "猫",
        "🐈",
        "F16",
        "three 1 2 3 4 five",
        "room 101",
        "x",
        "IMG of a cat",
        "face",
    ],
)
def test_lines_with_words_are_captions(line: str) -> None:
    assert is_caption(line) and caption_lines(f"{line}\n7\n\n") == [line]


@pytest.mark.parametrize("name", ["1.TXT", "1.Txt", "1.png.txt", "1.txt"])
def test_texts_are_found_whatever_the_case_of_their_ending(tmp_path: Path, name: str) -> None:
    assert beside(tmp_path, b"a grey cat", name) == (["a grey cat"], {})


def test_a_text_of_too_many_bytes_costs_no_image(tmp_path: Path) -> None:
    assert beside(tmp_path, b"a cat " * 2**20) == ([], {"too many bytes": 1})


SAYS_NOTHING = [
    "IMG_2021",
    "IMG_20210101_101010_HDR",
    "AdobeStock_123456",
    "mmexport1514000000",
    "IMG-20210304-WA0012",
    "img",
    "(3)",
    "DSC00123",
    "DSCN1234",
    "DSCF0001",
    "_DSC4711",
    "PXL_20210101_101010123",
    "MVIMG_20190101",
    "P1010001",
    "100_0001",
    "GOPR0123",
    "DJI_0042",
    "CIMG1234",
    "SAM_1234",
    "IMAG0001",
    "20210304_101112",
    "2021-03-04",
    "1618033988",
    "0001",
    "42.7",
    "___",
    "9f3ab2c4d1",
    "9f3ab2c4d1e5f60718293a4b5c6d7e8f",
    "d41d8cd98f00b204e9800998ecf8427e",
    "deadbeefcafe",
    "123e4567-e89b-12d3-a456-426614174000",
    "photo-123e4567-e89b-12d3-a456-426614174000",
    "9f3a-b2c4-face-0001",
    "n01440764_10026",
    "ILSVRC2012_val_00000001",
    "COCO_train2014_000000000009",
    "train_0042",
    "test-17",
    "val_3",
    "image_00001",
    "frame0042",
    "000000123",
    "photo",
    "picture(1)",
    "download",
    "unnamed",
    "untitled-1",
    "images-2",
    "screenshot_1",
    "scan0001",
    "x_12",
    "dQw4w9WgXcQ",
    "3652_ab8c19",
    "received_10153829",
    "FB_IMG_1500000000000",
    "WhatsApp.Image.2021-03-04.at.10.11.12",
    "signal-2021-03-04-101112",
    "IMGP0012",
    "_MG_1234",
    "KIF_0012",
    "R0012345 (2)",
    "InShot_20210304_101112345",
    "KakaoTalk_20210304_101112345",
    "Photo on 04-03-2021 at 10.11",
    "000001_hflip",
    "Unbenannt",
    "téléchargement (1)",
    "下载 (1)",
    "微信图片_20210304",
]


@pytest.mark.parametrize("stem", SAYS_NOTHING)
def test_names_of_cameras_programs_and_databases_are_no_captions(stem: str) -> None:
    assert words(stem) == ""


@pytest.mark.parametrize("stem", ["Screenshot 2021-03-04 at 10.11.12", "WhatsApp Image 2021-03-04 at 10.11.12 AM (1)"])
def test_names_with_a_date_are_no_captions(stem: str) -> None:
    assert words(stem) == ""


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("a_red-car_0012", "a red car"),
        ("IMG_2021_red_car", "red car"),
        ("RedCar01", "Red Car"),
        ("cat.0", "cat"),
        ("train station 3", "train station"),
        ("photo of a dog", "photo of a dog"),
        ("grüner Apfel 🍏", "grüner Apfel 🍏"),
        ("猫", "猫"),
        ("facade", "facade"),
        ("rhythm", "rhythm"),
        ("To be or not to be", "To be or not to be"),
    ],
)
def test_words_of_people_stay(stem: str, expected: str) -> None:
    assert words(stem) == expected


def test_a_name_that_says_the_class_again_adds_nothing(tmp_path: Path) -> None:
    assert captions_of(tmp_path / "cat.12.png", "cat") == []
    assert captions_of(tmp_path / "grey_cat.12.png", "cat") == ["a picture of cat, grey cat"]


def test_json_of_samples_is_read_by_one_rule() -> None:
    assert json_captions({"caption": ["a", " ", "b\nc"]}) == ["a", "b c"]
    assert json_captions({"Text": "a", "url": "x"}) == ["a"] and json_captions({"title": "a"}) == []
    assert json_captions({"captions": ["a"], "caption_kinds": {"primer": ["p"]}}, "primer") == ["p"]
    assert parsed('{"caption": "a", "score": NaN}')["caption"] == "a"
    for bad in ("[1]", "{", '"a"', "[" * 10**5):
        with pytest.raises(Unusable, match="unreadable"):
            parsed(bad)


def test_a_text_without_its_image_is_no_loss(tmp_path: Path) -> None:
    put(tmp_path / "root" / "cat" / "1.png", picture(1))
    put(tmp_path / "root" / "cat" / "2.TXT", "a cat")
    assert folder_source(tmp_path / "root", "mine").total == 2 and import_folder(tmp_path / "root").counts == {}
