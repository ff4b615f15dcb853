"""From torchvision's objects to a plan for :func:`fomo.data.importing.job.bring_in`, which writes the shards.

A dataset's own splits are taken whole, equal images included, so that scores stay comparable. Where torchvision has
no split one is made: exact duplicates are kept once, then a share of each class is drawn for the test by a seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from fomo import rng
from fomo.data.card import PLAIN, DatasetCard, distinct
from fomo.data.importing.entries import ArrayEntry, FileEntry
from fomo.data.importing.found_image import examine
from fomo.data.importing.job import (
    CHUNK,
    NOTES,
    ImportPlan,
    ImportSource,
    Listed,
    Tick,
    check_size,
    fingerprint,
    listed,
    resumed,
)
from fomo.data.importing.reference import reference_source
from fomo.data.importing.reference_info import read_info
from fomo.data.sources import LeftOut
from fomo.errors import FomoError
from fomo.system.workers import Run, batched
from streams.catalogue import Declaration
from streams.prepare.readers import arrays
from streams.prepare.recipes import DatasetRecipe
from streams.prepare.source import obtain

TEST_SHARE = 0.3
SEED = 0


def prepared(recipe: DatasetRecipe, declaration: Declaration, root: Path, size: int | None = None) -> ImportSource:
    """What to import: a dataset with its own split, or with one made here where torchvision has none.

    Args:
        recipe: how the dataset is had; the import has its name.
        declaration: the dataset in the catalogue.
        root: the folder of the original files, which are downloaded where they lack.
        size: the shorter side that images are shrunk to, in pixels; ``None`` keeps them.

    Raises:
        FomoError: all that a user can mend, in what was asked for and in the files.
    """
    check_size(size)
    root = _folder(root)
    obtain(recipe.archives, root)
    parts = {split: _open(recipe, root, arguments) for split, arguments in (recipe.splits or {"": {}}).items()}
    named = {distinct(recipe.classes(data)) for data in parts.values()}
    if len(named) != 1:
        raise FomoError(f"the splits in '{root}' name different classes: something is missing there.")
    card = _card(recipe, declaration, named.pop())
    mark = fingerprint("prepare", card.to_json(), size, files=[root / archive.content for archive in recipe.archives])
    total = sum(len(data) for data in parts.values())

    def own(run: Run, folder: Path, tick: Tick) -> ImportPlan:
        entries = {split: partial(_own, recipe, data, split, card.classes, root) for split, data in parts.items()}
        return ImportPlan(card, entries)

    def seeded(run: Run, folder: Path, tick: Tick) -> ImportPlan:
        files = sorted(recipe.items(parts[""]))
        paths = (Path(file) for file, _ in files)
        look = partial(examine, decoding=card.decoding)
        digests = resumed(look, batched(paths, CHUNK), run, folder / NOTES / "examined", tick)
        return _seeded(card, files, list(chain.from_iterable(digests)), root)

    if recipe.splits:
        return ImportSource(recipe.name, mark, own, total, size)
    return ImportSource(recipe.name, mark, seeded, 2 * total, size)


def prepared_as_reference(
    recipe: DatasetRecipe, declaration: Declaration, root: Path, info: Path, size: int | None = None
) -> ImportSource:
    """What to import: a dataset with the split of FoMo-in-Flux, under the catalogue's name.

    The reference names files below a folder of the dataset's name, where torchvision unpacks them too.

    Args:
        recipe: how the dataset's original files are had.
        declaration: the dataset in the catalogue.
        root: the folder of the original files, which are downloaded where they lack.
        info: the folder of the reference's JSON files.
        size: the shorter side that images are shrunk to, in pixels; ``None`` keeps them.

    Raises:
        FomoError: all that a user can mend, in what was asked for and in the files.
    """
    name = declaration.name
    root = _folder(root)
    if recipe.items is arrays:
        raise FomoError(
            f"--info: the reference's JSON names image files, and the original '{name}' is no files but arrays. "
            f"With the reference's files: `fomo data import fomo-in-flux PATH --name {name} --info INFO --out ROOT`."
        )
    if root.name != name:
        raise FomoError(f"--source '{root}': with --info the folder's own name must be '{name}'.")
    read_info(info, name, None)
    obtain(recipe.archives, root)
    return reference_source(root.parent, info, name, size=size, describe=declaration.describe)


def _folder(root: Path) -> Path:
    root = root.expanduser().absolute()
    if root.exists() and not root.is_dir():
        raise FomoError(f"--source '{root}' is a file: give a folder.")
    return root


def _open(recipe: DatasetRecipe, root: Path, arguments: Any) -> Any:
    """torchvision's object for a split. Its readers raise anything on files that are damaged or misplaced."""
    try:
        return recipe.reader(str(root), **recipe.arguments, **arguments)
    except Exception as error:
        raise FomoError(
            f"'{root}' does not hold what torchvision's {recipe.reader.__name__} reads ({type(error).__name__}: "
            f"{error}). Remove what is damaged there and run the same command again."
        ) from error


