"""Imported datasets, fabricated, and streams over them."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fomo.cli import main
from fomo.data.card import DatasetCard
from fomo.data.importing.split_writer import SplitWriter
from fomo.data.shards import write_card
from fomo.data.stored_images import pixel_digest
from fomo.stream.definition import Stream
from streams import build_stream, file_stream
from tests.fomo.helpers import encoded, picture, put

Images = Sequence[tuple[str | None, int | Image.Image]]
"""Class, if it has one, and an image or the number of one."""


def shards(root: Path, name: str, splits: Mapping[str, Images], **card: Any) -> Path:
    """A dataset below ``root``: its classes are those that occur, unless ``classes`` are given."""
    folder = root / name
    folder.mkdir(parents=True)
    used = sorted({label for images in splits.values() for label, _ in images if label is not None})
    classes = tuple(card.pop("classes", used))
    for split, images in splits.items():
        writer = SplitWriter(folder, split)
        for label, shown in images:
            image = picture(shown, (16, 16)) if isinstance(shown, int) else shown
            about = {"class": label, "captions": [f"a caption of {label}"], "pixels": pixel_digest(image)}
            writer.add("png", encoded(image), about)
        writer.close()
        writer.write_index(classes)
    shutil.rmtree(folder / "records", ignore_errors=True)
    counts = {split: len(images) for split, images in splits.items()}
    write_card(folder, DatasetCard(name, classes, ("a photo of a {}",), counts, **card))
    return folder


def built(tmp_path: Path, num_tasks: int = 3, seed: int = 0, **changes: object) -> Stream:
    """A stream of named datasets, as a run opens it."""
    values: dict[str, Any] = {
        "name": "mine",
        "adaptation": ["pocket_flags", "pocket_solids+++cube"],
        "retention": ["pocket_counting"],
        "pool_size": 0,
        "ordering": "random",
        "root": str(tmp_path / "data"),
    }
    return build_stream(**(values | changes)).open(num_tasks, seed, "test")


def from_file(tmp_path: Path, entries: list[str], num_tasks: int = 2, **changes: object) -> Stream:
    """A stream over a file of ``entries``, as a run opens it."""
    path = put(tmp_path / "stream.json", json.dumps(entries))
    values: dict[str, Any] = {"name": "file", "path": str(path), "root": str(tmp_path / "data"), "pool_size": 0}
    return file_stream(**(values | changes)).open(num_tasks, 0, "test")


def imported(tmp_path: Path, name: str) -> Path:
    """A dataset of three classes of eight images, brought in by the command."""
    for number in range(24):
        place = tmp_path / f"tree of {name}" / f"kind {number % 3}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place)
    root = tmp_path / "data"
    main(["data", "import", "folder", str(place.parents[1]), "--name", name, "--out", str(root), "--workers=1"])
    return root / name
