"""``fomo data import folder``: a tree of class folders becomes shards.

A folder that directly holds pictures is a class, named by its path below the root (``animals/big_cats`` is
"animals big cats"). A picture's captions are the lines of the ``.txt`` beside it, else its class and the words of its
file name. Train, validation and test are told apart by the hash of the decoded pixels, so that a picture stays where
it is when others come or go, and equal pictures, however encoded, can never stand on two sides.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from fomo.data.card import SPLITS, DatasetCard
from fomo.data.importing.job import (
    CHUNK,
    NO_PICTURE,
    NOTES,
    Plan,
    Raw,
    Source,
    Tick,
    check_size,
    fingerprint,
    resumed,
    shown,
)
from fomo.data.pictures import EXTENSIONS, read_picture
from fomo.data.sources import MAX_TEXT_BYTES, LeftOut, Location, Unusable
from fomo.errors import FomoError
from fomo.system.workers import Run, batched

TEMPLATES = ("a picture of {}", "{}")
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1


@dataclass(frozen=True)
class FolderEntry:
    """A picture in a class folder."""

    root: Path
    file: Path
    class_name: str
    digest: str

    @property
    def path(self) -> str:
        """Its path below the root."""
        return self.file.relative_to(self.root).as_posix()

    def read(self) -> Raw:
        """The file and its captions."""
        captions = captions_of(self.file, self.root, self.class_name)
        return Raw(Location(self.file).read(), self.class_name, captions, digest=self.digest)


def folder_source(root: Path, name: str, size: int | None = None) -> Source:
    """The class folders below ``root``; pictures are shrunk to the shorter side ``size``."""
    if not root.is_dir():
        raise FomoError(f"'{root}' is not a folder: give the folder that holds the class folders.")
    check_size(size)
    folders, left_out = find(root)
    names = class_names(root, folders)
    paths = [path for folder in folders.values() for path in folder]
    if not paths:
        counts = Counter(item.reason for item in left_out)
        raise FomoError(f"no picture in '{root}': {shown(counts)}. Allowed: {', '.join(EXTENSIONS)}.")
    DatasetCard(name, tuple(names.values()), TEMPLATES, {})
    texts = [text for path in paths if (text := path.with_suffix(".txt")).is_file()]

    def plan(run: Run, folder: Path, tick: Tick) -> Plan:
        results = resumed(examine, batched(paths, CHUNK), run, folder / NOTES / "examined", tick)
        return _planned(root, name, names, paths, list(chain.from_iterable(results)), left_out)

    mark = fingerprint("folder", name, size, files=[*paths, *texts])
    return Source(name, mark, plan, total=2 * len(paths), size=size)


def _planned(
    root: Path, name: str, names: dict[Path, str], paths: list[Path], results: list[list[str]], left_out: list[LeftOut]
) -> Plan:
    splits: dict[str, list[FolderEntry | LeftOut]] = {split: [] for split in SPLITS}
    seen: set[str] = set()
    for path, (digest, reason) in zip(paths, results, strict=True):
        reason = reason or ("exact duplicate" if digest in seen else "")
        if reason:
            splits["train"].append(LeftOut(path.relative_to(root).as_posix(), reason))
        else:
            splits[split_of(digest)].append(FolderEntry(root, path, names[path.parent], digest))
        seen.add(digest)
    used = sorted({entry.class_name for split in splits.values() for entry in split if isinstance(entry, FolderEntry)})
    if not used:
        counts = Counter(item.reason for item in [*left_out, *splits["train"]] if isinstance(item, LeftOut))
        raise FomoError(f"no usable picture in '{root}': {shown(counts)}.")
    bare = [LeftOut(path.relative_to(root).as_posix(), NO_PICTURE) for path in names if names[path] not in used]
    card = DatasetCard(name, tuple(used), TEMPLATES, {}, source=root.resolve().name)
    return Plan(card, {split: partial(_entries, entries) for split, entries in splits.items()}, [*left_out, *bare])


def _entries(entries: list[FolderEntry | LeftOut], run: Run) -> list[FolderEntry | LeftOut]:
    return entries


def examine(paths: list[Path]) -> list[list[str]]:
    """Of each picture the digest of its pixels and nothing, or nothing and the reason why it cannot be used."""
    return [_examine(path) for path in paths]


def _examine(path: Path) -> list[str]:
    try:
        return [read_picture(Location(path).read()).digest, ""]
    except Unusable as reason:
        return ["", str(reason)]


def separated(text: str) -> str:
    """A file or folder name with spaces for its separators."""
    return " ".join(re.sub(r"[_\-.,+]+|(?<=[a-z])(?=[A-Z])", " ", text).split())


def words(text: str) -> str:
    """The words of a file name: a number in it is as a rule a counter, and goes."""
    return " ".join(word for word in separated(text).split() if not word.isdigit())


def captions_of(path: Path, root: Path, class_name: str) -> list[str]:
    """The lines of the sidecar text, if it lies in ``root``, else the class prompt and the words of the file name.

    Names alone rarely say the class that evaluation asks for; without any word the class prompt serves anyway.
    """
    sidecar = path.with_suffix(".txt")
    if sidecar.is_file() and sidecar.resolve().is_relative_to(root.resolve()):
        if sidecar.stat().st_size > MAX_TEXT_BYTES:
            raise Unusable("too many bytes")
        lines = sidecar.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip()]
    name = words(path.stem)
    prompt = TEMPLATES[0].replace("{}", class_name)
    return [f"{prompt}, {name}"] if any(letter.isalpha() for letter in name) else []


def class_names(root: Path, folders: Iterable[Path]) -> dict[Path, str]:
    """A class name for each folder. Two folders of one name are refused."""
    known: dict[str, Path] = {}
    for folder in folders:
        parts = folder.relative_to(root).parts or (root.resolve().name,)
        name = " ".join(separated(part) or part for part in parts)
        if name in known:
            twin = known[name]
            raise FomoError(f"folders '{twin}' and '{folder}' both give the class '{name}': rename one of them.")
        known[name] = folder
    return {folder: name for name, folder in known.items()}


def find(root: Path) -> tuple[dict[Path, list[Path]], list[LeftOut]]:
    """Pictures by folder, in sorted order; files that are none or lead out of the root, and folders without any."""
    found: dict[Path, list[Path]] = {}
    left_out: list[LeftOut] = []
    inside = root.resolve()
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        links = [Path(folder) / name for name in subfolders if (Path(folder) / name).is_symlink()]
        left_out += [LeftOut(path.relative_to(root).as_posix(), "link to a folder") for path in links]
        for path in sorted(Path(folder) / name for name in files):
            reason = unsuitable(path, inside)
            if not reason:
                found.setdefault(Path(folder), []).append(path)
            elif path.suffix.lower() != ".txt":
                left_out.append(LeftOut(path.relative_to(root).as_posix(), reason))
        if not subfolders and Path(folder) not in found and Path(folder) != root:
            left_out.append(LeftOut(Path(folder).relative_to(root).as_posix(), NO_PICTURE))
    return found, left_out


def unsuitable(path: Path, inside: Path) -> str:
    """Why a file is not even opened; empty where it is."""
    if path.suffix.lower() not in EXTENSIONS:
        return "not a picture by name"
    if not path.resolve().is_relative_to(inside):
        return "link out of the folder"
    return "" if path.is_file() else "not a file"


def split_of(digest: str) -> str:
    """Train, validation or test, by the hash of the picture: 70 %, 10 %, 20 %."""
    place = int(digest[:8], 16) / 2**32
    if place < TEST_SHARE:
        return "test"
    return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"
