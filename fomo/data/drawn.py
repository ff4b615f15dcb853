"""A sample on its way into a batch, and what was left out before it."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image


class Skipped(NamedTuple):
    """Samples that cannot be used."""

    where: str
    """The file, and the key of the sample where it is a single one."""
    reason: str
    number: int
    """How many."""


class Drawn(NamedTuple):
    """A sample to train on."""

    image: Image.Image
    """RGB."""
    captions: Sequence[str]
    """At least one."""
    skipped: tuple[Skipped, ...] = ()
    """What had to be left out to come to this sample."""
