"""What a pocket dataset is, and a family of the pool: classes, words, and a function that draws one image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from numpy.random import Generator
from PIL import Image

Draw = Callable[[Generator, int], Image.Image]
"""``draw(rng, label)`` returns one 32-pixel RGB image of class ``label``."""


@dataclass(frozen=True)
class PocketDataset:
    """A generated dataset.

    ``role`` is ``adaptation`` or ``retention``; ``domain`` says what kind of image is shown. ``templates`` hold one
    ``{}`` for the class name; the first is the primer prompt.
    """

    name: str
    role: str
    domain: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    draw: Draw


class Picture(NamedTuple):
    """An image and the words for what it shows beside its concept."""

    image: Image.Image
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class PoolFamily:
    """One kind of image of the pretraining pool.

    ``templates`` hold one ``{}`` for the class name. ``draw(rng, label)`` returns one picture of class ``label``.
    """

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    draw: Callable[[Generator, int], Picture]
