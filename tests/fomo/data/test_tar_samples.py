"""What is found in tar files of others, and what is left out of them."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from fomo.data.images import BadImage
from fomo.data.tar_samples import scan, split_name, texts_of
from tests.fomo import tars
from tests.fomo.helpers import encoded, picture

Content = tuple[str | tarfile.TarInfo, bytes]


CUT = "tar that is compressed, damaged or cut off: the rest of it"


def pair(key: str, number: int = 0) -> list[Content]:
    return [(f"{key}.png", encoded(picture(number))), (f"{key}.txt", b"a text")]


def special(name: str, kind: bytes, link: str = "") -> Content:
    return tars.member(name, kind, link), b""


def test_members_are_found_where_they_lie(tmp_path: Path) -> None:
    path = tars.tar(tmp_path / "a.tar", [*pair("x/1"), ("2.json", b"{}"), ("2.jpg", b"abc"), ("2.cls", b"5")])
    contents, data = scan(path), path.read_bytes()
    assert [member.key for member in contents.members] == ["x/1", "2"] and not contents.skipped
    span = contents.members[0].image
    assert data[span.offset : span.offset + span.size] == encoded(picture(0))
    text = contents.members[1].texts["json"]
    assert data[text.offset : text.offset + text.size] == b"{}"


def test_webdataset_finds_the_same_samples(tmp_path: Path) -> None:
    members = [*pair("a"), *pair("dir.with.dot/b"), ("c.seg.png", b"x"), ("c.jpg", b"y"), ("c.txt", b"z")]
    path = tars.tar(tmp_path / "a.tar", members)
    theirs = [sample["__key__"] for sample in webdataset.WebDataset([str(path)], shardshuffle=False)]
    assert [member.key for member in scan(path).members] == theirs == ["a", "dir.with.dot/b", "c"]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("../out.png", b"x"), ("../out.txt", b"x")], "path out of the root"),
        ([("/etc/x.png", b"x"), ("/etc/x.txt", b"x")], "path out of the root"),
        ([("a/../../x.png", b"x"), ("a/../../x.txt", b"x")], "path out of the root"),
        ([special("l.png", tarfile.SYMTYPE, "/etc/passwd"), ("l.txt", b"x")], "link in a tar"),
        ([special("l.png", tarfile.LNKTYPE, "good.png"), ("l.txt", b"x")], "link in a tar"),
        ([special("l.png", tarfile.CHRTYPE), ("l.txt", b"x")], "neither file nor folder in a tar"),
        ([special("l.png", tarfile.FIFOTYPE), ("l.txt", b"x")], "neither file nor folder in a tar"),
        ([("e.png", b""), ("e.txt", b"x")], "empty file"),
        ([("e.png", b"x"), ("e.txt", b"")], "empty file"),
        ([("e.png", b"x")], "image without a text"),
        ([("e.txt", b"x")], "text without an image"),
        ([("e.png", b"x"), ("e.txt", b"x"), ("e.jpg", b"x")], "several images of one key"),
        ([("e.txt", b"x"), ("e.txt", b"x")], "duplicate key"),
        ([("._e.png", b"x"), ("._e.txt", b"x")], "left by a tool"),
        ([("__MACOSX/e.png", b"x"), ("__MACOSX/e.txt", b"x")], "left by a tool"),
        ([("t.png", b"x"), ("t.txt", b"x" * (2**22 + 1))], "too many bytes"),
    ],
)
def test_what_cannot_be_used_is_counted_and_the_rest_is_there(
    members: list[Content], reason: str, tmp_path: Path
) -> None:
    contents = scan(tars.tar(tmp_path / "a.tar", [*pair("good"), *members, *pair("more")]))
    keys = [member.key for member in contents.members]
    assert reason in contents.skipped and keys[0] == "good" and keys[-1] == "more"
    assert len(keys) == 2


def test_dots_in_a_key_are_no_harm_unless_a_shorter_key_has_an_image(tmp_path: Path) -> None:
    members = [*pair("v1.5", 1), *pair("v1.6", 2), *pair("a", 3), *pair("a.1", 4), ("a.mask.png", b"x")]
    contents = scan(tars.tar(tmp_path / "a.tar", members))
    assert [member.key for member in contents.members] == ["v1.5", "v1.6", "a"]
    assert contents.skipped == {"second image of a key, told apart by a dot": 1}


def test_folders_and_other_files_are_no_loss(tmp_path: Path) -> None:
    others: list[Content] = [
        special("dir.jpg", tarfile.DIRTYPE),
        ("a.npy", b"x"),
        ("README", b"x"),
    ]
    contents = scan(tars.tar(tmp_path / "a.tar", [*others, *pair("good")]))
    assert [member.key for member in contents.members] == ["good"] and not contents.skipped


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"no tar at all" * 100, b"\x1f\x8b\x08\x00" * 200])
def test_what_is_no_tar_has_no_samples_and_says_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    contents = scan(path)
    assert not contents.members and contents.skipped == {CUT: 1}


@settings(max_examples=40)
@given(cut=st.integers(1, 30_000))
def test_a_cut_never_goes_unsaid(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.tar"
    tars.tar(path, [each for number in range(8) for each in pair(f"k{number}", number)])
    whole, data = scan(path), path.read_bytes()
    # tarfile pads with empty blocks, which may go; the first of them is the end.
    end = max(m.texts["txt"].offset + 512 for m in whole.members)
    cut = min(cut, end - 1)
    path.write_bytes(data[:cut])
    contents = scan(path)
    assert contents.members == whole.members[: len(contents.members)]
    assert all(m.texts["txt"].offset + m.texts["txt"].size <= cut for m in contents.members)
    assert contents.skipped


def test_garbage_in_the_middle_costs_what_lies_behind_and_is_counted(tmp_path: Path) -> None:
    path = tars.tar(tmp_path / "a.tar", [each for number in range(4) for each in pair(f"k{number}", number)])
    whole, data = scan(path), bytearray(path.read_bytes())
    start = whole.members[2].image.offset - 512
    data[start : start + 512] = b"\xff" * 512
    path.write_bytes(data)
    contents = scan(path)
    assert [member.key for member in contents.members] == ["k0", "k1"]
    assert contents.skipped == {CUT: 1}


def test_a_negative_size_does_not_lead_back(tmp_path: Path) -> None:
    """It is written in base 256; a reader that believes it comes to the same header again and again."""
    header = bytearray(tarfile.TarInfo("back.png").tobuf())
    header[124:136] = b"\xff" + (2**88 - 512).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tars.tar(tmp_path / "a.tar", pair("good"))
    end = scan(path).members[0].texts["txt"].offset + 512
    path.write_bytes(path.read_bytes()[:end] + header + bytes(1024))
    contents = scan(path)
    assert [member.key for member in contents.members] == ["good"] and contents.skipped == {CUT: 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", ("a", "jpg")),
        ("d.x/a.JPG", ("d.x/a", "jpg")),
        ("a.seg.png", ("a", "seg.png")),
        (".a.jpg", ("", "")),
        ("d/.a.jpg", ("", "")),
        ("a", ("", "")),
        ("größe 🐕.png", ("größe 🐕", "png")),
    ],
)
def test_keys_end_at_the_first_dot_of_the_file_name(name: str, expected: tuple[str, str]) -> None:
    assert split_name(name) == expected


KINDS = {"captions": ["t"], "caption_kinds": {"default": ["d"], "synthetic": ["s", "s2"]}}


@pytest.mark.parametrize(
    ("texts", "kind", "expected"),
    [
        ({"txt": b" one \n"}, None, ["one"]),
        ({"txt": "ü 🐕".encode()}, "default", ["ü 🐕"]),
        ({"txt": b"plain", "json": json.dumps(KINDS).encode()}, None, ["plain"]),
        ({"txt": b"plain", "json": json.dumps(KINDS).encode()}, "synthetic", ["s", "s2"]),
        ({"json": json.dumps(KINDS).encode()}, None, ["t"]),
        ({"json": json.dumps(KINDS).encode()}, "default", ["d"]),
        ({"json": b'{"caption": "laion", "url": "x"}'}, None, ["laion"]),
        ({"json": b'{"captions": ["a", " ", "b"]}'}, None, ["a", "b"]),
        ({"json": b'{"captions": "one"}'}, None, ["one"]),
        ({"json": b'{"caption": ["a", "b"]}'}, None, ["a", "b"]),
        ({"json": b'{"text": "a"}'}, None, ["a"]),
        ({"json": b'{"captions": [{"text": "a"}, {"caption": ["b", "c"]}]}'}, None, ["a", "b", "c"]),
        ({"json": b'{"TEXT": "a"}'}, None, ["a"]),
        ({"json": b'{"texts": ["a"]}'}, "default", ["a"]),
        ({"json": b'{"captions": [], "caption": "a"}'}, None, ["a"]),
        ({"json": b'{"caption": "a", "aesthetic": NaN, "similarity": Infinity}'}, None, ["a"]),
        ({"txt": b" \n", "json": b'{"caption": "a"}'}, None, ["a"]),
        ({"txt": "ü 猫".encode("utf-16")}, None, ["ü 猫"]),
        ({"txt": "ü 猫".encode("utf-32")}, None, ["ü 猫"]),
        ({"txt": b"\xfe\xff" + "ü 猫".encode("utf-16-be")}, None, ["ü 猫"]),
        ({"txt": "ü 猫".encode("utf-8-sig")}, None, ["ü 猫"]),
        ({"json": '{"caption": "ü"}'.encode("utf-16")}, None, ["ü"]),
        ({"txt": b"on two\n lines"}, None, ["on two lines"]),
        ({"json": b'{"caption": "a", "split": "train", "is_test": 0}'}, None, ["a"]),
        ({"json": b'{"caption": "a", "subset": "laion2B-en"}'}, None, ["a"]),
        ({"txt": b"one", "json": b"{"}, None, ["one"]),
    ],
)
def test_texts_of_every_layout(texts: dict[str, bytes], kind: str | None, expected: list[str]) -> None:
    assert texts_of(texts, kind) == expected


@pytest.mark.parametrize(
    ("texts", "kind", "reason"),
    [
        ({"txt": b"  \n"}, None, "empty text"),
        ({"txt": b"\xff\xfe"}, None, "empty text"),
        ({"txt": b"\xff\xfea"}, None, "unreadable text"),
        ({"txt": "a cat".encode("utf-16-le")}, None, "unreadable text"),
        ({"txt": "café".encode("cp1252")}, None, "unreadable text"),
        ({"txt": b"0 0.51 0.43 0.2 0.3"}, None, "text of numbers"),
        ({"txt": b"7"}, None, "text of numbers"),
        ({"txt": b"one"}, "synthetic", "no text of its kind"),
        ({"json": json.dumps(KINDS).encode()}, "primer", "no text of its kind"),
        ({"json": b"{"}, None, "unreadable text"),
        ({"json": b"[" * 100_000}, None, "unreadable text"),
        ({"json": b"[1]"}, None, "unreadable text"),
        ({"json": b'{"captions": {"a": "b"}}'}, None, "empty text"),
        ({"json": b'{"captions": [["a"]]}'}, None, "unreadable text"),
        ({"json": b'{"captions": [1]}'}, None, "unreadable text"),
        ({"json": b'{"caption": null}'}, None, "empty text"),
        ({"json": b'{"caption_kinds": 3}'}, "primer", "unreadable text"),
        ({"txt": b"one", "json": b'{"split": "test"}'}, None, "says that it is of the test split"),
        ({"json": b'{"caption": "a", "Set": "val"}'}, None, "says that it is of the validation split"),
        ({"json": b'{"caption": "a", "is_train": false, "is_test": true}'}, None, "says that it is of the test split"),
    ],
)
def test_texts_that_cannot_be_used_say_why(texts: dict[str, Any], kind: str | None, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        texts_of(texts, kind)
