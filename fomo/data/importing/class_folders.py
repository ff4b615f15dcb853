"""The class and the split of every image in a tree of class folders, by the names of its folders."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from fomo.data.importing.class_names import NameFile, check_told_apart, name_of, read_names
from fomo.data.importing.described import remarks_on_table, row_in, said_split, split_of
from fomo.data.importing.gathered import Gathered, ImportOptions
from fomo.data.importing.part_labels import Labels, labels_of_parts
from fomo.data.importing.planning import GIVEN, IGNORE
from fomo.data.importing.split_lists import TABLE_ENDS, is_named_split, splits_by_list
from fomo.data.importing.splits import WAYS, Parts, num_common, says_nothing, split_at_start, split_folders
from fomo.data.importing.tree import Tree
from fomo.data.sources import Location
from fomo.errors import FomoError

NUM_LOOKED_AT = 8
Placed: TypeAlias = dict[Parts, tuple[str, Parts]]
"""Of each folder that holds images its split (empty: none is given) and the names that make its class."""


def gather(tree: Tree, options: ImportOptions) -> Gathered:
    """Every image of a tree with its class and its split; what has no place is left out.

    Raises:
        FomoError: the split is not clear; two folders give one class; a class has no name.
    """
    placed, note = place(tree, options)
    outer = outer_folder(placed, options)
    if outer:
        tree.remarks.append(remark_on_outer(outer))
        placed = {folder: (split, parts[len(outer) :]) for folder, (split, parts) in placed.items()}
    tree.remarks += _remarks_on_twins(placed, options)
    labels = labels_of_parts(tree, placed)
    if any(parts for _, parts in placed.values()):
        for folder in [folder for folder, (_, parts) in placed.items() if not parts]:
            _leave_out_bare(tree, folder, placed.pop(folder)[0], labels)
    names = read_names(options.classes) if options.classes is not None else None
    classes = {parts: class_name_of(tree, parts, names) for _, parts in placed.values()}
    check_names(tree, placed, classes, options)
    found = [(file, *where) for folder, where in placed.items() for file in tree.images[folder]]
    found += [(file, *where) for file, where in labels.images.items()]
    images = [tree.found(file, classes[parts], split) for file, split, parts in found]
    gathered = Gathered(images, [] if options.classes is None else [options.classes], labels.added_to(note))
    gathered.files += labels.files
    forget(tree, labels.files)
    if options.rules.splits == GIVEN and not note:
        _use_lists(tree, gathered)
    if options.rules.splits == GIVEN:
        use_json(tree, gathered)
        remark_on_tables(tree, gathered)
    return gathered


def _leave_out_bare(tree: Tree, folder: Parts, split: str, labels: Labels) -> None:
    """Leave out the images of a folder that is of no class, but for those that a file gives one."""
    for file in tree.images[folder]:
        if file not in labels.images:
            tree.leave_out(file, "in a part of the split, without a class" if split else "outside of the class folders")


def outer_folder(placed: Placed, options: ImportOptions) -> Parts:
    """The names around all classes, of which there are several; empty where the user says what names a class."""
    ways = {parts for _, parts in placed.values() if parts}
    if len(ways) < 2 or options.depth is not None or options.classes is not None:
        return ()
    ways = {way[:-1] for way in ways}  # the last name is a class's own
    return min(ways)[: num_common(ways)]


def remark_on_outer(outer: Parts) -> str:
    """That a folder around all classes is no part of their names, for people."""
    return (
        f"the folder '{'/'.join(outer)}' lies around all classes and is no part of their names; "
        f"`--depth {len(outer) + 1}` makes it one"
    )


def _remarks_on_twins(placed: Placed, options: ImportOptions) -> list[str]:
    """That folders side by side hold folders of the same names, so that one of both may be no part of a class."""
    below: dict[str, set[Parts]] = defaultdict(set)
    for _, parts in placed.values():
        if len(parts) > 1 and options.depth is None and options.classes is None:
            below[parts[0]].add(parts[1:])
    for one, other in pairwise(sorted(below)):
        same = below[one] & below[other]
        if len(same) >= max(2, len(below[one]) / 2):
            return [
                f"'{one}' and '{other}' hold folders of the same names ('{'/'.join(min(same))}', …), and classes are "
                f"named by both: where these are order within a class, give `--depth 1`; where they are the classes, "
                f"give '{one}' alone as PATH"
            ]
    return []


def remark_on_tables(tree: Tree, gathered: Gathered) -> None:
    """Say which columns of tables part the images in a way that is not used."""
    names = {name for image in gathered.images for name in (image.file.name, image.file.stem)}
    stems = {image.file.with_suffix("") for image in gathered.images}
    for path in tree.texts:
        if path.suffix.lower() in TABLE_ENDS and path.with_suffix("") not in stems:
            tree.remarks += remarks_on_table(path, names, gathered.note, is_used=path in gathered.files)


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


def check_names(tree: Tree, placed: Placed, classes: Mapping[Parts, str], options: ImportOptions) -> None:
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
    gathered.files += lists
    for path in by_path.keys() - splits.keys():
        tree.leave_out(by_path[path].file, "in no list of the split")
    forget(tree, lists)


def use_json(tree: Tree, gathered: Gathered) -> None:
    """Take the split from the JSON beside each image, where that of the first ones says one.

    Raises:
        FomoError: it says another split than what gave one before, or what is none.
    """
    beside = {image.path: path for image in gathered.images if (path := tree.beside(image.file, ".json")) is not None}
    if not any(said_split(row_in(Location(path))) for path in list(beside.values())[:NUM_LOOKED_AT]):
        return
    images = []
    for image in gathered.images:
        path = beside.get(image.path)
        said = said_split(row_in(Location(path))) if path is not None else ""
        split = split_of(said, f"'{path}'") or image.split
        if gathered.note and split != image.split:
            raise FomoError(f"'{path}' says '{said}', and the {image.split} split was {gathered.note[6:]}: {WAYS}.")
        images.append(replace(image, split=split))
    gathered.images = images
    gathered.note = gathered.note or "split given by the JSON beside its images"
    gathered.files += beside.values()
    forget(tree, list(beside.values()))


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
