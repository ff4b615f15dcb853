"""Twelve objects in three domains: silhouettes, sketches and textured cut-outs.

The classes and their words are the same in all three, so that a stream can change the domain alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import Draw, PocketDataset
from streams.pocket.drawings.geometry import Pixels, Points, band, beam, box, ellipse, polygon


@dataclass(frozen=True)
class Outline:
    """An object: ``solid`` parts are joined, then ``holes`` are cut out."""

    solid: tuple[Points, ...]
    holes: tuple[Points, ...] = ()


OBJECTS = {
    "house": Outline(
        (box(-0.65, -0.15, 0.65, 0.85), polygon(-0.95, -0.1, 0, -0.95, 0.95, -0.1), box(0.4, -0.9, 0.65, -0.3)),
        (box(-0.2, 0.35, 0.2, 0.85),),
    ),
    "pine tree": Outline(
        (
            polygon(0, -1, 0.45, -0.4, -0.45, -0.4),
            polygon(0, -0.7, 0.6, 0.1, -0.6, 0.1),
            polygon(0, -0.3, 0.75, 0.6, -0.75, 0.6),
            box(-0.13, 0.55, 0.13, 1),
        )
    ),
    "fish": Outline(
        (
            ellipse(-0.2, 0, 0.75, 0.45),
            polygon(0.4, 0, 1, -0.5, 0.85, 0, 1, 0.5),
            polygon(-0.4, -0.3, 0.1, -0.7, 0.2, -0.3),
        ),
        (ellipse(-0.6, -0.1, 0.1, n=10),),
    ),
    "mushroom": Outline(
        (ellipse(0, -0.05, 0.95, 0.85, 180, 360), polygon(-0.25, -0.1, 0.25, -0.1, 0.35, 0.9, -0.35, 0.9)),
        (ellipse(-0.35, -0.4, 0.15, n=12), ellipse(0.3, -0.45, 0.18, n=12)),
    ),
    "lightning": Outline((polygon(0.1, -1, -0.6, 0.15, -0.05, 0.1, -0.3, 1, 0.65, -0.3, 0.08, -0.22, 0.5, -1),)),
    "hourglass": Outline(
        (
            polygon(-0.6, -0.85, 0.6, -0.85, 0.07, 0, 0.6, 0.85, -0.6, 0.85, -0.07, 0),
            box(-0.75, -1, 0.75, -0.75),
            box(-0.75, 0.75, 0.75, 1),
        )
    ),
    "cup": Outline((polygon(-0.8, -0.6, 0.4, -0.6, 0.3, 0.75, -0.65, 0.75), band(0.36, 0, 0.55, 0.32, -95, 100))),
    "bottle": Outline(
        (
            polygon(-0.14, -0.9, 0.14, -0.9, 0.16, -0.4, 0.38, -0.1, 0.38, 1, -0.38, 1, -0.38, -0.1, -0.16, -0.4),
            box(-0.2, -1, 0.2, -0.82),
        ),
        (box(-0.26, 0.2, 0.26, 0.65),),
    ),
    "sailboat": Outline(
        (
            polygon(-0.95, 0.5, 0.95, 0.5, 0.6, 0.95, -0.6, 0.95),
            polygon(-0.1, -0.95, -0.1, 0.38, -0.85, 0.38),
            polygon(0.08, -0.75, 0.08, 0.38, 0.75, 0.38),
            beam(-0.02, -1, -0.02, 0.55, 0.07),
        )
    ),
    "car": Outline(
        (
            polygon(-1, 0.35, -0.95, 0, -0.55, -0.08, -0.3, -0.5, 0.4, -0.5, 0.65, -0.05, 1, 0.05, 1, 0.35),
            ellipse(-0.5, 0.38, 0.26, n=16),
            ellipse(0.55, 0.38, 0.26, n=16),
        ),
        (
            polygon(-0.36, -0.08, -0.2, -0.36, 0.02, -0.36, 0.02, -0.08),
            polygon(0.14, -0.36, 0.33, -0.36, 0.48, -0.08, 0.14, -0.08),
        ),
    ),
    "crown": Outline(
        (
            polygon(-0.85, 0.7, -0.95, -0.35, -0.42, 0.1, 0, -0.6, 0.42, 0.1, 0.95, -0.35, 0.85, 0.7),
            *(ellipse(x, y, 0.13, n=10) for x, y in ((-0.93, -0.4), (0, -0.66), (0.93, -0.4))),
        ),
        (box(-0.7, 0.36, 0.7, 0.5),),
    ),
    "key": Outline(
        (ellipse(-0.58, 0, 0.42), box(-0.25, -0.1, 1, 0.1), box(0.8, 0, 1, 0.4), box(0.45, 0, 0.63, 0.33)),
        (ellipse(-0.62, 0, 0.2, n=16),),
    ),
}
OUTLINES = tuple(OBJECTS.values())


def placed(rng: Generator, label: int, least: float = 0.3) -> tuple[list[Pixels], list[Pixels]]:
    """Solid parts and holes of an object, in pixels of the big canvas.

    The object is mirrored in half of the images, a little taller or wider, and its half-size is a share of the canvas
    from ``least`` to 0.42.
    """
    outline = OUTLINES[label]
    stretch = np.array([rng.choice((-1, 1)) * rng.uniform(0.85, 1), rng.uniform(0.85, 1)])
    parts = [part * stretch for part in (*outline.solid, *outline.holes)]
    pixels = geometry.place_all(rng, parts, rng.uniform(least, 0.42), shift=0.08, turn=25)
    return pixels[: len(outline.solid)], pixels[len(outline.solid) :]


def draw_mask(rng: Generator, label: int, least: float = 0.3) -> Image.Image:
    """255 inside the object, 0 outside, on the big canvas; ``least`` is its smallest half-size as a share."""
    mask = Image.new("L", (canvas.BIG, canvas.BIG), 0)
    pen = ImageDraw.Draw(mask)
    solid, holes = placed(rng, label, least)
    for fill, parts in ((255, solid), (0, holes)):
        for part in parts:
            pen.polygon(part, fill=fill)
    return mask


def draw_silhouette(rng: Generator, label: int) -> Image.Image:
    """A dark object before a bright ground."""
    dark = canvas.jitter(rng, (38, 38, 38), 30)
    image = canvas.noise(rng, canvas.jitter(rng, (215, 215, 215), 40), cells=int(rng.integers(2, 8)))
    image.paste(dark, (0, 0), draw_mask(rng, label))
    return geometry.grainy(rng, image, 6)


def wobbly(rng: Generator, part: Pixels, amount: float) -> Pixels:
    """The outline ``part``, its corners moved by about ``amount`` pixels, the first repeated at the end."""
    moved = np.array(part) + rng.normal(0, amount, (len(part), 2))
    return [(float(x), float(y)) for x, y in (*moved, moved[0])]


def draw_sketch(rng: Generator, label: int) -> Image.Image:
    """Pencil lines on paper."""
    paper = canvas.jitter(rng, (236, 232, 224), 18)
    ink = canvas.jitter(rng, (60, 60, 70), 45)
    width = int(rng.integers(5, 8))
    image = canvas.plain(paper)
    pen = canvas.draw_on(image)
    solid, holes = ([wobbly(rng, part, 1.1) for part in parts] for parts in placed(rng, label))
    for parts in (solid, holes):
        # All lines first, then all insides: lines where two parts overlap disappear.
        for part in parts:
            pen.line(part, fill=ink, width=width, joint="curve")
        for part in parts:
            pen.polygon(part, fill=paper)
    return geometry.grainy(rng, image, 10)


Wave = Callable[[np.ndarray, np.ndarray], np.ndarray]

WAVES: tuple[Wave, ...] = (
    lambda u, v: np.sin(u),
    lambda u, v: np.sin(u) * np.sin(v),
    lambda u, v: np.sin(np.hypot(u, v)),
    lambda u, v: np.sin(u + 2 * np.abs((v / 4) % 2 - 1)),
    lambda u, v: np.sin(u) + np.sin(v) - 0.9,
    lambda u, v: np.sin(u + 1.3 * np.sin(v)) + np.sin(v - 1.7 * np.sin(0.7 * u)),
)


def texture(rng: Generator, wave: Wave, color: canvas.Color) -> np.ndarray:
    """[32, 32, 3]: two tones of ``color`` in the pattern of ``wave``."""
    u, v = geometry.turned(rng, canvas.SIZE, size=1 / rng.uniform(11, 18), shift=1.0)
    dark = np.array(color, np.float32) * np.float32(rng.uniform(0.5, 0.75))
    return np.where((wave(u, v) > 0)[..., None], np.array(color, np.float32), dark)


def draw_textured(rng: Generator, label: int) -> Image.Image:
    """An object cut out of one pattern, laid on another pattern."""
    inside, outside = canvas.color_pair(rng, least=220)
    first, second = rng.choice(len(WAVES), 2, replace=False)
    mask = np.asarray(canvas.finish(draw_mask(rng, label, least=0.4)), np.float32) / 255
    image = canvas.blend(mask, texture(rng, WAVES[first], inside), texture(rng, WAVES[second], outside))
    return canvas.grain(rng, image, 6)


def _domain(name: str, domain: str, templates: tuple[str, ...], draw: Draw) -> PocketDataset:
    return PocketDataset(name, "adaptation", domain, tuple(OBJECTS), templates, draw)


DATASETS = (
    _domain(
        "pocket_silhouettes",
        "silhouette",
        ("a silhouette of a {}", "the dark outline of a {}", "a {} against the light"),
        draw_silhouette,
    ),
    _domain(
        "pocket_sketches",
        "sketch",
        ("a sketch of a {}", "a pencil drawing of a {}", "a {} drawn by hand"),
        draw_sketch,
    ),
    _domain(
        "pocket_textured",
        "textured cut-out",
        ("a patterned {}", "a {} cut out of patterned cloth", "a {} on a patterned cloth"),
        draw_textured,
    ),
)
