"""The original files of a dataset: fetched, checked, unpacked, each step safe to interrupt.

A file under its final name is whole: a download has the suffix ``.part`` until its checksum fits. While an archive is
unpacked a marker stands beside it; where the marker is found again, unpacking starts over.
"""

import gzip
import http.client
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from rich.console import Console

from fomo.data.sources import is_inside
from fomo.errors import FomoError
from streams.prepare.checksum import require_whole
from streams.prepare.download import fetch


@dataclass(frozen=True)
class Archive:
    """A file of the original distribution.

    Attributes:
        urls: mirrors, tried in order.
        md5: torchvision's checksum; ``None`` where it has none, and the archive is read to its end.
        content: what is there once the file is unpacked, below the source folder.
        folder: where file and content lie, below the source folder.
        filename: name of the file, where the URL does not say it.
        unpack: whether the file is an archive.
        inner: an archive inside of the archive.
        unpacked_as: the name of ``content`` inside of the archive, where it is another.
    """

    urls: tuple[str, ...]
    md5: str | None
    content: str
    folder: str = "."
    filename: str = ""
    unpack: bool = True
    inner: str = ""
    unpacked_as: str = ""

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.filename or self.urls[0].rsplit("/", 1)[-1]

    def path(self, root: Path) -> Path:
        """Where the file lies, ``root`` being the source folder."""
        return root / self.folder / self.file

    def is_there(self, root: Path) -> bool:
        """Whether the content is there below the source folder ``root``, whole as far as can be told."""
        return (root / self.content).exists() and not self.marker(root).exists()

    def marker(self, root: Path) -> Path:
        """The path of a file that exists while the archive is being unpacked."""
        return self.path(root).with_name(f".{self.file}.unpacking")

    def shown(self, root: Path) -> str:
        """A line for people: which file to put where."""
        checked = f"md5 {self.md5}" if self.md5 else "no published checksum"
        return f"  {self.path(root)} ({checked}) from {self.urls[0]}"


def obtain(archives: Sequence[Archive], root: Path) -> None:
    """Make every content be there below ``root``; files that already lie there are used.

    Raises:
        FomoError: a file cannot be downloaded, has another checksum or does not unpack; it names all missing files.
    """
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        for archive in archives:
            if archive.is_there(root) and archive.unpack:
                continue
            path = archive.path(root)
            if path.exists():
                require_whole(path, archive.md5)
            else:
                _download(archive, archives, root)
            if archive.unpack:
                _unpack(archive, root)


def _download(archive: Archive, archives: Sequence[Archive], root: Path) -> None:
    path = archive.path(root)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    for url in archive.urls:
        try:
            fetch(url, part, archive.md5)
        except (OSError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {error}")
        except (RuntimeError, FomoError) as error:
            part.unlink(missing_ok=True)
            reasons.append(f"{url}: {error}")
        else:
            part.rename(path)
            return
    missing = [each for each in archives if not each.is_there(root) and not each.path(root).exists()]
    files = "\n".join(each.shown(root) for each in missing)
    raise FomoError(
        f"cannot download {archive.file} ({'; '.join(reasons)}). Without a network, fetch on another machine and put "
        f"in place, then run the same command again:\n{files}"
    )


def _unpack(archive: Archive, root: Path) -> None:
    path = archive.path(root)
    content = root / archive.content
    marker = archive.marker(root)
    marker.touch()
    if content.is_dir() and archive.unpacked_as:  # cut short after the renaming
        shutil.rmtree(content)
    try:
        with Console(stderr=True).status(f"unpacking {path.name}"):
            extract(path, path.parent)
            if archive.inner:
                extract(path.parent / archive.inner, path.parent)
    except (OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise FomoError(f"'{path}' cannot be unpacked ({error}): remove it and run the same command again.") from error
    if archive.unpacked_as:
        (root / archive.unpacked_as).rename(content)
    if not content.exists():
        raise FomoError(f"'{path}' holds no '{archive.content}': it is not the file that torchvision knows.")
    marker.unlink()


def extract(path: Path, folder: Path) -> None:
    """Unpack a zip, a tar or one compressed file. Nothing gets outside of ``folder``, whatever torchvision's age."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)  # it drops ``..`` and leading slashes, and makes no links
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(folder, members=_plain(tar), **safely)  # type: ignore[arg-type]
    else:
        with gzip.open(path) as packed, (folder / path.stem).open("wb") as plain:
            shutil.copyfileobj(packed, plain)


def _plain(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files and folders of an archive. No original has anything else in it."""
    for member in tar:
        if not (member.isreg() or member.isdir()) or not is_inside(member.name):
            raise ValueError(f"member '{member.name}' is a link, a device or leads out of the folder")
        yield member
