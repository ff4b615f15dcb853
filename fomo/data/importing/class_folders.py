"""The class and the split of every image in a tree of class folders, by the names of its folders."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from fomo.data.importing.class_names import NameFile, check_told_apart, name_of, read_names
from fomo.data.importing.gathered import Gathered, ImportOptions
from fomo.data.importing.planning import GIVEN, IGNORE
from fomo.data.importing.split_lists import is_named_split, splits_by_list
from fomo.data.importing.splits import Parts, says_nothing, split_at_start, split_folders
from fomo.data.importing.tree import Tree
from fomo.errors import FomoError

Placed: TypeAlias = dict[Parts, tuple[str, Parts]]
"""Of each folder that holds images its split (empty: none is given) and the names that make its class."""


def gather(tree: Tree, options: ImportOptions) -> Gathered:
    """Every image of a tree with its class and its split; what has no place is left out.

    Raises:
        FomoError: the split is not clear; two folders give one class; a class has no name.
    """
    placed, note = place(tree, options)
    if any(parts for _, parts in placed.values()):
        for folder in [folder for folder, (_, parts) in placed.items() if not parts]:
            leave_out(tree, folder, "outside of the class folders")
            del placed[folder]
    names = read_names(options.classes) if options.classes is not None else None
    classes = {parts: class_name_of(tree, parts, names) for _, parts in placed.values()}
    _check_names(tree, placed, classes, options)
    images = [
        tree.found(file, classes[parts], split)
        for folder, (split, parts) in placed.items()
        for file in tree.images[folder]
    ]
    gathered = Gathered(images, [] if options.classes is None else [options.classes], note)
    if options.rules.splits == GIVEN and not note:
        _use_lists(tree, gathered)
    return gathered


def _named(placed: Placed, depth: int | None) -> Placed:
    """With the names that make a class alone: the first ``depth`` of them, if that is given."""
    return {folder: (split, parts[:depth]) for folder, (split, parts) in _without_fillers(placed).items()}


def _without_fillers(placed: Placed) -> Placed:
    """Without folders that only say that they hold images: in a split all such, else those on the way to every class.

    ``train/cat/images`` and ``images/cat`` are both the class "cat"; ``photo`` beside ``sketch`` says something. Where
    that would make one class of two, nothing changes.
    """
    beside: dict[tuple[str, Parts], set[str]] = defaultdict(set)
    for split, way in placed.values():
        for level, name in enumerate(way):
            beside[split, way[:level]].add(name)
    ways = {parts for _, parts in placed.values() if parts}
    everywhere = {name for way in ways for name in way if all(name in other for other in ways)}
    is_split = any(split for split, _ in placed.values())

    def shorter(split: str, way: Parts) -> Parts:
        said = [level for level in range(len(way)) if not all(map(says_nothing, beside[split, way[:level]]))]
        return tuple(name for level, name in enumerate(way) if level in said or not (is_split or name in everywhere))

    made = {folder: (split, shorter(split, parts)) for folder, (split, parts) in placed.items()}
    kept = {parts for _, parts in made.values() if parts}
    return placed if len(kept) < max(2, sum(not all(map(says_nothing, way)) for way in ways)) else made


def place(tree: Tree, options: ImportOptions) -> tuple[Placed, str]:
    """Split and class of each folder, and how the split was given; images outside of a split are left out.

    Raises:
        FomoError: the split is not clear.
    """
    rule = options.rules.splits
    folders = None if rule == IGNORE else split_folders(tree.images, to_use=rule == GIVEN)
    if folders is None:
        return _named({folder: ("", folder) for folder in tree.images}, options.depth), ""
    found = {folder: folders.place(folder) for folder in tree.images}
    outside = [folder for folder, where in found.items() if where is None]
    _check_most_inside(tree, outside, folders.shown)
    for folder in outside:
        leave_out(tree, folder, "outside of the split folders")
    placed = {folder: where for folder, where in found.items() if where is not None}
    if not any(parts for _, parts in placed.values()) and len(folders.parents) == 1:
        (holder,) = folders.parents  # of one class: the folder that holds the split
        placed = {folder: (split, holder[-1:]) for folder, (split, _) in placed.items()}
    return _named(placed, options.depth), f"split given by its folders: {folders.shown}"


def leave_out(tree: Tree, folder: Parts, reason: str) -> None:
    """Leave out all images that a folder holds directly."""
    for file in tree.images[folder]:
        tree.leave_out(file, reason)


def _check_most_inside(tree: Tree, outside: list[Parts], shown: str) -> None:
    num_outside = sum(len(tree.images[folder]) for folder in outside)
    if num_outside > sum(map(len, tree.images.values())) / 2:
        first = "/".join(min(outside)) or "."
        raise FomoError(
            f"'{tree.root}': folders ({shown}) look like a split, but most images lie elsewhere, as in '{first}': "
            f"`--splits ignore` takes such folders for classes as any other."
        )


def class_name_of(tree: Tree, parts: Parts, names: NameFile | None) -> str:
    """The class that the names of folders make, looked up in a file of names if there is one."""
    if names is None or not parts:
        return name_of(parts or (tree.root.resolve().name,))
    whole = "/".join(parts)
    return names[whole] if whole in names.by_id else names[parts[-1]]


def _check_names(tree: Tree, placed: Placed, classes: Mapping[Parts, str], options: ImportOptions) -> None:
    """Refuse two folders of one split that give one class, or classes that no model tells apart."""
    known: dict[tuple[str, str], Parts] = {}
    places: dict[str, str] = {}
    for folder, (split, parts) in placed.items():
        name = classes[parts]
        twin = known.setdefault((split, name), folder)
        if placed[twin][1] != parts or (twin != folder and options.depth is None and not split):
            raise FomoError(
                f"folders '{tree.root.joinpath(*twin)}' and '{tree.root.joinpath(*folder)}' both give the class "
                f"'{name}': rename one of them{' in ' + repr(str(options.classes)) if options.classes else ''}."
            )
        places.setdefault(name, "/".join(folder) or ".")
    check_told_apart(places)


def _use_lists(tree: Tree, gathered: Gathered) -> None:
    """Take the split from lists of files, where there are any; the lists themselves are no loss."""
    by_path = {image.path: image for image in gathered.images}
    stems = {image.file.with_suffix("") for image in gathered.images}
    candidates = [path for path in tree.texts if path.with_suffix("") not in stems]
    splits, lists = splits_by_list(candidates, by_path, tree.root)
    unread = {path for path in candidates if is_named_split(path)} - set(lists)
    forget(tree, list(unread))
    for file in sorted(unread):
        tree.leave_out(file, "named like a split, lists no image")
    if not splits:
        _use_names(gathered)
        return
    gathered.images = [replace(image, split=splits[path]) for path, image in by_path.items() if path in splits]
    gathered.note = f"split given by its lists: {', '.join(dict.fromkeys(path.name for path in lists))}"
    for path in by_path.keys() - splits.keys():
        tree.leave_out(by_path[path].file, "in no list of the split")
    forget(tree, lists)


def _use_names(gathered: Gathered) -> None:
    """Take the split from the first words of the files' names, where all have one and a class has images of several."""
    splits = [split_at_start(image.file.stem) for image in gathered.images]
    sides = {(image.class_name, split) for image, split in zip(gathered.images, splits, strict=True)}
    if all(splits) and len(sides) > len({class_name for class_name, _ in sides}):
        gathered.images = [replace(image, split=split) for image, split in zip(gathered.images, splits, strict=True)]
        gathered.note = "split given by the names of its files"


def forget(tree: Tree, files: list[Path]) -> None:
    """Files that were used are not left out, nor are folders that hold them alone."""
    inside = [path for path in files if path.is_relative_to(tree.root)]
    used = {tree.path_of(place) for path in inside for place in (path, path.parent)}
    tree.left_out = [item for item in tree.left_out if item.path not in used]
