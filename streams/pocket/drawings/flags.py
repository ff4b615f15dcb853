"""Flags of sixteen countries, waving."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import PocketDataset

HEIGHT = 24
WIDTH = 36

DYES: dict[str, canvas.Color] = {
    "red": (205, 20, 35),
    "white": (245, 245, 245),
    "blue": (10, 50, 150),
    "sky": (0, 100, 190),
    "green": (0, 130, 70),
    "black": (15, 15, 15),
    "yellow": (252, 210, 10),
    "orange": (250, 135, 30),
}

Cloth = np.ndarray
"""A flag lying flat [HEIGHT, WIDTH, 3]."""


def _cloth(dye: str) -> Cloth:
    return np.tile(np.array(DYES[dye], np.float32), (HEIGHT, WIDTH, 1))


def columns(*dyes: str) -> Cloth:
    """Upright stripes of equal width."""
    cloth = _cloth(dyes[0])
    for number, dye in enumerate(dyes):
        cloth[:, number * WIDTH // len(dyes) :] = DYES[dye]
    return cloth


def rows(*dyes: str) -> Cloth:
    """Level stripes of equal height."""
    cloth = _cloth(dyes[0])
    for number, dye in enumerate(dyes):
        cloth[number * HEIGHT // len(dyes) :] = DYES[dye]
    return cloth


def nordic(ground: str, cross: str) -> Cloth:
    """A cross whose upright lies left of the middle."""
    cloth = _cloth(ground)
    cloth[9:15] = cloth[:, 10:16] = DYES[cross]
    return cloth


def swiss(ground: str, cross: str) -> Cloth:
    """A short cross in the middle."""
    cloth = _cloth(ground)
    cloth[9:15, 10:26] = cloth[4:20, 15:21] = DYES[cross]
    return cloth


def disc(ground: str, spot: str) -> Cloth:
    """A disc in the middle."""
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    cloth = _cloth(ground)
    cloth[np.hypot(y - HEIGHT / 2 + 0.5, x - WIDTH / 2 + 0.5) < 7.5] = DYES[spot]
    return cloth


Pattern = tuple[Callable[..., Cloth], tuple[str, ...]]

FLAGS: dict[str, Pattern] = {
    "france": (columns, ("blue", "white", "red")),
    "italy": (columns, ("green", "white", "red")),
    "belgium": (columns, ("black", "yellow", "red")),
    "romania": (columns, ("blue", "yellow", "red")),
    "nigeria": (columns, ("green", "white", "green")),
    "germany": (rows, ("black", "red", "yellow")),
    "russia": (rows, ("white", "blue", "red")),
    "bulgaria": (rows, ("white", "green", "red")),
    "estonia": (rows, ("sky", "black", "white")),
    "ukraine": (rows, ("sky", "yellow")),
    "poland": (rows, ("white", "red")),
    "austria": (rows, ("red", "white", "red")),
    "sweden": (nordic, ("sky", "yellow")),
    "finland": (nordic, ("white", "blue")),
    "switzerland": (swiss, ("red", "white")),
    "japan": (disc, ("white", "red")),
}


@lru_cache(maxsize=len(FLAGS))
def cloth_of(label: int) -> Cloth:
    """The flag of class ``label``, flat; shared, so never written to."""
    paint, dyes = tuple(FLAGS.values())[label]
    return paint(*dyes)


def draw_flag(rng: Generator, label: int) -> Image.Image:
    """A flag in the wind: the plane of the cloth is bent by a wave, whose slope lights it."""
    u, v = geometry.turned(rng, size=rng.uniform(0.58, 0.78), shift=0.1, turn=22)
    phase = np.float32(rng.uniform(3, 6)) * u + np.float32(rng.uniform(0, 2 * np.pi))
    bent = v + np.float32(rng.uniform(0.03, 0.1)) * np.sin(phase)
    row = ((bent / 0.68 + 1) * (HEIGHT / 2)).astype(np.int16)
    column = ((u + 1) * (WIDTH / 2)).astype(np.int16)
    inside = (np.abs(bent) < 0.68) & (np.abs(u) < 1)
    cloth = cloth_of(label)[row.clip(0, HEIGHT - 1), column.clip(0, WIDTH - 1)]
    cloth = cloth * np.float32(rng.uniform(0.6, 1.0)) * (1 + np.float32(0.14) * np.cos(phase))[..., None]
    air = np.asarray(canvas.noise(rng, canvas.any_color(rng)))
    return geometry.grainy(rng, canvas.blend(inside, cloth, air))


DATASETS = (
    PocketDataset(
        name="pocket_flags",
        role="adaptation",
        domain="waving cloth",
        classes=tuple(FLAGS),
        templates=("a photo of the flag of {}", "the national flag of {}", "a flag from {}"),
        draw=draw_flag,
    ),
)
