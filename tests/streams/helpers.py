"""Imported datasets, fabricated."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fomo.data.card import DatasetCard
from fomo.data.importing.split_writer import SplitWriter
from fomo.data.shards import write_card
from fomo.data.stored_images import pixel_digest
from tests.fomo.helpers import encoded, picture

Pictures = Sequence[tuple[str | None, int | Image.Image]]
"""Class, if it has one, and a picture or the number of one."""


def shards(root: Path, name: str, splits: Mapping[str, Pictures], **card: Any) -> Path:
    """A dataset below ``root``: its classes are those that occur, unless ``classes`` are given."""
    folder = root / name
    folder.mkdir(parents=True)
    used = sorted({label for pictures in splits.values() for label, _ in pictures if label is not None})
    classes = tuple(card.pop("classes", used))
    for split, pictures in splits.items():
        writer = SplitWriter(folder, split)
        for label, shown in pictures:
            image = picture(shown, (16, 16)) if isinstance(shown, int) else shown
            about = {"class": label, "captions": [f"a caption of {label}"], "pixels": pixel_digest(image)}
            writer.add("png", encoded(image), about)
        writer.close()
        writer.write_index(classes)
    shutil.rmtree(folder / "records", ignore_errors=True)
    counts = {split: len(pictures) for split, pictures in splits.items()}
    write_card(folder, DatasetCard(name, classes, ("a photo of a {}",), counts, **card))
    return folder
