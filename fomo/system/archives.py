"""The one way to write ZIP archives, and to read those of others: looked through as a whole before a byte is unpacked.

Archives are plain: no encryption, no comment, nothing before or behind, at most 4 GiB. What is written depends on names
and contents alone.
"""

import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from fomo.errors import FomoError
from fomo.system.reading import check_file
from fomo.system.writing import file_beside

MAX_BYTES = 2**32 - 2
MAX_DIRECTORY = 2**20
"""Bytes of the list of members."""
END = struct.Struct("<4s4H2LH")
"""The end of an archive: signature, numbers of disks, of members on this one and in all, size and place of their list,
length of the comment (APPNOTE.TXT 6.3.10, 4.3.16)."""
MAX_INFLATED = 2**26
"""Bytes that all compressed members may have together when unpacked; what is stored is in the file as it is."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
BLOCK = 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError, RuntimeError)
"""What the standard library raises where bytes are not what they should be."""
Largest = Callable[[str], int | None]
"""The most bytes that a member of this name may have; ``None``: it has no place."""


def write_archive(path: Path, members: Mapping[str, bytes | Path]) -> None:
    """Write an archive of contents and files by name, as a whole; equal ones give equal bytes with one zlib."""
    with file_beside(path) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        for name, content in members.items():
            about = zipfile.ZipInfo(name, EARLIEST)
            about.create_system = 3
            about.external_attr = (stat.S_IFREG | 0o644) << 16
            about.compress_type = zipfile.ZIP_DEFLATED if isinstance(content, bytes) else zipfile.ZIP_STORED
            with archive.open(about, "w") as target:
                for block in (content,) if isinstance(content, bytes) else _blocks(content):
                    target.write(block)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def unpack(path: Path, into: Path, largest: Largest, max_members: int) -> list[str]:
    """Unpack an archive into an empty folder; the names of its members.

    Args:
        path: The archive.
        into: The folder.
        largest: Says of each name how many bytes it may have.
        max_members: More are refused.

    Raises:
        FomoError: it is no archive, is damaged, or has a member that has no place, stands twice, is no file, is too
            large or leads out of the folder. Nothing is unpacked then, unless the damage is in a member's content.
    """
    _check_end(path, max_members)
    with _explained(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            fault = _fault(member, largest)
            if fault:
                raise FomoError(f"{path}: member {member.orig_filename[:200]!a} {fault}.")
        inflated = sum(member.file_size for member in members if member.compress_type != zipfile.ZIP_STORED)
        if inflated > MAX_INFLATED:
            raise FomoError(f"{path}: {inflated:,} bytes when unpacked, allowed are {MAX_INFLATED:,}: a bomb?")
        twice = [name for name, times in Counter(member.filename for member in members).items() if times > 1]
        if twice:
            raise FomoError(f"{path}: member {twice[0]!a} stands twice.")
        if sum(member.compress_size for member in members) > path.stat().st_size:
            raise FomoError(f"{path}: its members lie over one another.")
        for member in members:
            _unpack(archive, member, into / member.filename)
    return [member.filename for member in members]


def _check_end(path: Path, max_members: int) -> None:
    """Refuse what is no plain archive, and a list of members that would take long to read, by its last bytes."""
    size = check_file(path, MAX_BYTES)
    if size < END.size:
        raise FomoError(f"{path}: not an archive (ZIP), or cut off: {size} bytes.")
    with path.open("rb") as file:
        file.seek(size - END.size)
        signature, *disks, here, num, length, place, comment = END.unpack(file.read())
    if signature != b"PK\5\6" or comment or any(disks) or here != num:
        raise FomoError(f"{path}: not a plain archive (ZIP), or cut off: its end is missing.")
    if num > max_members or length > MAX_DIRECTORY:
        raise FomoError(f"{path}: {num:,} members, listed in {length:,} bytes: allowed are {max_members:,}.")
    if place + length + END.size != size:
        raise FomoError(f"{path}: not a plain archive (ZIP): something lies before it, behind it, or is cut out.")


def _fault(member: zipfile.ZipInfo, largest: Largest) -> str:
    """What is wrong with a member, to follow its name; empty where nothing is."""
    name = member.orig_filename
    mode = member.external_attr >> 16
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
        return "leads out of the archive"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is a link" if stat.S_ISLNK(mode) else "is no file"
    allowed = largest(name)
    if allowed is None or name != member.filename:
        return "has no place here"
    if member.file_size > allowed:
        return f"has {member.file_size:,} bytes, allowed are {allowed:,}"
    if member.flag_bits & ENCRYPTED or member.compress_type not in METHODS:
        return "is encrypted, or packed by another method than deflate"
    return ""


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Write a member's content, of which the archive says the size: no more than that is unpacked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, path.open("xb") as target:
        while block := source.read(BLOCK):
            target.write(block)
        if target.tell() != member.file_size:
            raise zipfile.BadZipFile(f"{member.filename} is cut off")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what is wrong with an archive in a line."""
    try:
        yield
    except DAMAGE as error:
        raise FomoError(f"{path}: a damaged archive ({' '.join(str(error).split())[:200]}).") from None
