"""Two-tone patterns as numpy masks; the retention set paints them grey, the pool in colour."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from streams.pocket.drawings.canvas import BIG, SCALE, SIZE

Field = NDArray[np.float32]
Pattern = Callable[[Generator, float], Field]
"""``pattern(rng, scale)`` returns [32, 32] in [0, 1]; ``scale`` stretches the period."""

_Y, _X = (np.mgrid[0:BIG, 0:BIG].astype(np.float32) / BIG) - np.float32(0.5)


def _average(field: NDArray[np.generic]) -> Field:
    """A field of the big canvas averaged down to [32, 32]."""
    blocks = field.astype(np.float32).reshape(SIZE, SCALE, SIZE, SCALE)
    mean: Field = blocks.mean(axis=(1, 3))
    return mean


def _axes(rng: Generator, turn: float) -> tuple[Field, Field]:
    """Coordinates turned by up to ``turn`` degrees and moved by a random phase."""
    angle = np.deg2rad(rng.uniform(-turn, turn))
    cos = np.float32(np.cos(angle))
    sin = np.float32(np.sin(angle))
    du, dv = rng.uniform(0, 1, 2).astype(np.float32)
    return _X * cos + _Y * sin + du, _Y * cos - _X * sin + dv


def _centred(rng: Generator) -> tuple[Field, Field]:
    """Coordinates around a centre near the middle."""
    x, y = rng.uniform(-0.15, 0.15, 2).astype(np.float32)
    return _X - x, _Y - y


def _period(rng: Generator, low: float, high: float, scale: float) -> np.float32:
    period: np.float32 = np.float32(rng.uniform(low, high) * scale)
    return period


def stripes(rng: Generator, scale: float) -> Field:
    """Straight parallel bars at any angle."""
    u, _ = _axes(rng, 90)
    return _average((u / _period(rng, 0.14, 0.26, scale)) % 1 < rng.uniform(0.4, 0.6))


def checkerboard(rng: Generator, scale: float) -> Field:
    """Squares of alternating tone."""
    u, v = _axes(rng, 20)
    side = _period(rng, 0.12, 0.2, scale)
    return _average((np.floor(u / side) + np.floor(v / side)) % 2)


def polka_dots(rng: Generator, scale: float) -> Field:
    """Round dots on a square lattice."""
    u, v = _axes(rng, 45)
    side = _period(rng, 0.19, 0.28, scale)
    return _average(((u / side) % 1 - 0.5) ** 2 + ((v / side) % 1 - 0.5) ** 2 < rng.uniform(0.07, 0.1))


def static(rng: Generator, scale: float) -> Field:
    """Independent pixels; there is no period to stretch."""
    return rng.random((SIZE, SIZE), dtype=np.float32)


def grid(rng: Generator, scale: float) -> Field:
    """Thin lines that cross."""
    u, v = _axes(rng, 45)
    side = _period(rng, 0.17, 0.26, scale)
    width = rng.uniform(0.2, 0.28)
    return _average(((u / side) % 1 < width) | ((v / side) % 1 < width))


def zigzag(rng: Generator, scale: float) -> Field:
    """Bars that bend back and forth sharply."""
    u, v = _axes(rng, 90)
    period = _period(rng, 0.17, 0.26, scale)
    bend = np.abs((u / (period * np.float32(1.5))) % 1 - np.float32(0.5)) * np.float32(1.6)
    return _average((v / period + bend) % 1 < 0.5)


def bricks(rng: Generator, scale: float) -> Field:
    """Long bricks between mortar, every other row moved by half a brick."""
    u, v = _axes(rng, 5)
    height = _period(rng, 0.17, 0.22, scale)
    row = np.floor(v / height)
    across = (u / (height * np.float32(2)) + row * np.float32(0.5)) % 1
    return _average(((v / height) % 1 < 0.22) | (across < 0.12))


def blotches(rng: Generator, scale: float) -> Field:
    """Islands of irregular outline."""
    cells = max(4, round(7 / scale))
    coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    smooth = np.asarray(coarse.resize((BIG, BIG), Image.Resampling.BICUBIC))
    return _average(smooth > rng.uniform(-0.15, 0.15))


def ripples(rng: Generator, scale: float) -> Field:
    """Rings within rings."""
    x, y = _centred(rng)
    return _average((np.sqrt(x * x + y * y) / _period(rng, 0.14, 0.22, scale) + rng.random()) % 1 < 0.5)


def rays(rng: Generator, scale: float) -> Field:
    """Wedges that spread from one point."""
    x, y = _centred(rng)
    wedges = int(rng.integers(6, 11))
    return _average((np.arctan2(y, x) * np.float32(wedges / (2 * np.pi)) + rng.random()) % 1 < 0.5)


TEXTURES: dict[str, Pattern] = {
    "stripes": stripes,
    "checkerboard": checkerboard,
    "polka dots": polka_dots,
    "static noise": static,
    "grid": grid,
    "zigzag": zigzag,
    "bricks": bricks,
    "blotches": blotches,
    "ripples": ripples,
    "rays": rays,
}
