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


class Source(NamedTuple):
    """Where a sample is from, in numbers that are the same throughout a run; -1 for what it does not have."""

    label: int = -1
    """Its concept: the number in the order of the stream. Samples of P have none."""
    task: int = -1
    """The task (from 1) that it was new in. Samples of P have none."""
    dataset: int = -1
    """The number of its dataset, :class:`fomo.stream.definition.StreamNames` has the names."""
    sample: int = -1
    """Its number in the dataset, unique there. In tar files read in sequence: file · 2⁴⁰ + where its image begins."""


class Drawn(NamedTuple):
    """A sample to train on."""

    image: Image.Image
    """RGB."""
    captions: Sequence[str]
    """At least one."""
    skipped: tuple[Skipped, ...] = ()
    """What had to be left out to come to this sample."""
    source: Source = Source()
