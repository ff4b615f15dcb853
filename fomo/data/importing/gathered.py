"""What the imports of image files share: how a tree is to be read, and the way from found images to a source."""

import hashlib
import json
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from fomo.data.card import DatasetCard
from fomo.data.importing.captions import PROMPT
from fomo.data.importing.found_image import FoundImage, look
from fomo.data.importing.job import (
    CHUNK,
    NOTES,
    ImportPlan,
    ImportSource,
    Tick,
    check_size,
    fingerprint,
    resumed,
    shown,
)
from fomo.data.importing.planning import GIVEN, IGNORE, Rules, planned
from fomo.data.importing.tree import Tree, find
from fomo.data.stored_images import EXTENSIONS
from fomo.errors import FomoError, check_allowed
from fomo.system.workers import Run, batched

TEMPLATES = (PROMPT, "{}")


@dataclass(frozen=True)
class ImportOptions:
    """How a tree is to be read.

    ``classes`` is a file of names for classes that are identifiers. ``depth`` says how many folders make a class, those
    below being order within it. Links into the folder ``links`` are followed.
    """

    rules: Rules = field(default_factory=Rules)
    classes: Path | None = None
    depth: int | None = None
    links: Path | None = None

    def __post_init__(self) -> None:
        check_allowed(
            self.depth is None or self.depth >= 1,
            f"--depth {self.depth}",
            "1 and above, the number of folders that name a class",
        )
        if self.links is not None and not self.links.is_dir():
            raise FomoError(f"--links '{self.links}' is not a folder: give the one that links may lead into.")


AS_FOUND = ImportOptions()


@dataclass
class Gathered:
    """Images with class and split, the files that say so, and how the split was given (empty: it was not)."""

    images: list[FoundImage]
    files: list[Path] = field(default_factory=list)
    note: str = ""


def found_tree(root: Path, size: int | None, options: ImportOptions) -> Tree:
    """The images below ``root``; refused are what is no folder, a ``size`` that no image can have, and no image."""
    if not root.is_dir():
        raise FomoError(f"'{root}' is not a folder: give the folder that holds the class folders.")
    check_size(size)
    tree = find(root, options.links)
    if not tree.images:
        raise FomoError(f"no image in '{tree.root}': {shown(tree.left_out)}. Allowed: {', '.join(EXTENSIONS)}.")
    return tree


def source_of(kind: str, name: str, size: int | None, tree: Tree, gathered: Gathered, rules: Rules) -> ImportSource:
    """The import of images that were found.

    Args:
        kind: the kind of import, a part of its fingerprint.
        name: the dataset's name.
        size: the shorter side that images are shrunk to.
        tree: where they were found; what it left out is counted.
        gathered: the images.
        rules: how splits are made where none is given, and what is done with labels that disagree.

    Raises:
        FomoError: there is no image, or a class has no usable name.
    """
    images = gathered.images
    if not images:
        raise FomoError(f"no usable image in '{tree.root}': {shown(tree.left_out)}.")
    made = "" if rules.splits in (GIVEN, IGNORE) else f"split made here: {rules.splits}"
    origin = "; ".join(filter(None, (tree.root.resolve().name, made or gathered.note)))
    classes = tuple(sorted({image.class_name for image in images if image.class_name is not None}))
    card = DatasetCard(name, classes, TEMPLATES, {}, kind="classification" if classes else "pairs", source=origin)

    def plan(run: Run, folder: Path, tick: Tick) -> ImportPlan:
        results = resumed(look, batched(images, CHUNK), run, folder / NOTES / "examined", tick)
        return planned(card, images, list(chain.from_iterable(results)), tree.left_out, rules)

    facts = hashlib.sha256()
    for image in images:
        facts.update(json.dumps([image.class_name, image.split, image.captions]).encode())
    beside = [file for image in images for file in (image.text, image.about) if file is not None]
    files = [*(image.file for image in images), *beside, *gathered.files]
    mark = fingerprint(kind, card.to_json(), size, vars(rules), facts.hexdigest(), files=files)
    return ImportSource(name, mark, plan, total=2 * len(images), size=size, remarks=tree.remarks)
