"""A sample on its way into a batch, and what was left out before it."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image


class Skipped(NamedTuple):
    """Something that cannot be used: where it lies, why, how many."""

    where: str
    reason: str
    number: int


class Drawn(NamedTuple):
    """Picture (RGB) and texts of a sample; ``skipped`` names what had to be left out to come to it."""

    image: Image.Image
    captions: Sequence[str]
    skipped: tuple[Skipped, ...] = ()
