"""Reading what others wrote: files and tar members, each of them safe to skip, none of them outside of its root."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

MAX_BYTES = 2**30
BLOCK = 512
MAX_HEADER_BYTES = 2**20
MAX_TEXT_BYTES = 2**22
LEFT_BY_TOOL = "left by a tool"
_TOOL_NAMES = """
    __macosx, __pycache__, @eadir, @recycle, @recently-snapshot, @tmp, @__thumb, @synoresource, @synoeastream, #recycle,
    #snapshot, $recycle.bin, lost+found, found.000, node_modules, _vti_cnf, thumbs.db, ehthumbs.db, desktop.ini,
    system volume information, network trash folder, temporary items, recycler, thumbs, _thumbs, thumbnails,
    wandb, mlruns, lightning_logs, site-packages, _gsdata_
"""
TOOL_NAMES = frozenset(name.strip() for name in _TOOL_NAMES.split(","))
"""Folders and files that file systems, network drives and programs make for themselves, case-folded."""
TOOL_ENDS = (".lrdata", ".photoslibrary")


class LeftOut(NamedTuple):
    """What is not brought in, and in a few words why: reasons are counted."""

    path: str
    reason: str


class Unusable(Exception):
    """A sample that cannot be used; the text is the reason."""


@dataclass(frozen=True)
class Location:
    """A file, or the part of one that starts at ``offset`` and is ``size`` bytes long."""

    path: Path
    offset: int = 0
    size: int | None = None

    def read(self, max_bytes: int | None = None) -> bytes:
        """The bytes.

        Raises:
            Unusable: there is nothing, too much, or it cannot be read.
        """
        try:
            size = self.path.stat().st_size if self.size is None else self.size
            if size > (MAX_BYTES if max_bytes is None else max_bytes):
                raise Unusable("too many bytes")
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(size)
        except OSError:
            raise Unusable("unreadable file") from None
        if not data:
            raise Unusable("empty file")
        return data


class TarHeader(tarfile.TarInfo):
    """A header; tarfile reads those of long names and of extended attributes whole, however long they say they are."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extended = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
        if self.type in (*extended, tarfile.SOLARIS_XHDTYPE) and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError("header of too many bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


class TarMember(NamedTuple):
    """A regular file in a tar, with its name without leading ``./``."""

    name: str
    location: Location


def is_inside(name: str) -> bool:
    """Whether a relative path stays below the folder that it starts from."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def is_left_by_tool(path: PurePosixPath) -> bool:
    """Whether a relative path is, or lies in, what a program left for itself: hidden, a trash, a cache of previews."""
    return any(
        part.startswith((".", "~$")) or part.casefold() in TOOL_NAMES or part.casefold().endswith(TOOL_ENDS)
        for part in path.parts
        if part not in (".", "..")
    )


def tar_members(path: Path) -> Iterator[TarMember | LeftOut]:
    """The regular files of an uncompressed tar in order; links, devices and names that lead out of it are left out.

    A tar that ends before its time gives what is whole, and then a :class:`LeftOut` of its own.
    """
    if not path.is_file():
        yield LeftOut(path.name, "not a file")
        return
    length = path.stat().st_size
    end = 0
    try:
        with tarfile.open(path, "r:", tarinfo=TarHeader) as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                if info.size < 0:  # older versions of tarfile would go back, and round for ever
                    raise tarfile.ReadError
                if not info.isdir():
                    yield _checked(path, info, length)
            end = tar.offset
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        pass
    with path.open("rb") as file:
        file.seek(end)
        if file.read(BLOCK) != bytes(BLOCK):
            yield LeftOut(path.name, "tar that is compressed, damaged or cut off: the rest of it")


def _checked(path: Path, info: tarfile.TarInfo, length: int) -> TarMember | LeftOut:
    label = f"{path.name}/{info.name}"
    if info.issym() or info.islnk():
        return LeftOut(label, "link in a tar")
    if not info.isreg() or info.issparse():
        return LeftOut(label, "neither file nor folder in a tar")
    if not is_inside(info.name):
        return LeftOut(label, "path out of the root")
    if info.offset_data + info.size > length:
        return LeftOut(label, "truncated tar member")
    return TarMember(PurePosixPath(info.name).as_posix(), Location(path, info.offset_data, info.size))
