"""Classes of a part of a split that lies in one folder, from a file that names them: ``val/val_annotations.txt``.

So are Tiny-ImageNet's validation images described, and others' (``val_labels.csv``): class folders for training, one
folder of images to be scored, and a table of files and classes, which are the names of the class folders.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fomo.data.importing.described import read_table
from fomo.data.importing.split_lists import find_images, index_of
from fomo.data.importing.splits import Parts, named_split
from fomo.data.importing.tree import Tree
from fomo.errors import FomoError

LABEL_ENDS = (".txt", ".csv", ".tsv", ".jsonl", ".lst", ".list")


@dataclass
class Labels:
    """Split and class of images whose folder is of no class, and the files that say it."""

    images: dict[Path, tuple[str, Parts]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def added_to(self, note: str) -> str:
        """How the split was given, and what gave the classes of a part of it."""
        return "; ".join([note, *(f"classes of a part by {path.name}" for path in self.files)])


def labels_of_parts(tree: Tree, placed: Mapping[Parts, tuple[str, Parts]]) -> Labels:
    """What files say of images that lie in a part of a split and in no class folder.

    A file is asked if it lies in that part or is named like it, so that an example of what is to be handed in
    (``sample_submission.csv``) labels no test image.

    Args:
        tree: images and texts.
        placed: of each folder that holds images its split, and the names that make its class.

    Raises:
        FomoError: two files say different classes of an image.
    """
    labels = Labels()
    splits = {file: split for folder, (split, _) in placed.items() for file in tree.images[folder]}
    bare = {file for folder, (split, parts) in placed.items() if split and not parts for file in tree.images[folder]}
    classes = _by_name(parts for _, parts in placed.values() if parts)
    beside = {file.with_suffix("") for file in splits}
    texts = [path for path in tree.texts if path.suffix.lower() in LABEL_ENDS and path.with_suffix("") not in beside]
    for path in texts if bare and classes else ():
        below = {file: split for file, split in splits.items() if file.is_relative_to(path.parent)}
        named = named_split(path.stem)
        parts_of = {named.split} if named is not None else set(below.values())
        said = _said(tree, path, below, classes) if len(parts_of) == 1 else {}
        found = {file: (splits[file], each) for file, each in said.items() if file in bare and splits[file] in parts_of}
        wrong = next((file for file, each in found.items() if labels.images.get(file, each) != each), None)
        if wrong is not None:
            raise FomoError(f"'{path}' and another file give '{wrong}' different classes: remove one of them.")
        labels.images |= found
        labels.files += [path] if found else []
    return labels


def _by_name(ways: Iterable[Parts]) -> dict[str, Parts]:
    """Classes by the names of their folders, whole and the last one; without names that several have."""
    found: dict[str, set[Parts]] = {}
    for parts in ways:
        for name in {"/".join(parts), parts[-1]}:
            found.setdefault(name, set()).add(parts)
    return {name: each.pop() for name, each in found.items() if len(each) == 1}


def _said(tree: Tree, path: Path, below: Iterable[Path], classes: Mapping[str, Parts]) -> dict[Path, Parts]:
    """The class of each image below the file's folder that the file names, if it is a table of files and classes."""
    try:
        rows = [row for row in read_table(path) if row.class_name in classes]
    except FomoError:
        return {}
    index = index_of(map(tree.path_of, below)) if rows else {}
    start = "" if path.parent == tree.root else f"{tree.path_of(path.parent)}/"
    images = find_images((row.file for row in rows), index, start)
    return {tree.root / images[row.file]: classes[row.class_name] for row in rows if row.file in images}
