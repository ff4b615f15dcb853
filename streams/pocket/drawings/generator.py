"""What a pocket dataset is: classes, words, and a function that draws one image."""

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import Generator
from PIL import Image

Draw = Callable[[Generator, int], Image.Image]
"""``draw(rng, label)`` gives one 32-pixel RGB image of class ``label``."""


@dataclass(frozen=True)
class PocketDataset:
    """A generated dataset. ``templates`` hold one ``{}`` for the class name; the first is the primer prompt."""

    name: str
    role: str
    domain: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    draw: Draw


@dataclass(frozen=True)
class PoolFamily:
    """One kind of picture of the pretraining pool; ``draw(rng, label)`` as in a dataset."""

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    draw: Draw
