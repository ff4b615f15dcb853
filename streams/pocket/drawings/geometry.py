"""Unit outlines and turned coordinate grids: what the drawn and the computed images have in common.

Unit coordinates run from -1 to 1, x to the right and y down, before an image is turned and moved.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas

Points = np.ndarray
"""Corners of a polygon [n, 2] in unit coordinates."""

Pixels = list[tuple[float, float]]
"""Corners of a polygon in pixels of the big canvas."""


def polygon(*corners: float) -> Points:
    """Corners written as x, y, x, y, ..."""
    return np.array(corners, dtype=float).reshape(-1, 2)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """An upright rectangle from its four edges, in unit coordinates."""
    return polygon(left, top, right, top, right, bottom, left, bottom)


def ellipse(
    x: float, y: float, width: float, height: float | None = None, start: float = 0, stop: float = 360, n: int = 24
) -> Points:
    """Points on an ellipse or on an arc of one.

    Args:
        x: the centre, from left to right.
        y: the centre, from top to bottom.
        width: half-axis along x.
        height: half-axis along y; ``None`` makes a circle.
        start: first angle in degrees, clockwise from the right.
        stop: last angle in degrees, left out where the ellipse is closed.
        n: number of points.
    """
    angles = np.deg2rad(np.linspace(start, stop, n, endpoint=stop - start < 360))
    height = width if height is None else height
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def sector(x: float, y: float, radius: float, start: float, stop: float) -> Points:
    """A slice of a pie of centre (x, y), between two angles in degrees."""
    return np.concatenate([polygon(x, y), ellipse(x, y, radius, start=start, stop=stop)])


def band(x: float, y: float, outer: float, inner: float, start: float, stop: float) -> Points:
    """A piece of a ring of centre (x, y) and of two radii, between two angles in degrees."""
    edge = ellipse(x, y, outer, start=start, stop=stop, n=16)
    back = ellipse(x, y, inner, start=stop, stop=start, n=16)
    return np.concatenate([edge, back])


def beam(x0: float, y0: float, x1: float, y1: float, width: float) -> Points:
    """A straight stroke of some ``width`` from (x0, y0) to (x1, y1), as a rectangle."""
    across = np.array([y0 - y1, x1 - x0]) * width / 2 / np.hypot(x1 - x0, y1 - y0)
    start = np.array([x0, y0])
    stop = np.array([x1, y1])
    return np.stack([start + across, stop + across, stop - across, start - across])


def moved(points: Points, x: float, y: float) -> Points:
    """The outline ``points`` [n, 2], moved by (x, y)."""
    return points + np.array([x, y])


def place_all(
    rng: Generator, parts: Sequence[Points], size: float = 0.4, shift: float = 0.07, turn: float = 12.0
) -> list[Pixels]:
    """Several outlines scaled, turned and moved as one body: corners in pixels of the big canvas.

    Args:
        rng: the image's generator.
        parts: outlines [n, 2] in unit coordinates.
        size: half-size of the body, as a share of the canvas.
        shift: how far its centre may move along each axis, as a share of the canvas.
        turn: largest turn to either side, in degrees.
    """
    ends = np.cumsum([len(part) for part in parts])
    placed = canvas.place(rng, np.concatenate(parts), size, shift, turn)
    return [placed[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]


@lru_cache(maxsize=4)
def grid(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y [pixels, pixels] of every pixel centre of a square image, in unit coordinates; read only."""
    line = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels * 2 - 1
    x, y = np.meshgrid(line, line)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def turned(
    rng: Generator, pixels: int = canvas.BIG, size: float = 1.0, shift: float = 0.1, turn: float = 180.0
) -> tuple[np.ndarray, np.ndarray]:
    """u and v [pixels, pixels]: where every pixel of an image lies in a plane that is scaled, turned and moved.

    Args:
        rng: the image's generator.
        pixels: side of the image.
        size: scale of the plane; at 1 its unit square fills the image.
        shift: how far the plane may move along each axis, as a share of the image.
        turn: largest turn to either side, in degrees.
    """
    x, y = grid(pixels)
    angle = np.deg2rad(rng.uniform(-turn, turn))
    scale = np.float32(1 / (size * rng.uniform(0.88, 1.12)))
    cos = np.float32(np.cos(angle)) * scale
    sin = np.float32(np.sin(angle)) * scale
    dx, dy = rng.uniform(-2 * shift, 2 * shift, 2).astype(np.float32)
    return (x - dx) * cos + (y - dy) * sin, (y - dy) * cos - (x - dx) * sin


def grainy(rng: Generator, image: Image.Image, strength: float = 8.0) -> Image.Image:
    """The finished image with pixel noise, which is nine times cheaper at 32 pixels than on the big canvas."""
    return canvas.grain(rng, canvas.finish(image), strength)
