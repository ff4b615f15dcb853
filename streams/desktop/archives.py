"""Archives of packages, read member by member into memory: nothing is unpacked, nothing in them runs."""

import io
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from fomo.data.sources import TarHeader, is_inside
from fomo.errors import FomoError

MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 192 * 2**20
MAX_TOTAL_BYTES = 3 * 2**30
"""Of all members together, read or not: a small archive may unpack to more than any disk holds."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How a member of a zip may be packed. ``zipfile`` reads others without a limit."""
AR = b"!<arch>\n"
DATA_PARTS = ("data.tar", "data.tar.gz", "data.tar.xz", "data.tar.bz2")
"""What the files of a Debian package may be in. Ubuntu's are in zstd: other files, of which none is pinned."""


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted files of a tar (also compressed), zip, wheel or Debian package, in its order.

    Every member is checked, wanted or not. Links are refused; in a Debian package, where they are ordinary, they are
    passed over: nothing follows them.

    Raises:
        FomoError: a member that leads out of the archive, is a link or a device, or is too large; too many of them; an
            archive that cannot be read.
    """
    with _one_error(str(path)), path.open("rb") as file:
        if file.read(len(AR)) == AR:
            yield from _tar(_data_of_deb(file), wanted, _Limits(str(path), links=True))
        elif zipfile.is_zipfile(file):
            yield from _zip(file, wanted, _Limits(str(path)))
        else:
            file.seek(0)
            yield from _tar(file, wanted, _Limits(str(path)))


def members_within(data: bytes, where: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """What :func:`members` returns, of a zip that is itself a member; ``where`` names it in errors.

    Raises:
        FomoError: as :func:`members`.
    """
    with _one_error(where):
        yield from _zip(io.BytesIO(data), wanted, _Limits(where))


@contextmanager
def _one_error(where: str) -> Iterator[None]:
    """Whatever an archive's reader raises becomes one error."""
    try:
        yield
    except (OSError, EOFError, zlib.error, RuntimeError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise FomoError(f"'{where}' cannot be read ({error}): remove it and run the same command again.") from None


class _Header(TarHeader):
    """A header of a tar; ``tarfile`` takes one that is cut off or damaged for the end, and what follows is lost."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """Read it."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the end that is marked as such
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"cut off or damaged: {error}") from None


class _Part:
    """The next ``size`` bytes of a file, as all that there is."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def _data_of_deb(file: IO[bytes]) -> _Part:
    """The tar of files in a Debian package, an ar: 60 bytes of header before each part, parts at even places.

    Raises:
        ValueError: there is none, or it is compressed by something that ``tarfile`` does not read.
    """
    while len(header := file.read(60)) == 60:
        name, size = header[:16].decode("ascii", "replace").strip(), int(header[48:58])
        if name in DATA_PARTS:
            return _Part(file, size)
        if name.startswith("data.tar") or size < 0:
            raise ValueError(f"its part '{name}' is none of {', '.join(DATA_PARTS)}")
        file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("no part with files in it")


def _tar(file: IO[bytes] | _Part, wanted: Callable[[str], bool], limits: "_Limits") -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=cast(IO[bytes], file), mode="r|*", tarinfo=_Header) as tar:
        for info in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
            if info.isdir():
                continue
            name = info.name.removeprefix("./")
            limits.check(name, info.size, info.isreg(), info.issym() or info.islnk())
            content = tar.extractfile(info) if info.isreg() and wanted(name) else None
            if content is not None:
                yield name, content.read()


def _zip(file: IO[bytes], wanted: Callable[[str], bool], limits: "_Limits") -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            limits.check(info.filename, info.file_size, True)
            if info.compress_type not in METHODS:
                limits.refuse(info.filename, "is packed by another method than deflate")
            if wanted(info.filename):
                yield info.filename, _unpacked(archive, info)


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member's content, of as many bytes as are declared: ``ZipFile.read`` unpacks all that there is, and then cuts.

    Raises:
        BadZipFile: there are fewer.
    """
    with archive.open(info) as file:
        content = file.read(info.file_size)
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(f"'{info.filename}' is cut off")
    return content


def parsed(data: bytes, where: str) -> Any:
    """The value of a JSON member, of whatever size; ``where`` names it in errors.

    Raises:
        FomoError: it is no JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FomoError(f"{where}: not JSON ({error}).") from None


def unzipped(data: bytes, where: str) -> bytes:
    """The content of a gzip, of at most :data:`MAX_MEMBER_BYTES`.

    Raises:
        FomoError: it is none, is cut off, or is larger.
    """
    reader = zlib.decompressobj(31)
    try:
        content = reader.decompress(data, MAX_MEMBER_BYTES)
    except zlib.error as error:
        raise FomoError(f"{where}: not gzip ({error}).") from None
    if not reader.eof:
        raise FomoError(f"{where}: cut off, or of more than {MAX_MEMBER_BYTES} bytes.")
    return content


class _Limits:
    """Counts the members of an archive and refuses what no package has."""

    def __init__(self, where: str, links: bool = False) -> None:
        self._where = where
        self._links = links
        self._number = 0
        self._total = 0

    def check(self, name: str, size: int, is_file: bool, is_link: bool = False) -> None:
        """Refuse a member, or the archive that has too many."""
        self._number += 1
        self._total += size
        if not is_inside(name):
            self.refuse(name, "leads out of the archive")
        if not (is_file or (is_link and self._links)):
            self.refuse(name, "is a link or a device")
        if not 0 <= size <= MAX_MEMBER_BYTES:
            self.refuse(name, f"has {size} bytes, allowed are {MAX_MEMBER_BYTES}")
        if self._number > MAX_MEMBERS or self._total > MAX_TOTAL_BYTES:
            self.refuse(name, f"is one too many: allowed are {MAX_MEMBERS} members of {MAX_TOTAL_BYTES} bytes in all")

    def refuse(self, name: str, why: str) -> None:
        """Refuse the archive for this member."""
        raise FomoError(f"'{self._where}' is refused: its member '{name}' {why}.")
