"""Archives are read member by member, and refused as a whole for one bad member."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from fomo.errors import FomoError
from streams.desktop import archives
from streams.desktop.archives import members
from tests.streams.desktop.made import tgz

FILES = {"package/a.json": b"1", "package/b.txt": b"22"}


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("make", [lambda folder: tgz(folder / "a.tgz", FILES), lambda folder: zipped(folder / "a.whl")])
def test_wanted_members_come_with_their_content(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = make(tmp_path)
    assert dict(members(path, lambda name: True)) == FILES
    assert list(members(path, lambda name: name.endswith(".json"))) == [("package/a.json", b"1")]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "package/../../outside"])
def test_a_member_that_leads_out_is_refused_even_if_nobody_wants_it(name: str, tmp_path: Path) -> None:
    path = tgz(tmp_path / "a.tgz", {**FILES, name: b"x"})
    with pytest.raises(FomoError, match="leads out of the archive"):
        list(members(path, FILES.__contains__))
    assert [each.name for each in tmp_path.iterdir()] == ["a.tgz"]


def test_a_zip_is_refused_likewise(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("../outside", b"x")
    with pytest.raises(FomoError, match="leads out of the archive"):
        list(members(tmp_path / "a.whl", FILES.__contains__))


def test_a_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("package/link")
        info.type = tarfile.SYMTYPE
        info.linkname = "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(FomoError, match="is a link or a device"):
        list(members(tmp_path / "a.tgz", lambda name: True))


def test_large_and_many_members_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tgz(tmp_path / "a.tgz", FILES)
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1)
    with pytest.raises(FomoError, match=r"'package/b\.txt' has 2 bytes, allowed are 1"):
        list(members(path, lambda name: False))
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(FomoError, match="one too many"):
        list(members(path, lambda name: False))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 2)
    with pytest.raises(FomoError, match="one too many"):
        list(members(path, lambda name: False))


@pytest.mark.parametrize("data", [b"", b"no archive", tgz.__doc__.encode() * 50])  # type: ignore[union-attr]
def test_what_is_no_archive_is_one_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(data)
    with pytest.raises(FomoError, match="cannot be read"):
        list(members(tmp_path / "a.tgz", lambda name: True))


def test_an_archive_that_is_cut_off_is_one_error(tmp_path: Path) -> None:
    path = tgz(tmp_path / "a.tgz", {"package/a": io.BytesIO(bytes(range(256)) * 999).getvalue()})
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FomoError, match="cannot be read"):
        list(members(path, lambda name: True))