def _card(recipe: DatasetRecipe, declaration: Declaration, classes: tuple[str, ...]) -> DatasetCard:
    files = ", ".join(f"{archive.file} (md5 {archive.md5 or 'not published'})" for archive in recipe.archives)
    rule = f"split made here: {TEST_SHARE:.0%} of each class for test, seed {SEED}, exact duplicates kept once"
    if recipe.splits:
        parts = (f"{split} ({', '.join(f'{k}={v}' for k, v in its.items())})" for split, its in recipe.splits.items())
        rule = f"the dataset's own splits, as torchvision has them: {', '.join(parts)}"
    source = "; ".join(part for part in (f"torchvision {recipe.reader.__name__}", files, rule, recipe.note) if part)
    card = DatasetCard(recipe.name, classes, recipe.templates, {}, source=source, decoding=PLAIN)
    return replace(declaration.describe(card), role=card.role)


def _own(
    recipe: DatasetRecipe, data: Any, split: str, classes: Sequence[str], root: Path, run: Run
) -> Iterator[Listed]:
    """The samples of one of the dataset's own splits: arrays as they come, files in the order of their paths.

    Args:
        recipe: how the dataset is had.
        data: torchvision's object for the split.
        split: our name of the split.
        classes: class names in the order of the targets.
        root: the folder of the original files.
        run: not needed, what is listed here takes no work.
    """
    if recipe.items is arrays:
        for number, (image, target) in enumerate(arrays(data)):
            yield ArrayEntry(f"{split}/{number}", image, classes[target])
    else:
        for file, target in sorted(recipe.items(data)):
            yield FileEntry(root, file, classes[target])


def _seeded(card: DatasetCard, files: list[tuple[str, int]], digests: list[list[str]], root: Path) -> ImportPlan:
    """A split of our own over the usable and distinct images of each class, drawn by a generator of the class.

    Args:
        card: the dataset's card.
        files: path and target of every image.
        digests: of every image, the hash of its pixels, and why it cannot be used or an empty string.
        root: the folder of the original files.
    """
    by_class: dict[int, list[FileEntry]] = {}
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    for (file, target), (digest, content, reason) in zip(files, digests, strict=True):
        entry = FileEntry(root, file, card.classes[target], digest)
        reason = reason or ("exact duplicate" if content in seen else "")
        if reason:
            left_out.append(LeftOut(entry.path, reason))
        else:
            by_class.setdefault(target, []).append(entry)
            seen.add(content)
    splits: dict[str, list[Listed]] = {"train": [], "test": []}
    for target, entries in sorted(by_class.items()):
        drawn = rng.generator(SEED, "split", card.name, card.classes[target]).permutation(len(entries))
        chosen = set(drawn[: num_test(len(entries))].tolist())
        for number, entry in enumerate(entries):
            splits["test" if number in chosen else "train"].append(entry)
    return ImportPlan(card, {split: partial(listed, entries) for split, entries in splits.items()}, left_out)


def num_test(num_samples: int) -> int:
    """How many of ``num_samples`` of a class are tested on: one at least, unless it is the only one."""
    return max(1, round(TEST_SHARE * num_samples)) if num_samples > 1 else 0
