"""``thumbnails.json``: small images of the stream, kept at a run's start for pages that are made without the data."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import THUMBNAILS
from fomo.system.checks import is_count, is_strings
from fomo.system.reading import read_json
from fomo.system.writing import write_json

SCHEMA = "fomo.thumbnails/1"
JPEG = re.compile(r"/9j/[A-Za-z0-9+/]+={0,2}")
"""The bytes of a JPEG file in base64."""


@dataclass(frozen=True)
class Thumbnail:
    """An image of a dataset, as the base64 of a JPEG file; ``label`` is its class, empty where it has none.

    ``task`` is the one that brings its concept, from 1; 0 for what is held out.
    """

    task: int
    dataset: str
    label: str
    jpeg: str


def write_thumbnails(run: Path, images: Sequence[Thumbnail]) -> None:
    """Write the file into a run folder."""
    write_json(run / THUMBNAILS, {"schema": SCHEMA, "images": list(map(asdict, images))})


def read_thumbnails(run: Path) -> list[Thumbnail]:
    """The images of a run folder.

    Raises:
        FomoError: ``thumbnails.json`` is not there, or holds something else.
    """
    path = run / THUMBNAILS
    values = read_json(path)
    images = values.get("images") if isinstance(values, dict) else None
    if not isinstance(images, list) or not all(map(_is_thumbnail, images)):
        raise FomoError(f"{path}: not the thumbnails of a run.")
    return [Thumbnail(each["task"], each["dataset"], each["label"], each["jpeg"]) for each in images]


def _is_thumbnail(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and is_count(values.get("task"))
        and is_strings([values.get(key) for key in ("dataset", "label", "jpeg")])
        and JPEG.fullmatch(values["jpeg"]) is not None
    )
