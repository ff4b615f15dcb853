"""``fomo data import webdataset``: shards made elsewhere, in two layouts.

CLIP_benchmark's (https://github.com/LAION-AI/CLIP_benchmark): ``classnames.txt``, one class a line;
``zeroshot_classification_templates.txt`` with ``{c}`` for the class; ``SPLIT/nshards.txt`` and ``SPLIT/0.tar`` … with
``KEY.webp|jpg|png`` and ``KEY.cls``, the number of the class; where ``dataset_type.txt`` says ``retrieval``, a
``KEY.txt`` with a caption a line instead. LAION's and DataComp's (img2dataset): tars of ``KEY.jpg``, ``KEY.txt``,
``KEY.json``, pictures with a text each, which become a pretraining pool.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from fomo.data.card import DatasetCard, distinct
from fomo.data.importing.folder import TEMPLATES
from fomo.data.importing.job import Listed, Plan, Raw, Source, Tick, check_size, fingerprint
from fomo.data.importing.reference_info import TWICE
from fomo.data.pictures import EXTENSIONS
from fomo.data.sources import MAX_TEXT_BYTES, LeftOut, Location, Member, Unusable, tar_members
from fomo.errors import FomoError
from fomo.system.reading import Unreadable, parse_json, read_text
from fomo.system.workers import Run

SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


@dataclass(frozen=True)
class Layout:
    """How the samples of a set of tars are to be understood."""

    kind: str
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TarEntry:
    """The members of one key."""

    path: str
    members: Mapping[str, Location]
    layout: Layout

    def read(self) -> Raw:
        """The picture, and what the other members say of it."""
        (image,) = (where for extension, where in self.members.items() if f".{extension}" in EXTENSIONS)
        captions = self._captions()
        if not captions and self.layout.kind != "classification":
            raise Unusable("no caption")
        return Raw(image.read(), self._class_name(), captions)

    def _class_name(self) -> str | None:
        if self.layout.kind != "classification":
            return None
        if "cls" not in self.members:
            raise Unusable("no class")
        text = self.members["cls"].read(MAX_TEXT_BYTES).decode(errors="replace").strip()
        if not re.fullmatch(r"\d{1,9}", text) or int(text) >= len(self.layout.classes):
            raise Unusable("class that classnames.txt does not name")
        return self.layout.classes[int(text)]

    def _captions(self) -> list[str]:
        lines = self._text().splitlines() if self.layout.kind == "retrieval" else [self._text()]
        return [" ".join(line.split()) for line in lines if line.strip()]

    def _text(self) -> str:
        if "txt" in self.members:
            return self.members["txt"].read(MAX_TEXT_BYTES).decode(errors="replace")
        if "json" not in self.members:
            return ""
        try:
            about = parse_json(self.members["json"].read(MAX_TEXT_BYTES))
        except Unreadable:
            raise Unusable("broken JSON") from None
        caption = about.get("caption") if isinstance(about, dict) else None
        return caption if isinstance(caption, str) else ""


def webdataset_source(root: Path, name: str, size: int | None = None) -> Source:
    """The shards in ``root``, of whichever layout."""
    if not root.is_dir():
        raise FomoError(f"'{root}' is not a folder: give the folder that holds the shards.")
    check_size(size)
    loose = _tars(root)
    tars = {"train": loose} if loose else _split_tars(root)
    if not any(tars.values()):
        raise FomoError(f"no shard in '{root}': neither '*.tar' nor 'train/0.tar' or 'test/0.tar'.")
    card, counts = (DatasetCard(name, (), (), {}, kind="pairs", role="pool"), {}) if loose else _card(root, name)
    layout = Layout(card.kind, card.classes)
    entries = {split: partial(_entries, paths, layout) for split, paths in tars.items()}

    def plan(run: Run, folder: Path, tick: Tick) -> Plan:
        return Plan(card, entries, counts=counts)

    every = [path for paths in tars.values() for path in paths]
    mark = fingerprint("webdataset", name, size, card.to_json(), files=every)
    return Source(name, mark, plan, size=size)


def _tars(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("*.tar") if path.is_file()), key=_natural)


def _read_text(path: Path) -> str:
    return read_text(path).strip("\n")


def _natural(path: Path) -> tuple[int, str]:
    """``2.tar`` before ``10.tar``."""
    return (int(path.stem) if path.stem.isdecimal() else -1, path.name)


def _split_tars(root: Path) -> dict[str, list[Path]]:
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        folders = [root / name for name in names if (root / name).is_dir()]
        if len(folders) > 1:
            raise FomoError(f"'{folders[0]}' and '{folders[1]}' are both the {split} split: remove one of them.")
        if folders:
            found[split] = _numbered(folders[0])
    return found


def _numbered(folder: Path) -> list[Path]:
    """The tars that ``nshards.txt`` promises, else those that are there."""
    there, promise = _tars(folder), folder / "nshards.txt"
    if not promise.is_file():
        return there
    text = _read_text(promise).strip()
    if not re.fullmatch(r"\d{1,7}", text):
        raise FomoError(f"{promise}: holds '{text[:40]}', no number of shards.")
    promised = [folder / f"{number}.tar" for number in range(int(text))]
    missing = [path.name for path in promised if not path.is_file()]
    if missing or len(there) > len(promised):
        lacking = f", without {', '.join(missing[:5])}" if missing else ""
        raise FomoError(f"{promise} promises {text} shards, there are {len(there)}{lacking}: get them all, or mend it.")
    return promised


def _card(root: Path, name: str) -> tuple[DatasetCard, dict[str, int]]:
    kind_file, class_file = root / "dataset_type.txt", root / "classnames.txt"
    kind = _read_text(kind_file).strip() if kind_file.is_file() else "classification"
    if kind == "retrieval":
        return DatasetCard(name, (), (), {}, kind=kind), {}
    if kind != "classification":
        raise FomoError(f"{kind_file}: '{kind}' is not supported. Allowed: classification, retrieval.")
    if not class_file.is_file():
        raise FomoError(f"'{class_file}' is missing: it names the classes, one a line.")
    listed = [line.strip() for line in _read_text(class_file).split("\n")]
    classes = distinct(listed)
    card = DatasetCard(name, classes, _templates(root), {}, source=root.resolve().name)
    return card, {TWICE: twice} if (twice := len(set(classes) - set(listed))) else {}


def _templates(root: Path) -> tuple[str, ...]:
    path = root / "zeroshot_classification_templates.txt"
    if not path.is_file():
        return TEMPLATES
    lines = [line.strip() for line in _read_text(path).splitlines() if line.strip()]
    return tuple(line.replace("{c}", "{}") for line in lines)


def _entries(tars: list[Path], layout: Layout, run: Run) -> Iterator[Listed]:
    for listed in run(partial(scan, layout=layout), tars):
        yield from listed


def scan(path: Path, layout: Layout) -> list[Listed]:
    """The samples of a tar in order, from its headers alone."""
    left_out: list[Listed] = []
    groups: dict[str, dict[str, Location]] = {}
    for member in tar_members(path):
        problem = member if isinstance(member, LeftOut) else _sort_in(path, member, groups)
        if problem is not None:
            left_out.append(problem)
    return [*(_entry(path, key, members, layout) for key, members in groups.items()), *left_out]


def _sort_in(path: Path, member: Member, groups: dict[str, dict[str, Location]]) -> LeftOut | None:
    name = PurePosixPath(member.name)
    stem, _, extension = name.name.rpartition(".")
    if not stem:
        return LeftOut(f"{path.name}/{member.name}", "missing key")
    group = groups.setdefault(str(name.with_name(stem)), {})
    if extension.lower() in group:
        return LeftOut(f"{path.name}/{member.name}", "duplicate key")
    group[extension.lower()] = member.location
    return None


def _entry(path: Path, key: str, members: dict[str, Location], layout: Layout) -> Listed:
    label = f"{path.parent.name}/{path.name}/{key}"
    pictures = [extension for extension in members if f".{extension}" in EXTENSIONS]
    if len(pictures) != 1:
        return LeftOut(label, "several pictures of one key" if pictures else "no picture")
    return TarEntry(label, members, layout)
