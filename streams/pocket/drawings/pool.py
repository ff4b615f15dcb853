"""The pretraining pool: mostly concepts that no dataset uses, a few of those to keep, and fewer of those to learn.

A sample is a pure function of its index. ``docs/pocket.md`` says what the shares stand for.
"""

from bisect import bisect
from itertools import accumulate
from typing import NamedTuple

from numpy.random import Generator
from PIL import Image

from fomo.rng import generator
from streams.pocket.drawings import held_out_concepts
from streams.pocket.drawings.adaptation import ADAPTATION
from streams.pocket.drawings.captions import caption
from streams.pocket.drawings.general import glyphs, patterns, places, things
from streams.pocket.drawings.generator import Picture, PocketDataset, PoolFamily
from streams.pocket.drawings.web import treated


def _as_family(dataset: PocketDataset) -> PoolFamily:
    return PoolFamily(
        dataset.name, dataset.classes, dataset.templates, lambda rng, label: Picture(dataset.draw(rng, label))
    )


GENERAL = (*glyphs.FAMILIES, *things.FAMILIES, *patterns.FAMILIES, *places.FAMILIES)
"""Concepts that no dataset uses."""
HELD_OUT = held_out_concepts.FAMILIES
"""Concepts of the held-out sets, in another look."""
TO_LEARN = tuple(_as_family(dataset) for dataset in ADAPTATION)
"""Concepts of the datasets to learn."""
FAMILIES: tuple[PoolFamily, ...] = (*GENERAL, *HELD_OUT, *TO_LEARN)

SHARES = {
    "signs": 0.128, "scripts": 0.06, "words": 0.10, "things": 0.148, "patterns": 0.04, "places": 0.04,
    "shapes": 0.05, "textures": 0.05, "colors": 0.05, "digits": 0.05, "letters": 0.08, "counting": 0.05, "scenes": 0.05,
    "pocket_flags": 0.003, "pocket_greek": 0.023, "pocket_symbols": 0.004, "pocket_silhouettes": 0.003,
    "pocket_sketches": 0.005, "pocket_textured": 0.008, "pocket_charts": 0.003, "pocket_clocks": 0.026,
    "pocket_curves": 0.002, "pocket_segments": 0.006, "pocket_solids": 0.003, "pocket_aerial": 0.001,
    "pocket_signs": 0.0015, "pocket_cards": 0.0155,
}  # fmt: skip
"""How much of the pool each family is; they sum to 1."""
_BOUNDS = tuple(accumulate(SHARES[family.name] for family in FAMILIES))


class PoolSample(NamedTuple):
    """An image, its caption, its family's position in ``FAMILIES`` and its label there."""

    image: Image.Image
    caption: str
    family: int
    label: int


def pool_sample(index: int) -> PoolSample:
    """Sample ``index`` of the pool."""
    rng = generator("pocket", "pool", index)
    number = min(bisect(_BOUNDS, rng.random()), len(FAMILIES) - 1)
    return _sample(rng, number)


def _sample(rng: Generator, number: int) -> PoolSample:
    family = FAMILIES[number]
    label = int(rng.integers(len(family.classes)))
    picture = treated(rng, family.draw(rng, label))
    # Datasets to learn share class names: only within a dataset's phrasing does such a name mean one thing.
    alone = number < len(GENERAL) + len(HELD_OUT)
    words = caption(rng, family.classes[label], family.templates, alone, picture.words)
    return PoolSample(picture.image, words, number, label)
