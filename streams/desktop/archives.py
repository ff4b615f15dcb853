"""Archives of packages, read member by member into memory: nothing is unpacked, nothing in them runs."""

import json
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fomo.data.sources import is_inside
from fomo.errors import FomoError

MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 192 * 2**20
MAX_TOTAL_BYTES = 3 * 2**30
"""Of all members together, read or not: a small archive may unpack to more than any disk holds."""


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted files of a tar (also compressed), zip or wheel, in its order.

    Every member is checked, wanted or not.

    Raises:
        FomoError: a member that leads out of the archive, is a link or a device, or is too large; too many of them; an
            archive that cannot be read.
    """
    try:
        yield from _zip(path, wanted) if zipfile.is_zipfile(path) else _tar(path, wanted)
    except (OSError, EOFError, zlib.error, RuntimeError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise FomoError(f"'{path}' cannot be read ({error}): remove it and run the same command again.") from None


def _tar(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    limits = _Limits(path)
    with tarfile.open(path, "r|*") as tar:
        for info in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
            if info.isdir():
                continue
            limits.check(info.name, info.size, info.isreg())
            file = tar.extractfile(info) if wanted(info.name) else None
            if file is not None:
                yield info.name, file.read()


def _zip(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    limits = _Limits(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            limits.check(info.filename, info.file_size, True)
            if wanted(info.filename):
                yield info.filename, archive.read(info)


def parsed(data: bytes, where: str) -> Any:
    """The value of a JSON member, of whatever size; ``where`` names it in errors.

    Raises:
        FomoError: it is no JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FomoError(f"{where}: not JSON ({error}).") from None


class _Limits:
    """Counts the members of an archive and refuses what no package has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._total = 0

    def check(self, name: str, size: int, is_file: bool) -> None:
        """Refuse a member, or the archive that has too many."""
        self._number += 1
        self._total += size
        if not is_inside(name):
            self._refuse(name, "leads out of the archive")
        if not is_file:
            self._refuse(name, "is a link or a device")
        if not 0 <= size <= MAX_MEMBER_BYTES:
            self._refuse(name, f"has {size} bytes, allowed are {MAX_MEMBER_BYTES}")
        if self._number > MAX_MEMBERS or self._total > MAX_TOTAL_BYTES:
            self._refuse(name, f"is one too many: allowed are {MAX_MEMBERS} members of {MAX_TOTAL_BYTES} bytes in all")

    def _refuse(self, name: str, why: str) -> None:
        raise FomoError(f"'{self._path}' is refused: its member '{name}' {why}.")
