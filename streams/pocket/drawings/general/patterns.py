"""Patterns and grounds of two paints, in any orientation."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.general.paints import paint_pair
from streams.pocket.drawings.generator import Picture, PoolFamily

Share = np.ndarray
"""How much of the ink is seen at every pixel, [64, 64] in [0, 1]."""
PIXELS = 64


def _weave(rng: Generator, u: Share, v: Share) -> Share:
    """Ribbons that pass over and under each other."""
    over = (np.floor(u) + np.floor(v)) % 2 > 0
    return np.where(over, np.abs((u % 1) - 0.5) < 0.33, np.abs((v % 1) - 0.5) < 0.33)


def _plaid(rng: Generator, u: Share, v: Share) -> Share:
    """Broad bands that cross, darker where they do."""
    return ((u % 1 < 0.4).astype(float) + (v % 1 < 0.4)) / 2


def _honeycomb(rng: Generator, u: Share, v: Share) -> Share:
    """Cells with three walls to a corner."""
    waves = (np.cos(2 * np.pi * (np.cos(a) * u + np.sin(a) * v)) for a in np.deg2rad((0, 60, 120)))
    return sum(waves) < -0.75


def _scales(rng: Generator, u: Share, v: Share) -> Share:
    """Round scales in rows, each over the row before."""
    row = np.floor(v)
    across = (u + 0.5 * (row % 2)) % 1 - 0.5
    return np.abs(np.hypot(across, (v % 1) * 0.9) - 0.45) < 0.12


def _wood(rng: Generator, u: Share, v: Share) -> Share:
    """Long uneven fibres around knots."""
    bend = 0.6 * np.sin(u * 0.9 + rng.uniform(0, 6.3)) + 0.3 * np.sin(u * 2.3)
    return 0.5 + 0.5 * np.sin(5 * (v + bend * np.exp(-(v**2) * 0.3)))


def _marble(rng: Generator, u: Share, v: Share) -> Share:
    """Thin veins that wander."""
    vein = u + 0.8 * np.sin(v * 1.7 + rng.uniform(0, 6.3)) + 0.5 * np.sin(2.9 * u - 1.3 * v)
    return np.exp(-6 * np.abs(np.sin(vein * 1.4)))


def _gradient(rng: Generator, u: Share, v: Share) -> Share:
    """One colour that fades into the other."""
    return np.clip(0.5 + u / 6, 0, 1)


def _confetti(rng: Generator, u: Share, v: Share) -> Share:
    """Loose scraps of all sizes."""
    scraps = np.zeros_like(u, dtype=bool)
    for x, y, w, h in zip(*rng.uniform(-3, 3, (2, 26)), *rng.uniform(0.12, 0.45, (2, 26)), strict=True):
        scraps |= (np.abs(u - x) < w) & (np.abs(v - y) < h)
    return scraps


def _bubbles(rng: Generator, u: Share, v: Share) -> Share:
    """Loose circles of all sizes, as lines."""
    lines = np.zeros_like(u, dtype=bool)
    for x, y, r in zip(*rng.uniform(-3, 3, (2, 12)), rng.uniform(0.4, 1.1, 12), strict=True):
        lines |= np.abs(np.hypot(u - x, v - y) - r) < 0.14
    return lines


def _galaxy(rng: Generator, u: Share, v: Share) -> Share:
    """Two arms around a bright core."""
    r = np.hypot(u, v)
    arms = 0.5 + 0.5 * np.cos(2 * np.arctan2(v, u) - 2.2 * r)
    return np.clip(np.exp(-r * 0.8) + arms * np.exp(-r * 0.35) * 0.8, 0, 1)


PATTERNS: dict[str, Callable[[Generator, Share, Share], Share]] = {
    "woven ribbons": _weave,
    "plaid": _plaid,
    "honeycomb": _honeycomb,
    "fish scales": _scales,
    "wood": _wood,
    "marble": _marble,
    "a gradient": _gradient,
    "confetti": _confetti,
    "bubbles": _bubbles,
    "a galaxy": _galaxy,
}
_PATTERNS = tuple(PATTERNS.values())


def draw_pattern(rng: Generator, label: int) -> Picture:
    """A pattern in one paint on another."""
    ink, ground = paint_pair(rng, 100)
    u, v = geometry.turned(rng, PIXELS, size=1 / rng.uniform(2.4, 3.6), shift=0.3)
    share = np.asarray(_PATTERNS[label](rng, u, v), np.float32)
    image = canvas.finish(canvas.blend(share, ink.color, ground.color))
    return Picture(canvas.grain(rng, image, rng.uniform(0, 9)), (f"{ink.name} and {ground.name}",))


FAMILIES = (
    PoolFamily("patterns", tuple(PATTERNS), ("{} wallpaper", "a background of {}", "seamless {}"), draw_pattern),
)
