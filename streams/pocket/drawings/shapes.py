"""Filled shapes and small marks, as masks; the retention sets and the pool paint them differently."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from streams.pocket.drawings.canvas import BIG, SCALE, draw_on, place

Points = NDArray[np.float64]
Mask = NDArray[np.float32]
"""[32, 32], one inside and zero outside."""


def _polar(radii: list[float]) -> Points:
    """Points at equal angles, the first one straight up."""
    angle = np.linspace(0, 2 * np.pi, len(radii), endpoint=False) - np.pi / 2
    unit: Points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points: Points = unit * np.array(radii)[:, None]
    return points


def _cross(arm: float = 0.34) -> Points:
    x = [-arm, arm, arm, 1, 1, arm, arm, -arm, -arm, -1, -1, -arm]
    y = [-1, -1, -arm, -arm, arm, arm, 1, 1, arm, arm, -arm, -arm]
    return np.stack([x, y], axis=1)


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 17
    return np.stack([np.sin(t) ** 3, y], axis=1)


def _moon() -> Points:
    """A crescent, thick enough to survive 32 pixels."""
    t = np.linspace(-0.75 * np.pi, 0.75 * np.pi, 30)
    outer = np.stack([0.15 - np.cos(t), np.sin(t)], axis=1)
    bite = np.linspace(outer[-1, 1], outer[0, 1], 20)
    inner = np.stack([outer[0, 0] - 1.15 * np.sqrt(np.maximum(0, 1 - (bite / bite[0]) ** 2)), bite], axis=1)
    return np.concatenate([outer, inner])


def _half_circle() -> Points:
    t = np.linspace(0, np.pi, 24)
    return np.stack([np.cos(t), 0.45 - np.sin(t)], axis=1)


_CIRCLE = _polar([0.9] * 40)
_SQUARE = np.array([[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8]])

# The first outline is filled, the others are cut out of it.
SHAPES: dict[str, tuple[Points, ...]] = {
    "circle": (_CIRCLE,),
    "square": (_SQUARE,),
    "triangle": (np.add(_polar([1.1] * 3), [0.0, 0.2]),),
    "star": (_polar([1.1, 0.45] * 5),),
    "cross": (_cross(),),
    "heart": (_heart(),),
    "ring": (_polar([1.0] * 40), _polar([0.56] * 40)),
    "moon": (_moon(),),
    "hexagon": (_polar([1.0] * 6),),
    "half circle": (_half_circle(),),
}

# Marks to be counted; the round one belongs to the retention set.
MARKS: dict[str, Points] = {
    "round": _CIRCLE,
    "square": _SQUARE,
    "triangle": _polar([1.1] * 3),
    "diamond": _polar([1.1] * 4),
    "oval": _CIRCLE * [1.15, 0.7],
    "octagon": _polar([1.0] * 8),
}


def reduced(mask: Image.Image) -> Mask:
    """A big mask of 8 bits, averaged down to 32 pixels."""
    share: Mask = np.asarray(mask.reduce(SCALE), dtype=np.float32) / np.float32(255)
    return share


def shape_mask(rng: Generator, name: str, size: float = 0.37, turn: float = 14.0) -> Mask:
    """One shape, a little moved, turned and scaled.

    Args:
        rng: the image's generator.
        name: a key of ``SHAPES``.
        size: its half-size, as a share of the image.
        turn: largest turn to either side, in degrees.
    """
    outlines = SHAPES[name]
    points = place(rng, np.concatenate(outlines), size=size, shift=0.08, turn=turn)
    layer = Image.new("L", (BIG, BIG), 0)
    start = 0
    for number, outline in enumerate(outlines):
        draw_on(layer).polygon(points[start : start + len(outline)], fill=255 if number == 0 else 0)
        start += len(outline)
    return reduced(layer)


def _spread(rng: Generator, count: int) -> Points:
    """Centres in different cells of a 3 by 3 grid, so that no two marks touch."""
    cells = rng.permutation(9)[:count]
    grid = np.stack([cells % 3, cells // 3], axis=1) - 1.0
    return BIG / 2 + BIG * 0.29 * grid + rng.uniform(-0.035, 0.035, (count, 2)) * BIG


def marks_mask(rng: Generator, outline: Points, count: int) -> Mask:
    """``count`` equal marks of one ``outline`` [n, 2] that do not touch."""
    layer = Image.new("L", (BIG, BIG), 0)
    pen = draw_on(layer)
    radius = BIG * rng.uniform(0.085, 0.125)
    for centre in _spread(rng, count):
        pen.polygon([(float(x), float(y)) for x, y in outline * radius + centre], fill=255)
    return reduced(layer)
