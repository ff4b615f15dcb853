"""Fabricated tars, good and bad."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A header."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def tar(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    """Write members (name or header, content) in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as file:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else member(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path
