"""Colours of the general concepts: none has the name of a colour of the held-out set."""

from typing import NamedTuple

from numpy.random import Generator

from streams.pocket.drawings.canvas import Color, contrast, jitter

PAINTS: dict[str, Color] = {
    "crimson": (165, 15, 45),
    "teal": (0, 120, 120),
    "navy": (20, 25, 90),
    "lime": (165, 225, 40),
    "maroon": (100, 15, 30),
    "beige": (230, 215, 180),
    "golden": (215, 165, 35),
    "turquoise": (60, 200, 180),
    "violet": (110, 70, 215),
    "olive": (110, 115, 30),
    "salmon": (245, 140, 120),
    "charcoal": (55, 58, 65),
    "silver": (190, 195, 200),
    "ivory": (250, 245, 225),
}


class Paint(NamedTuple):
    """A colour and its name."""

    name: str
    color: Color


def paint(rng: Generator) -> Paint:
    """One of the paints, jittered."""
    name = tuple(PAINTS)[rng.integers(len(PAINTS))]
    return Paint(name, jitter(rng, PAINTS[name], 14))


def paint_pair(rng: Generator, least: float = 130.0) -> tuple[Paint, Paint]:
    """Ink and ground that can be told apart."""
    while True:
        ink = paint(rng)
        ground = paint(rng)
        if contrast(ink.color, ground.color) >= least:
            return ink, ground
