"""Splits that were made beforehand as lists: ``train.txt``, ``meta/test.txt``, ``val.csv``, a file of the tree a line.

A line may name a file with or without its ending, from the root or from any folder above it, and may hold more behind
it (a class, a number). One file may hold the whole split: JSON of lists by split (``split_zhou_Food101.json``), or a
table with a column of splits (``splits.csv``). Where nothing lists the training split, it is what the others leave.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from fomo.data.importing.described import read_table
from fomo.data.importing.splits import WAYS, folded, named_split
from fomo.data.sources import Location, Unusable
from fomo.data.texts import decoded
from fomo.errors import FomoError
from fomo.system.reading import Unreadable, parse_json

LIST_ENDS = (".txt", ".lst", ".list", ".csv", ".tsv")
MAX_BYTES = 2**28
WHOLE_ENDS = (".json", ".csv", ".tsv", ".jsonl")
WHOLE_SPLIT = re.compile(r"split|partition", re.IGNORECASE)
"""In the name of a file that holds a whole split."""
LEAST_SHARE = 0.5
"""A text is a list of files if at least this share of its lines names one."""


def splits_by_list(lists: Iterable[Path], images: Iterable[str]) -> tuple[dict[str, str], list[Path]]:
    """The split of each image by its path below the root, and the lists that say so; empty where there are none.

    Args:
        lists: files that may be lists; those of other names or contents are passed over.
        images: paths below the root.

    Raises:
        FomoError: two lists are of one split, or an image stands in two of them.
    """
    candidates = [path for path in sorted(lists) if _may_be_list(path)]
    index = index_of(images) if candidates else {}
    found: dict[str, tuple[Path, set[str]]] = {}
    for path in candidates:
        for split, named_images in _listed(path, index).items():
            if split in found:
                raise FomoError(f"'{found[split][0]}' and '{path}' both list the {split} split: keep one; {WAYS}.")
            found[split] = (path, named_images)
    trainval = next((split for split in found if split.startswith("train ")), None)
    if trainval is not None:
        found.setdefault("train", found.pop(trainval))
    return _assigned(found, images), list(dict.fromkeys(path for path, _ in found.values()))


def _may_be_list(path: Path) -> bool:
    """Whether a file's name says that it may list files of a split."""
    suffix = path.suffix.lower()
    of_one = suffix in LIST_ENDS and named_split(path.stem) is not None
    return of_one or (suffix in WHOLE_ENDS and WHOLE_SPLIT.search(path.stem) is not None)


def _listed(path: Path, index: Mapping[str, str]) -> dict[str, set[str]]:
    """The images of each split that a file lists; nothing where it is no list."""
    named = named_split(path.stem) if path.suffix.lower() in LIST_ENDS else None
    if named is not None:
        images = _read(path, index)
        union = "trainval" in path.stem.lower()
        return {f"{named.split} {folded(named.rest)}" if union else named.split: images} if images else {}
    pairs = _by_key(path) if path.suffix.lower() == ".json" else _by_column(path)
    found: dict[str, set[str]] = {}
    for split, name in pairs:
        image = find_image(name, index)
        if image:
            found.setdefault(split, set()).add(image)
    return found


def _by_key(path: Path) -> Iterable[tuple[str, str]]:
    """Splits and files of a JSON object of lists, whose items are files or begin with one."""
    try:
        value = parse_json(decoded(Location(path).read(MAX_BYTES)), finite=False)
    except (Unusable, Unreadable):
        return
    for key, items in value.items() if isinstance(value, dict) else ():
        named = named_split(key)
        for item in items if isinstance(items, list) and named is not None else ():
            file = item[0] if isinstance(item, list) and item else item
            if isinstance(file, str) and named is not None:
                yield named.split, file


def _by_column(path: Path) -> Iterable[tuple[str, str]]:
    """Splits and files of a table; nothing where it has no such columns."""
    try:
        return [(row.split, row.file) for row in read_table(path) if row.split]
    except FomoError:
        return []


def _assigned(found: Mapping[str, tuple[Path, set[str]]], images: Iterable[str]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split, (path, named_images) in found.items():
        for image in sorted(named_images):
            if image in splits:
                raise FomoError(f"'{path}' lists '{image}', which the {splits[image]} split has too: {WAYS}.")
            splits[image] = split
    if splits and "train" not in found:
        splits = dict.fromkeys(images, "train") | splits
    return splits


def index_of(images: Iterable[str]) -> dict[str, str]:
    """Images by every end of their path, with and without the file's ending; empty where it is not the only one."""
    index: dict[str, str] = {}
    for image in images:
        for whole in (image, str(PurePosixPath(image).with_suffix(""))):
            parts = whole.split("/")
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                index[end] = image if index.get(end, image) == image else ""
    return index | {image: image for image in images}


def _read(path: Path, index: Mapping[str, str]) -> set[str]:
    """The images that a list names; nothing where it is no list of files."""
    try:
        lines = [line.strip() for line in decoded(Location(path).read(MAX_BYTES)).splitlines() if line.strip()]
    except Unusable:
        return set()
    found = {image for line in lines if (image := _image_of(line, index))}
    return found if len(found) >= LEAST_SHARE * (len(lines) - 1) else set()


def _image_of(line: str, index: Mapping[str, str]) -> str:
    fields = [line, line.rsplit(maxsplit=1)[0], *re.split(r"[,;\t]", line), line.split()[0]]
    return next((image for field in fields if (image := find_image(field.strip(" \"'"), index))), "")


def find_image(name: str, index: Mapping[str, str]) -> str:
    """The image of the index whose path ends as ``name`` does, as far as it is the only one; else nothing."""
    parts = name.replace("\\", "/").removeprefix("./").strip("/").split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((image for end in ends if (image := index.get(end))), "")
