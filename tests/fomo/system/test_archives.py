"""Archives of strangers: what is refused before a byte is unpacked, and why."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fomo.errors import FomoError
from fomo.system.archives import MAX_INFLATED, unpack, write_archive

GOOD = {"a.json": b"{}" * 1000, "b/c.bin": b"\0" * 10}


def largest(name: str) -> int | None:
    return {"a.json": 10**4, "b/c.bin": MAX_INFLATED * 2}.get(name)


def unpacked(path: Path, into: Path) -> dict[str, bytes]:
    into.mkdir()
    return {name: (into / name).read_bytes() for name in unpack(path, into, largest, 5)}


def raw(*members: tuple[zipfile.ZipInfo | str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive as anyone can make it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for about, content in members:
            archive.writestr(about, content)
    return buffer.getvalue()


def special(name: str, mode: int) -> zipfile.ZipInfo:
    about = zipfile.ZipInfo(name)
    about.create_system = 3
    about.external_attr = mode << 16
    return about


def test_what_is_written_is_read_and_depends_on_the_content_alone(tmp_path: Path) -> None:
    (tmp_path / "c.bin").write_bytes(GOOD["b/c.bin"])
    for name in ("one.zip", "two.zip"):
        write_archive(tmp_path / name, {"a.json": GOOD["a.json"], "b/c.bin": tmp_path / "c.bin"})
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert unpacked(tmp_path / "one.zip", tmp_path / "out") == GOOD


def lying(data: bytes) -> bytes:
    """An archive that says of its first member, in both places, that it has 10 bytes."""
    size = struct.pack("<L", len(GOOD["a.json"]))
    assert data.count(size) >= 2
    return data.replace(size, struct.pack("<L", 10))


def over_one_another() -> bytes:
    """Two names of one content, as a bomb without nesting has them (Fifield 2019)."""
    data = bytearray(raw(("a.json", b"x" * 900), ("b/c.bin", b"x" * 900), kind=zipfile.ZIP_STORED))
    place = data.rindex(b"PK\1\2")
    data[place + 42 : place + 46] = struct.pack("<L", 0)
    cut = data.index(b"PK\3\4", 4)
    gone = data.index(b"PK\1\2") - cut
    short = bytearray(data[:cut] + data[cut + gone :])
    short[-6:-2] = struct.pack("<L", cut)
    return bytes(short)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not an archive"),
    "text": (lambda: b"no archive at all, but long enough for its end", "its end is missing"),
    "cut off": (lambda: raw(("a.json", b"{}"))[:-5], "its end is missing"),
    "no middle": (lambda: (whole := raw(("a.json", b"x" * 99)))[:20] + whole[40:], "something lies before it"),
    "behind": (lambda: b"#!/bin/sh\n" + raw(("a.json", b"{}")), "something lies before it"),
    "damaged": (lambda: raw(("a.json", b"abc" * 9), kind=0).replace(b"abcabc", b"abcabd", 1), "damaged"),
    "leads up": (lambda: raw(("../a.json", b"")), "leads out"),
    "absolute": (lambda: raw(("/etc/passwd", b"")), "leads out"),
    "windows": (lambda: raw(("..\\a.json", b"")), "leads out"),
    "drive": (lambda: raw(("c:a.json", b"")), "leads out"),
    "link": (lambda: raw((special("a.json", stat.S_IFLNK | 0o777), b"/etc/passwd")), "is a link"),
    "folder": (lambda: raw((special("b/", stat.S_IFDIR | 0o777), b"")), "is no file"),
    "pipe": (lambda: raw((special("a.json", stat.S_IFIFO | 0o777), b"")), "is no file"),
    "stranger": (lambda: raw(("run.py", b"")), "has no place"),
    "null": (lambda: raw(("a.json", b"")).replace(b"a.json", b"a.js\0n"), "has no place"),
    "too large": (lambda: raw(("a.json", b"x" * 10001)), "10,001 bytes, allowed are 10,000"),
    "bomb": (lambda: raw(("b/c.bin", b"\0" * (MAX_INFLATED + 1))), "a bomb?"),
    "many": (lambda: raw(*((f"{k}", b"") for k in range(1000))), "1,000 members"),
    "more than a count can say": (lambda: raw(*((f"{k}", b"") for k in range(70000))), "members"),
    "lies": (lambda: lying(raw(("a.json", GOOD["a.json"]))), "damaged"),
    "overlap": (over_one_another, "over one another"),
    "method": (lambda: raw(("a.json", b"{}"), kind=zipfile.ZIP_BZIP2), "by another method"),
    "comment": (lambda: raw(("a.json", b"{}"))[:-2] + b"\1\0!", "its end is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_with_the_reason_and_leaves_nothing_outside(name: str, tmp_path: Path) -> None:
    make, reason = BAD[name]
    file = tmp_path / "bad.zip"
    file.write_bytes(make())
    with pytest.raises(FomoError, match=reason) as caught:
        unpacked(file, tmp_path / "out")
    assert str(file) in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"bad.zip", "out"}


def test_a_member_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.zip"
    with pytest.warns(UserWarning, match="Duplicate"):
        file.write_bytes(raw(("a.json", b"1"), ("a.json", b"2")))
    with pytest.raises(FomoError, match=r"'a\.json' stands twice"):
        unpacked(file, tmp_path / "out")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    data = bytearray(raw(("a.json", b"{}")))
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(FomoError, match="encrypted"):
        unpacked(tmp_path / "locked.zip", tmp_path / "out")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FomoError, match="cannot be read"):
            unpack(place, tmp_path, largest, 5)
