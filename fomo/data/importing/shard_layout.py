"""How a folder of shards made elsewhere is to be understood: its tars by split, its kind, its classes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

from fomo.data.card import DatasetCard, distinct, read_card
from fomo.data.importing.class_names import check_told_apart, read_names
from fomo.data.importing.described import remarks_on_parts, row_in, said_split
from fomo.data.importing.gathered import TEMPLATES
from fomo.data.importing.reference_info import TWICE
from fomo.data.importing.splits import named_split
from fomo.data.sources import MAX_TEXT_BYTES, Location, TarMember, Unusable, is_left_by_tool, tar_members
from fomo.data.tar_samples import TarSample, tar_samples
from fomo.data.texts import decoded, json_captions, parsed, spaced
from fomo.errors import FomoError
from fomo.system.reading import read_text

CLASS_FILES = ("classnames.txt", "classes.txt", "class_names.txt", "labels.txt", "classnames.json", "classes.json")
CLASS_KEYS = ("class", "class_name", "classname", "label_name")
LOOSE_CLASS_KEYS = ("label", "category")
NUM_LOOKED_AT = 8


@dataclass(frozen=True)
class Layout:
    """How the samples of a set of tars are to be understood.

    ``names`` are the classes as they are listed, by number; empty where each sample names its own. ``by_id`` are those
    that a file names by an identifier, ``twice`` names that several classes have. ``ours`` says that the shards were
    written by an import of this package: their JSON holds all kinds of captions.
    """

    kind: str
    names: tuple[str, ...] = ()
    ours: bool = False
    by_id: Mapping[str, str] = field(default_factory=dict)
    twice: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ShardSet:
    """Tars by split and what they hold; ``card`` is ``None`` where each sample names its own class.

    ``is_named`` says that folders or shards name the split, ``says_split`` that the JSON of samples does.
    """

    tars: Mapping[str, Sequence[Path]]
    layout: Layout
    origin: str
    card: DatasetCard | None
    counts: Mapping[str, int] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    is_named: bool = False
    says_split: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """Every tar."""
        return [path for paths in self.tars.values() for path in paths]


def read_layout(root: Path, name: str, class_file: Path | None = None) -> ShardSet:
    """What lies in ``root``; the dataset gets ``name``, and classes that are numbers the names in ``class_file``.

    Raises:
        FomoError: there is no shard, a promised one is missing, the split is not clear, or classes have no names.
    """
    tars, note = _tars_by_split(root)
    shards = _understood(root, name, class_file, tars, note)
    rows = [] if shards.layout.ours else _first_rows(chain.from_iterable(tars.values()))
    says_split = any(map(said_split, rows))
    about = next((said for row in rows if (said := remarks_on_parts(row, "the JSON of samples", "", True))), [])
    return replace(shards, is_named=bool(note), says_split=says_split, remarks=tuple(about))


def _understood(
    root: Path, name: str, class_file: Path | None, tars: Mapping[str, Sequence[Path]], note: str
) -> ShardSet:
    origin = "; ".join(filter(None, (root.resolve().name, note)))
    own = root / "dataset.json"
    if own.is_file():
        card = replace(read_card(own), name=name, num_samples={}, counts={}, hashes={}, caption_kinds=())
        return ShardSet(tars, Layout(card.kind, card.classes, ours=True), origin, card, files=(own,))
    kind_file = root / "dataset_type.txt"
    kind = read_text(kind_file).strip() if kind_file.is_file() else ""
    if kind not in ("", "classification", "retrieval"):
        raise FomoError(f"{kind_file}: '{kind}' is not supported. Allowed: classification, retrieval.")
    files = [class_file] if class_file else [root / each for each in CLASS_FILES if (root / each).is_file()][:1]
    if kind == "classification" or (not kind and (files or any(_first_classes(tars)))):
        return _classification(root, name, tars, files, origin, is_given=class_file is not None)
    scored = kind == "retrieval" or any(tars.get(split) for split in ("validation", "test"))
    card = DatasetCard(name, (), (), {}, kind="retrieval" if scored else "pairs", source=origin)
    return ShardSet(tars, Layout(kind or "pairs"), origin, card if scored else replace(card, role="pool"))


def _classification(
    root: Path, name: str, tars: Mapping[str, Sequence[Path]], files: list[Path], origin: str, is_given: bool
) -> ShardSet:
    if not files:
        if any(each.isdecimal() for each in _first_classes(tars)):
            raise FomoError(
                f"'{root / CLASS_FILES[0]}' is missing: it names the classes, one a line. Or give `--classes FILE`."
            )
        return ShardSet(tars, Layout("classification"), origin, None)
    named = read_names(files[0], plain=not is_given)
    has_numbers = any(each.isdecimal() for each in named.by_id)
    are_numbers = named.listed or named.is_numbered() or any(each.isdecimal() for each in _first_classes(tars))
    identifiers = [] if are_numbers and (named.is_numbered() or not has_numbers) else list(named.by_id)
    listed = [named.by_id[key] for key in identifiers] or named.numbered()
    check_told_apart({each: f"'{each}' in {files[0].name}" for each in dict.fromkeys(listed)})
    classes = distinct(listed)
    templates = _templates(root)
    twice = {made: said for made, said in zip(classes, listed, strict=True) if made != said}
    primers = {made: templates[0].replace("{}", said) for made, said in twice.items()}
    card = DatasetCard(name, classes, templates, {}, source=origin, primers=primers)
    counts = {TWICE: len(twice)} if twice else {}
    by_id = dict(zip(identifiers, classes, strict=False))
    layout = Layout("classification", classes, by_id=by_id, twice=frozenset(twice.values()))
    return ShardSet(tars, layout, origin, card, counts, (files[0],))


def _templates(root: Path) -> tuple[str, ...]:
    path = root / "zeroshot_classification_templates.txt"
    if not path.is_file():
        return TEMPLATES
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return tuple(line.replace("{c}", "{}") for line in lines)


def _first_classes(tars: Mapping[str, Sequence[Path]]) -> list[str]:
    """What the first samples say of their class, empty for those that say nothing."""
    first = next((paths[0] for paths in tars.values() if paths), None)
    samples = tar_samples(first)[0][:NUM_LOOKED_AT] if first is not None else []
    return [said_class(sample) for sample in samples]


def said_class(sample: TarSample, is_listed: bool = False) -> str:
    """The class that a sample names in its JSON or its ``cls``, the number of one, or nothing.

    ``is_listed``: the classes are, so that ``label`` beside captions is one of them too.
    """
    name = _class_in_json(sample.others, is_listed)
    number = text_of(sample.others, "cls")
    return name if name and not name.isdecimal() else number or name


def text_of(others: Mapping[str, Location], extension: str) -> str:
    """What a member of a sample says, on one line; empty where it is not there or cannot be read."""
    if extension not in others:
        return ""
    try:
        return spaced(decoded(others[extension].read(MAX_TEXT_BYTES)))
    except Unusable:
        return ""


def _class_in_json(others: Mapping[str, Location], is_listed: bool) -> str:
    """The value of a key that names classes; beside captions ``label`` and ``category`` may be something else."""
    if "json" not in others:
        return ""
    try:
        about = parsed(others["json"].read(MAX_TEXT_BYTES))
        is_loose = is_listed or not ("txt" in others or json_captions(about))
    except Unusable:
        return ""
    values = (about.get(key) for key in (*CLASS_KEYS, *(LOOSE_CLASS_KEYS if is_loose else ())))
    return next((spaced(str(value)) for value in values if isinstance(value, (str, int)) and value is not True), "")


def _first_rows(tars: Iterable[Path]) -> list[dict[str, Any]]:
    """What the JSON of the first samples of each tar says, read without the headers of the others."""
    rows = []
    for path in tars:
        for member in islice(tar_members(path), 3 * NUM_LOOKED_AT):
            if isinstance(member, TarMember) and member.name.lower().endswith(".json"):
                rows.append(row_in(member.location))
    return rows


def _tars_by_split(root: Path) -> tuple[dict[str, list[Path]], str]:
    """Tars by split, and how the split was given (empty: it was not).

    Raises:
        FomoError: there is no tar; some tars name a split and others do not; two folders are one split.
    """
    paths = [path for path in sorted(root.rglob("*.tar")) if path.is_file()]
    paths = [path for path in paths if not is_left_by_tool(PurePosixPath(path.relative_to(root).as_posix()))]
    if not paths:
        raise FomoError(f"no shard in '{root}': neither '*.tar' nor 'train/0.tar' or 'test/0.tar'.")
    by_folder = {path: _split_of(path.parent.relative_to(root).parts) for path in paths}
    named = by_folder if any(by_folder.values()) else {path: _split_of((path.stem,)) for path in paths}
    splits = {path: split for path, split in named.items() if split}
    if splits and len(splits) < len(paths):
        with_split = next(iter(splits))
        without = next(path for path in paths if path not in splits)
        raise FomoError(
            f"'{with_split}' names a split and '{without}' does not: put each into the folder of its split."
        )
    folders = sorted({path.parent for path in paths})
    if by_folder is named:
        _check_one_folder_each({folder: by_folder[path] for path in paths for folder in [path.parent]})
    ordered = [path for folder in folders for path in _numbered(folder)]
    where = "folders" if by_folder is named else "shards' names"
    found: dict[str, list[Path]] = {}
    for path in ordered:
        found.setdefault(splits.get(path, "train"), []).append(path)
    return found, f"split given by its {where}" if splits else ""


def _split_of(names: Sequence[str]) -> str:
    return next((named.split for name in names if (named := named_split(name)) is not None), "")


def _check_one_folder_each(folders: Mapping[Path, str]) -> None:
    known: dict[tuple[Path, str], Path] = {}
    for folder, split in sorted(folders.items()):
        twin = known.setdefault((folder.parent, split), folder)
        if twin != folder and named_split(folder.name) is not None:
            raise FomoError(f"'{twin}' and '{folder}' are both the {split} split: remove one of them.")


def _numbered(folder: Path) -> list[Path]:
    """The tars that ``nshards.txt`` promises, else those that are there."""
    tars = (path for path in folder.glob("*.tar") if path.is_file() and not is_left_by_tool(PurePosixPath(path.name)))
    there = sorted(tars, key=_natural)
    promise = folder / "nshards.txt"
    if not promise.is_file():
        return there
    text = read_text(promise).strip()
    if not re.fullmatch(r"\d{1,7}", text):
        raise FomoError(f"{promise}: holds '{text[:40]}', no number of shards.")
    promised = [folder / f"{number}.tar" for number in range(int(text))]
    missing = [path.name for path in promised if not path.is_file()]
    if missing or len(there) > len(promised):
        lacking = f", without {', '.join(missing[:5])}" if missing else ""
        raise FomoError(f"{promise} promises {text} shards, there are {len(there)}{lacking}: get them all, or mend it.")
    return promised


def _natural(path: Path) -> tuple[int, str]:
    """``2.tar`` before ``10.tar``."""
    return (int(path.stem) if path.stem.isdecimal() else -1, path.name)
