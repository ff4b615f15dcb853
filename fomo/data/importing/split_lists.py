"""Splits that were made beforehand as lists: ``train.txt``, ``meta/test.txt``, ``val.csv``, a file of the tree a line.

A line may name a file with or without its ending, from the list's own folder, the root, or any folder above it, and may
hold more behind it (a class, a number). JSON may be a list of files, or lists by class. One file may hold the whole
split: JSON of lists by split (``split_zhou_Food101.json``), a table with a column of splits, or CUB's
``train_test_split.txt``. Where nothing lists the training split, it is what the others leave.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from fomo.data.importing.described import read_table
from fomo.data.importing.splits import WAYS, Parts, folded, named_split
from fomo.data.sources import Location, Unusable
from fomo.data.texts import decoded
from fomo.errors import FomoError
from fomo.system.reading import Unreadable, parse_json

LIST_ENDS = (".txt", ".lst", ".list", ".csv", ".tsv", ".json")
MAX_BYTES = 2**28
TABLE_ENDS = (".csv", ".tsv", ".jsonl")
NUMBERED = "images.txt"
"""Beside CUB's ``train_test_split.txt``, whose lines are a number and 1 for training: a number and a file a line."""
WHOLE_SPLIT = re.compile(r"split|partition", re.IGNORECASE)
"""In the name of a file that holds a whole split."""
EVALUATION = re.compile(r"eval(uation)?[ _-]?(partition|status|split)", re.IGNORECASE)
"""In the name of a file that says a split of each image: CelebA's and DeepFashion's ``list_eval_partition.txt``."""
STATUS = {"0": "train", "1": "validation", "2": "test"}
"""What the numbers in such a file stand for."""
LEAST_SHARE = 0.5
"""A text is a list of files if at least this share of its lines names one."""


def splits_by_list(lists: Iterable[Path], images: Iterable[str], root: Path) -> tuple[dict[str, str], list[Path]]:
    """The split of each image by its path below the root, and the lists that say so; empty where there are none.

    Args:
        lists: files that may be lists; those of other names or contents are passed over.
        images: paths below the root.
        root: the folder that holds the images.

    Raises:
        FomoError: two lists are of one split, or an image stands in two of them.
    """
    candidates = [path for path in sorted(lists) if is_named_split(path) or path.suffix.lower() in TABLE_ENDS]
    index = index_of(images) if candidates else {}
    found: dict[str, tuple[list[Path], set[str]]] = {}
    for path in candidates:
        for split, named_images in _listed(path, index, start_of(path.parent, root)).items():
            others, known = found.setdefault(split, ([], set()))
            if known and (others[0].stem != path.stem or (known & named_images and known != named_images)):
                raise FomoError(f"'{others[0]}' and '{path}' both list the {split} split: keep one; {WAYS}.")
            others.append(path)
            known |= named_images
    understood = list(dict.fromkeys(path for paths, _ in found.values() for path in paths))
    trainval = next((split for split in found if split.startswith("train ")), None)
    if trainval is not None:
        found.setdefault("train", found.pop(trainval))
    return _assigned(found, images), understood


def is_named_split(path: Path) -> bool:
    """Whether a file's name says that it lists the files of a split, or of a whole one."""
    suffix = path.suffix.lower()
    of_one = suffix in LIST_ENDS and named_split(path.stem) is not None
    return of_one or (suffix in (*LIST_ENDS, *TABLE_ENDS) and WHOLE_SPLIT.search(path.stem) is not None)


def start_of(folder: Path, root: Path) -> str:
    """What stands before the paths of images below ``folder``."""
    return f"{folder.relative_to(root).as_posix()}/" if folder != root and folder.is_relative_to(root) else ""


def _listed(path: Path, index: Mapping[str, str], start: str) -> dict[str, set[str]]:
    """The images of each split that a file lists, those below its own folder first; nothing where it is no list."""
    whole = EVALUATION.search(path.stem) is not None
    named = named_split(path.stem) if path.suffix.lower() in LIST_ENDS and not whole else None
    if named is not None:
        images = _read(path, index, start)
        union = "trainval" in path.stem.lower()
        return {f"{named.split} {folded(named.rest)}" if union else named.split: images} if images else {}
    readers = {".json": _by_key, ".txt": _by_line}
    pairs = list((_by_line if whole else readers.get(path.suffix.lower(), _by_column))(path))
    meant = find_images((name for _, name in pairs), index, start)
    found: dict[str, set[str]] = {}
    for split, name in pairs:
        if name in meant:
            found.setdefault(split, set()).add(meant[name])
    return found


def _json_in(path: Path) -> Any:
    try:
        return parse_json(decoded(Location(path).read(MAX_BYTES)), finite=False)
    except (Unusable, Unreadable):
        return None


