"""``fomo data import folder``: a tree of class folders becomes shards.

A folder that directly holds images is a class, named by its path below the root (``animals/big_cats`` is
"animals big cats"), or by a file of names. A split that was made beforehand is used: folders at any level
(:mod:`fomo.data.importing.splits`), lists of files (:mod:`fomo.data.importing.split_lists`), or a table beside the
images (``metadata.jsonl``, ``metadata.csv``), which may say classes and captions too.
"""

import re
from pathlib import Path

from fomo.data.importing.class_folders import forget, gather, use_json
from fomo.data.importing.described import TABLE_ENDS
from fomo.data.importing.gathered import AS_FOUND, ImportOptions, found_tree, source_of
from fomo.data.importing.job import ImportSource
from fomo.data.importing.planning import GIVEN
from fomo.data.importing.tables import gather_described, metadata_tables, names_classes
from fomo.data.importing.tree import Tree
from fomo.errors import FomoError

PARTS_OF_DOWNLOAD = re.compile(r"\d{5,}")
"""Folders as img2dataset numbers them."""


def folder_source(root: Path, name: str, size: int | None = None, options: ImportOptions = AS_FOUND) -> ImportSource:
    """The class folders below ``root``.

    Args:
        root: the folder that holds them.
        name: the dataset's name.
        size: the shorter side that images are shrunk to.
        options: how the tree is to be read.

    Raises:
        FomoError: there is no image; the split is not clear; two folders give classes that cannot be told apart.
    """
    tree = found_tree(root, size, options)
    _check_classes(tree)
    tables = metadata_tables(tree)
    gathered = gather_described(tree, tables, options) if tables else gather(tree, options)
    if len({image.class_name for image in gathered.images}) < 2:
        _check_tables(tree)
    return source_of("folder", name, size, tree, gathered, options.rules)


def _check_classes(tree: Tree) -> None:
    """Refuse numbered folders of images with texts, which are parts of a download and no classes."""
    numbered = all(len(folder) == 1 and PARTS_OF_DOWNLOAD.fullmatch(folder[0]) for folder in tree.images)
    first = next(iter(tree.images.values()))[0]
    if numbered and first.with_suffix(".json").is_file():
        raise FomoError(
            f"'{tree.root}' looks like pairs of image and text that img2dataset wrote, without classes: "
            f"`fomo data import pairs` brings them in."
        )


def _check_tables(tree: Tree) -> None:
    """Refuse a tree whose folders tell no classes apart while a table in it does."""
    for path in tree.texts:
        if path.suffix.lower() in TABLE_ENDS and path.suffix.lower() != ".json" and names_classes(path):
            raise FomoError(
                f"the folders of '{tree.root}' tell no classes apart, and '{path}' names classes: "
                f"`fomo data import table {path}` brings in what it describes."
            )


def pairs_source(root: Path, name: str, size: int | None = None, options: ImportOptions = AS_FOUND) -> ImportSource:
    """The images below ``root`` that have a text or JSON beside them, without classes.

    Args:
        root: the folder that holds them, at any depth.
        name: the dataset's name.
        size: the shorter side that images are shrunk to.
        options: how the tree is to be read; there are no classes to name.

    Raises:
        FomoError: there is no image; the split is not clear.
    """
    tree = found_tree(root, size, options)
    gathered = gather_described(tree, [], options)
    if options.rules.splits == GIVEN:
        use_json(tree, gathered)
    forget(tree, [image.file.with_suffix(".json") for image in gathered.images])
    return source_of("pairs", name, size, tree, gathered, options.rules)
