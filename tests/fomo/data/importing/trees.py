"""Small trees of images for imports, and what came of them."""

from itertools import count
from pathlib import Path
from typing import Any

from fomo.data.card import SPLITS, DatasetCard
from fomo.data.importing.folder import folder_source
from fomo.data.importing.gathered import ImportOptions
from fomo.data.importing.job import ImportSource, bring_in
from fomo.data.importing.planning import Rules
from fomo.data.shards import open_dataset
from tests.fomo.helpers import picture, put

COLOURS = ("red", "green", "blue")
PARTS = {"train": 10, "val": 3, "test": 6}
"""Images of a class by the folder of its split."""


def fill(root: Path, spec: dict[str, int], start: int = 0) -> Path:
    """A tree with so many images in each folder, no two of them alike."""
    numbers = count(start)
    for folder, number in spec.items():
        for place in range(number):
            put(root / folder / f"{place:03d}.png", picture(next(numbers)))
    return root


def options(**given: Any) -> ImportOptions:
    """Options of an import, those of its rules among them."""
    rules = {key: given.pop(key) for key in ("splits", "conflicts") if key in given}
    return ImportOptions(Rules(**rules), **given)


def brought_in(source: ImportSource, out: Path) -> DatasetCard:
    """The card of an import."""
    return bring_in(source, out)


def import_folder(root: Path, **given: Any) -> DatasetCard:
    """The card of the tree ``root`` as dataset ``mine`` beside it."""
    return bring_in(folder_source(root, "mine", options=options(**given)), root.parent / "out")


def sizes(card: DatasetCard) -> tuple[int, int, int]:
    """The numbers of training, validation and test images."""
    return tuple(card.num_samples[split] for split in SPLITS)  # type: ignore[return-value]


def samples(root: Path) -> dict[str, list[tuple[str | None, bytes, list[str]]]]:
    """Class, pixels and captions of every sample of ``mine``, by split."""
    data = open_dataset(root.parent / "out" / "mine")
    found = {}
    for split in SPLITS:
        if data.card.num_samples[split]:
            part = data.split(split)
            names = [data.card.classes[target] if target >= 0 else None for target in part.targets]
            found[split] = [(n, part.image(i).tobytes(), list(part.captions(i))) for i, n in enumerate(names)]
    return found