def _by_line(path: Path) -> Iterable[tuple[str, str]]:
    """Splits and files of lines of a file and its split, or of a number of one and 1 or 0.

    The file beside it says which image has the number. Under CelebA's name the split may be one of :data:`STATUS`.
    """
    files = dict(line.split(maxsplit=1) for line in _lines(path.with_name(NUMBERED)) if len(line.split()) > 1)
    for fields in map(str.split, _lines(path)):
        if len(fields) == 2 and fields[0] in files and fields[1] in ("0", "1"):
            yield "train" if fields[1] == "1" else "test", files[fields[0]]
    for line in _lines(path):
        *file, last = re.split(r"[,;\t ]+", line)
        named = named_split(last)
        split = named.split if named else STATUS.get(last, "") if EVALUATION.search(path.stem) else ""
        if split:
            yield split, " ".join(file)


def _by_key(path: Path) -> Iterable[tuple[str, str]]:
    """Splits and files of a JSON object of lists, whose items are files or begin with one."""
    value = _json_in(path)
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


def _assigned(found: Mapping[str, tuple[list[Path], set[str]]], images: Iterable[str]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split, (paths, named_images) in found.items():
        for image in sorted(named_images):
            if image in splits:
                raise FomoError(f"'{paths[0]}' lists '{image}', which the {splits[image]} split has too: {WAYS}.")
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


def _read(path: Path, index: Mapping[str, str], start: str) -> set[str]:
    """The images that a list names; nothing where it is no list of files."""
    if path.suffix.lower() == ".json":
        value = _json_in(path)
        lists = value.values() if isinstance(value, dict) else [value]
        lines = [line for each in lists if isinstance(each, list) for line in each if isinstance(line, str) and line]
    else:
        lines = _lines(path)
    matches = [match for line in lines if (match := _match_of(line, index, start)) is not None]
    found = {match.image for match in _of_one_root(matches)}
    return found if len(found) >= LEAST_SHARE * (len(lines) - 1) else set()


def _lines(path: Path) -> list[str]:
    """The lines of a text that hold something; none where it cannot be read."""
    try:
        return [line.strip() for line in decoded(Location(path).read(MAX_BYTES)).splitlines() if line.strip()]
    except Unusable:
        return []


def _match_of(line: str, index: Mapping[str, str], start: str) -> "Match | None":
    fields = [line, line.rsplit(maxsplit=1)[0], *re.split(r"[,;\t]", line), line.split()[0]]
    matches = (_match(field.strip(" \"'"), index, start) for field in fields)
    return next((match for match in matches if match is not None), None)


class Match(NamedTuple):
    """A name that a file gives and the image of the tree that it ends like."""

    name: str
    image: str
    before: Parts
    """What of the name stands before that end: where the images lay when the file was written."""
    in_folder: bool
    """Whether the end that both have in common names a folder."""


def find_images(names: Iterable[str], index: Mapping[str, str], start: str = "") -> dict[str, str]:
    """The images that the names in one file mean, as far as they are there.

    Args:
        names: paths as they stand in the file.
        index: see :func:`index_of`.
        start: what stands before the paths of images in the file's own folder, which go first; else an image is meant
            whose path ends as the name does.
    """
    matches = [match for name in dict.fromkeys(names) if (match := _match(name, index, start)) is not None]
    return {match.name: match.image for match in _of_one_root(matches)}


def _match(name: str, index: Mapping[str, str], start: str) -> Match | None:
    plain = name.replace("\\", "/").removeprefix("./").strip("/")
    parts = tuple(plain.split("/"))
    if image := index.get(f"{start}{plain}"):
        return Match(name, image, (), len(parts) > 1)
    ends = ((parts[:first], "/".join(parts[first:])) for first in range(len(parts)))
    return next(
        (Match(name, image, before, "/" in end) for before, end in ends if (image := index.get(end))),
        None,
    )


def _of_one_root(matches: Sequence[Match]) -> list[Match]:
    """Matches without those that only look like one, because the image that is meant is not there.

    Where ``dog/1.jpg`` is there as it is named, ``bird/1.jpg`` does not mean ``cat/1.jpg``: paths begin at the same
    folder. Of names that lead to one image from several folders only the one that shares more of its path means it.
    """
    roots = {match.before for match in matches if match.in_folder}
    kept = [match for match in matches if not any(match.before[:n] in roots for n in range(len(match.before)))]
    ways: dict[str, set[Parts]] = defaultdict(set)
    for match in kept:
        ways[match.image].add(match.before)
    shortest = {image: min(map(len, each)) for image, each in ways.items()}
    clear = {image for image, each in ways.items() if sum(len(way) == shortest[image] for way in each) == 1}
    return [match for match in kept if match.image in clear and len(match.before) == shortest[match.image]]
