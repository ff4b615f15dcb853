"""Small packages, built by the tests: archives with a few pictures, pinned by their own hashes."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fomo.system.digest import file_digest
from streams.desktop import prepare as preparing
from streams.desktop.declared import DesktopSet, Package, load_sets

DESIGNERS = tuple(f"{name}-set" for name in ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak"))
MORE = tuple(f"designer{number}" for number in range(12))
SHAPES = {
    "cat": '<path d="M{0} 2L20 {1}L4 {2}z"/>',
    "dog": '<circle cx="{0}" cy="{1}" r="{2}"/>',
    "sun": '<rect x="{0}" y="{1}" width="{2}" height="6"/>',
    "moon": '<path stroke="#000" d="M{0} {1}H22V{2}"/>',
}


def tgz(path: Path, files: Mapping[str, bytes]) -> Path:
    """An archive as ``npm pack`` makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def tar(files: Mapping[str, bytes], links: Mapping[str, str], compression: str = "xz") -> bytes:
    """A tar of files and symbolic links, named as in Debian's packages."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(f"./{name}")
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def ar(path: Path, parts: Mapping[str, bytes]) -> Path:
    """An ar of these parts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"!<arch>\n"
    for name, part in parts.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part + b"\n" * (len(part) % 2)
    path.write_bytes(data)
    return path


def deb(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """A package of Debian."""
    control = tar({"control": b"Package: any"}, {})
    return ar(path, {"debian-binary": b"2.0\n", "control.tar.xz": control, "data.tar.xz": tar(files, links or {})})


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip, or what is one under another name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def drawing(shape: str, number: int) -> str:
    """The picture of a designer: the same shape, elsewhere and of another size."""
    return SHAPES[shape].format(2 + number, 3 + (7 * number) % 11, 3 + (5 * number) % 8)


def iconify(path: Path, change: Mapping[str, Mapping[str, str]] | None = None) -> Path:
    """A package of icon sets, a designer each; ``change`` replaces icons: bodies by set and name."""
    files: dict[str, bytes] = {}
    about: dict[str, Any] = {}
    for number, name in enumerate((*DESIGNERS, *MORE, "closed")):
        about[name] = {
            "name": name.title(),
            "author": {"name": f"Author {name}"},
            "license": {"spdx": "GPL-3.0" if name == "closed" else "MIT"},
            "category": "Material",
        }
        icons = {f"{shape}-outline": {"body": drawing(shape, number)} for shape in SHAPES}
        icons |= {f"thing-{name.replace('designer', 'x' * number)}": {"body": drawing("dog", number + 12)}}
        icons |= {key: {"body": body} for key, body in (change or {}).get(name, {}).items()}
        files[f"package/json/{name}.json"] = json.dumps(
            {"prefix": name, "icons": icons, "width": 24, "height": 24}
        ).encode()
    files["package/collections.json"] = json.dumps(about).encode()
    return tgz(path, dict(sorted(files.items())))


def package(path: Path, key: str = "iconify") -> Package:
    """The declaration of an archive that lies at ``path``."""
    return Package(key, "npm", "@icons/all", "1.0.0", path.name, file_digest(path), path.stat().st_size, "MIT")


def icon_set(name: str, role: str, classes: Mapping[str, tuple[str, ...]], **more: Any) -> DesktopSet:
    """The declaration of a dataset of icons."""
    templates = ("an icon of {}.",)
    values = {"limit_per_set": 2, "by_designer": True, **more}
    return DesktopSet(name, role, "icons", ("iconify",), "icons", templates, classes=classes, **values)


SETS = (
    icon_set("desktop_sky", "retention", {"sun": ("sun",), "moon": ("moon",)}),
    icon_set("desktop_pets", "adaptation", {"cat": ("cat",), "dog": ("dog",)}),
    DesktopSet("desktop_pool", "pool", "pool", ("iconify",), "icons", ("an icon of {}.",), "pairs", limit=10),
)


def declare(
    monkeypatch: pytest.MonkeyPatch, packages: Mapping[str, Package], sets: tuple[DesktopSet, ...] = SETS
) -> None:
    """Let the command prepare these datasets of these packages, of which nothing was published."""
    monkeypatch.setattr(preparing, "load_packages", lambda: dict(packages))
    for module in ("streams.desktop.prepare", "streams.desktop.declared"):
        monkeypatch.setattr(f"{module}.load_sets", lambda: {one.name: one for one in sets})
    for module in ("streams.desktop.prepare", "streams.desktop.manifest"):
        monkeypatch.setattr(f"{module}.load_manifest", dict)


def declare_stream(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command prepare datasets of the stream's names and roles, in ``folder / "data"``, of small packages."""
    like = {"retention": SETS[0], "adaptation": SETS[1], "pool": SETS[2]}
    sets = tuple(
        replace(like[one.role], name=name, ask=one.ask, debian=one.debian) for name, one in load_sets().items()
    )
    path = iconify(folder / "data" / ".sources" / "desktop" / "icons.tgz")
    declare(monkeypatch, {"iconify": package(path)}, sets)
