"""Archives are read member by member, and refused as a whole for one bad member."""

import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fomo.errors import FomoError
from streams.desktop import archives
from streams.desktop.archives import members, members_within, unzipped
from tests.streams.desktop.made import ar, deb, tar, tgz, zipped

FILES = {"package/a.json": b"1", "package/b.txt": b"22"}


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(zipped(files))
    return path


@pytest.mark.parametrize("make", [tgz, wheel, deb])
def test_wanted_members_come_with_their_content(make: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "a", FILES)
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


@pytest.mark.parametrize("compression", ["", "gz", "xz", "bz2"])
def test_the_files_of_a_debian_package_may_be_compressed_in_any_way_that_python_reads(
    compression: str, tmp_path: Path
) -> None:
    name = f"data.tar.{compression}".rstrip(".")
    path = ar(tmp_path / "a.deb", {"debian-binary": b"2.0\n", "odd": b"1", name: tar(FILES, {}, compression)})
    assert dict(members(path, lambda name: True)) == FILES


@pytest.mark.parametrize("target", ["b.txt", "/etc/passwd", "../../outside"])
def test_a_link_in_a_debian_package_is_passed_over_and_never_followed(target: str, tmp_path: Path) -> None:
    path = deb(tmp_path / "a.deb", FILES, {"package/link": target})
    assert dict(members(path, lambda name: True)) == FILES


def test_a_debian_package_whose_members_lead_out_or_are_devices_is_refused(tmp_path: Path) -> None:
    for name in ("../outside", "package/../../outside"):
        with pytest.raises(FomoError, match="leads out of the archive"):
            list(members(deb(tmp_path / "a.deb", {**FILES, name: b"x"}), FILES.__contains__))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        device = tarfile.TarInfo("./package/device")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
    with pytest.raises(FomoError, match="is a link or a device"):
        list(members(ar(tmp_path / "a.deb", {"data.tar": buffer.getvalue()}), lambda name: True))


def test_a_bomb_in_a_debian_package_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = deb(tmp_path / "a.deb", {"a": bytes(2**20)})
    assert path.stat().st_size < 2000
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**20 - 1)
    with pytest.raises(FomoError, match="'a' has 1048576 bytes, allowed are 1048575"):
        list(members(path, lambda name: False))
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**30)
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 2**20)
    list(members(path, lambda name: False))
    with pytest.raises(FomoError, match="one too many"):
        list(members(deb(tmp_path / "b.deb", {"a": bytes(2**20), "b": b"1"}), lambda name: False))


@pytest.mark.parametrize("make", [lambda path, data: ar(path, {"data.tar": data}), lambda path, data: path])
def test_a_tar_whose_long_name_has_no_end_is_refused(make: Callable[[Path, bytes], Path], tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**30
    data = header.tobuf() + bytes(1024)
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(FomoError, match="header of too many bytes"):
        list(members(make(tmp_path / "a", data), lambda name: True))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"data.tar.zst": b"x"}, r"'data\.tar\.zst' is none of data\.tar"),
        ({"debian-binary": b"2.0\n"}, "no part with files in it"),
        ({"data.tar.xz": b"no xz" * 200}, "cannot be read"),
    ],
)
def test_a_debian_package_that_cannot_be_read_is_one_error(parts: dict[str, bytes], text: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=text):
        list(members(ar(tmp_path / "a.deb", parts), lambda name: True))


@pytest.mark.parametrize("length", [8, 30, 300])
def test_a_debian_package_that_is_cut_off_is_one_error(length: int, tmp_path: Path) -> None:
    path = deb(tmp_path / "a.deb", {"a": bytes(range(256)) * 999})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FomoError, match="cannot be read"):
        list(members(path, lambda name: True))


@pytest.mark.parametrize("compression", ["", "gz", "xz"])
@pytest.mark.parametrize("what", ["no end", "within a header", "another header", "within a file"])
def test_of_a_tar_that_is_cut_off_or_damaged_between_its_members_nothing_is_lost_without_a_word(
    what: str, compression: str, tmp_path: Path
) -> None:
    whole = tar({"a": b"1" * 512, "b": b"2" * 512}, {}, "")
    broken = {
        "no end": whole[:2048],
        "within a header": whole[:1300],
        "another header": whole[:1024] + b"x" * 512 + whole[1536:],
        "within a file": whole[:1800],
    }[what]
    packed = {"": broken, "gz": gzip.compress(broken), "xz": lzma.compress(broken)}[compression]
    for path in (ar(tmp_path / "a.deb", {f"data.tar.{compression}".rstrip("."): packed}), tmp_path / "a.tgz"):
        path.write_bytes(path.read_bytes() if path.suffix == ".deb" else packed)
        with pytest.raises(FomoError, match="cannot be read"):
            list(members(path, lambda name: False))


def test_of_a_debian_package_that_is_cut_off_anywhere_all_comes_or_an_error(tmp_path: Path) -> None:
    files = {"a": bytes(range(256)) * 99, "b": bytes(range(256)) * 98}
    path = deb(tmp_path / "a.deb", files)
    data = path.read_bytes()
    refused = 0
    for length in range(200, len(data), 37):
        path.write_bytes(data[:length])
        try:
            assert dict(members(path, lambda name: True)) == files, "what is missing is of no file"
        except FomoError as error:
            refused += "cannot be read" in str(error)
    assert refused > 5


def test_an_archive_within_an_archive_is_checked_as_well() -> None:
    assert dict(members_within(zipped(FILES), "any", lambda name: True)) == FILES
    with pytest.raises(FomoError, match=r"'any' is refused: its member '\.\./outside' leads out"):
        list(members_within(zipped({"../outside": b"x"}), "any", lambda name: False))
    with pytest.raises(FomoError, match="'any' cannot be read"):
        list(members_within(b"no zip", "any", lambda name: False))


def lying(data: bytes, size: int) -> bytes:
    """A zip of one member that is declared to be of another size than it is."""
    for mark, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        start = data.index(mark) + place
        data = data[:start] + size.to_bytes(4, "little") + data[start + 4 :]
    return data


@pytest.mark.parametrize("size", [10, 2**26 + 10])
def test_of_a_zip_no_more_is_unpacked_than_is_declared(size: int) -> None:
    bomb = lying(zipped({"a": bytes(2**26)}, zipfile.ZIP_DEFLATED), size)
    tracemalloc.start()
    with pytest.raises(FomoError, match="'any' cannot be read"):
        list(members_within(bomb, "any", lambda name: True))
    assert tracemalloc.get_traced_memory()[1] < 2 * size + 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_python_unpacks_without_a_limit_is_refused(method: int) -> None:
    with pytest.raises(FomoError, match="'any' is refused: its member 'a' is packed by another method than deflate"):
        list(members_within(zipped({"a": bytes(999)}, method), "any", lambda name: False))


def test_gzip_is_unpacked_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(bytes(1000))
    assert unzipped(packed, "any") == bytes(1000)
    for data, text in ((b"no gzip", "any: not gzip"), (packed[:-9], "any: cut off")):
        with pytest.raises(FomoError, match=text):
            unzipped(data, "any")
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 999)
    with pytest.raises(FomoError, match="of more than 999 bytes"):
        unzipped(packed, "any")
