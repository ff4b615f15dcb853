"""Tars and files of others: what is whole is read, nothing else, never out of the root."""

import gzip
import tarfile
from pathlib import Path

import pytest

from fomo.data import sources
from fomo.data.sources import LeftOut, Location, TarMember, Unusable, is_inside, tar_members
from tests.fomo.helpers import put
from tests.fomo.tars import member, tar


def read(path: Path) -> tuple[dict[str, bytes], list[LeftOut]]:
    """Contents by name, and what was left out."""
    items = list(tar_members(path))
    whole = {item.name: item.location.read() for item in items if isinstance(item, TarMember)}
    return whole, [item for item in items if isinstance(item, LeftOut)]


def test_members_are_read_where_they_lie(tmp_path: Path) -> None:
    long = "d/" + "long name ü " * 20 + ".jpg"
    path = tar(tmp_path / "t.tar", [("a/b.jpg", b"one"), ("./a/c.d.jpg", b"two"), (long, b"three" * 300)])
    assert read(path) == ({"a/b.jpg": b"one", "a/c.d.jpg": b"two", long: b"three" * 300}, [])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (member("l", tarfile.SYMTYPE, "/etc/passwd"), "link in a tar"),
        (member("l", tarfile.LNKTYPE, "a.jpg"), "link in a tar"),
        (member("l", tarfile.CHRTYPE), "neither file nor folder in a tar"),
        (member("l", tarfile.BLKTYPE), "neither file nor folder in a tar"),
        (member("l", tarfile.FIFOTYPE), "neither file nor folder in a tar"),
        (member("/etc/passwd"), "path out of the root"),
        (member("../up.jpg"), "path out of the root"),
        (member("a/../../up.jpg"), "path out of the root"),
    ],
)
def test_what_could_lead_astray_is_left_out_and_the_rest_is_read(
    tmp_path: Path, name: tarfile.TarInfo, reason: str
) -> None:
    path = tar(tmp_path / "t.tar", [("a.jpg", b"a"), (name, b""), (member("d", tarfile.DIRTYPE), b""), ("z.jpg", b"z")])
    assert read(path) == ({"a.jpg": b"a", "z.jpg": b"z"}, [LeftOut(f"t.tar/{name.name}", reason)])


@pytest.mark.parametrize("length", range(1, 3 * 1024 + 1, 64))
def test_a_tar_that_was_cut_off_gives_what_is_whole_and_says_so(tmp_path: Path, length: int) -> None:
    """Each member takes two blocks: its header, and 400 bytes with their padding."""
    whole = tar(tmp_path / "whole.tar", [(f"{number}.jpg", bytes([number]) * 400) for number in range(3)]).read_bytes()
    found, left_out = read(put(tmp_path / "cut.tar", whole[:length]))
    num_whole = sum(length >= 1024 * number + 512 + 400 for number in range(3))
    assert found == {f"{number}.jpg": bytes([number]) * 400 for number in range(num_whole)}
    assert left_out[-1].path == "cut.tar" and "damaged or cut off" in left_out[-1].reason


@pytest.mark.parametrize("place", [0, 1024])
def test_a_damaged_header_ends_the_tar(tmp_path: Path, place: int) -> None:
    data = bytearray(tar(tmp_path / "t.tar", [(f"{number}.jpg", b"x" * 400) for number in range(3)]).read_bytes())
    data[place : place + 512] = b"\xff" * 512
    found, left_out = read(put(tmp_path / "t.tar", bytes(data)))
    assert len(found) == place // 1024 and [item.path for item in left_out] == ["t.tar"]


@pytest.mark.parametrize(
    "content", [b"", b"no tar at all", gzip.compress(b"x" * 3000, mtime=0)], ids=["empty", "text", "gzip"]
)
def test_what_is_no_tar_says_so(tmp_path: Path, content: bytes) -> None:
    found, left_out = read(put(tmp_path / "t.tar", content))
    assert found == {} and [item.path for item in left_out] == ["t.tar"]


def test_a_folder_of_that_name_is_no_tar(tmp_path: Path) -> None:
    assert read(tmp_path) == ({}, [LeftOut(tmp_path.name, "not a file")])


def test_an_empty_tar_is_whole(tmp_path: Path) -> None:
    found, left_out = read(tar(tmp_path / "t.tar", []))
    assert found == {} and left_out == []


def test_files_that_cannot_be_read_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path / "f", b"content")
    assert Location(file).read() == b"content" and Location(file, 3, 2).read() == b"te"
    for location, reason in [
        (Location(put(tmp_path / "empty", b"")), "empty file"),
        (Location(file, 3, 0), "empty file"),
        (Location(tmp_path / "nowhere"), "unreadable file"),
    ]:
        with pytest.raises(Unusable, match=reason):
            location.read()
    monkeypatch.setattr(sources, "MAX_BYTES", 6)
    with pytest.raises(Unusable, match="too many bytes"):
        Location(file).read()


@pytest.mark.parametrize("name", ["/a", "..", "../a", "a/../b", "a/..", "", ".", "a\0b"])
def test_names_that_may_lead_out_are_not_inside(name: str) -> None:
    assert not is_inside(name)


@pytest.mark.parametrize("name", ["a", "a/b.jpg", "..a", "a..b/c", "...", "-"])
def test_other_names_are_inside(name: str) -> None:
    assert is_inside(name)
