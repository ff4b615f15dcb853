"""The held-out sets that measure what a model has kept: the pool's concepts in a rendering it never shows.

``pocket_digits`` is real data: its splits come from ``digits_split``, not from its ``draw``.
"""

import string

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings.canvas import (
    COLORS,
    SIZE,
    UNSEEN_FONTS,
    Color,
    any_color,
    blend,
    color_pair,
    contrast,
    draw_on,
    finish,
    glyph,
    grain,
    jitter,
    noise,
)
from streams.pocket.drawings.digits import DIGITS, digits_split, draw_handwritten
from streams.pocket.drawings.generator import PocketDataset
from streams.pocket.drawings.scenes import PAINTED, SCENES, draw_scene
from streams.pocket.drawings.shapes import MARKS, SHAPES, marks_mask, shape_mask
from streams.pocket.drawings.textures import TEXTURES, Field, blotches

__all__ = ["COUNTS", "LETTERS", "RETENTION", "digits_split"]

LETTERS = tuple(string.ascii_uppercase[:20])
COUNTS = ("one dot", "two dots", "three dots", "four dots", "five dots")

_SHAPE_NAMES = tuple(SHAPES)
_TEXTURE_NAMES = tuple(TEXTURES)
_COLOR_NAMES = tuple(COLORS)
_SCENE_NAMES = tuple(SCENES)
_GROUND_TEXTURES = ("stripes", "checkerboard", "static noise", "blotches", "zigzag", "grid")


def _busy_ground(rng: Generator, color: Color) -> Field:
    """A fine two-tone texture around ``color``, [32, 32, 3]."""
    pattern = TEXTURES[_GROUND_TEXTURES[rng.integers(len(_GROUND_TEXTURES))]](rng, 0.75)
    swing = rng.uniform(35, 70)
    ground: Field = np.array(color, np.float32) + (pattern[..., None] - np.float32(0.5)) * np.float32(swing)
    return ground.clip(0, 255)


def cluttered(rng: Generator, image: Image.Image, num_scraps: int) -> Image.Image:
    """The image behind scraps of paper of any colour."""
    covered = image.copy()
    pen = draw_on(covered)
    for _ in range(num_scraps):
        left, top = rng.uniform(-4, SIZE - 4, 2)
        width, height = rng.uniform(4, 13, 2)
        pen.rectangle((left, top, left + width, top + height), fill=any_color(rng))
    return covered


def _shape(rng: Generator, label: int) -> Image.Image:
    ink, ground = color_pair(rng, 170)
    image = blend(shape_mask(rng, _SHAPE_NAMES[label]), ink, _busy_ground(rng, ground))
    return grain(rng, image, 12)


def _texture(rng: Generator, label: int) -> Image.Image:
    dark = rng.uniform(20, 90)
    light = rng.uniform(160, 240)
    pattern = TEXTURES[_TEXTURE_NAMES[label]](rng, 1.0)
    slope = np.linspace(-1, 1, SIZE, dtype=np.float32) * np.float32(rng.uniform(-25, 25))
    grey = dark + (light - dark) * pattern + slope[:, None] + rng.normal(0, 8, pattern.shape)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


def _color(rng: Generator, label: int) -> Image.Image:
    """Blobs of two shades of the colour, with a smaller one of another colour."""
    color = COLORS[_COLOR_NAMES[label]]
    other = any_color(rng)
    while contrast(other, color) < 90:
        other = any_color(rng)
    shades = np.asarray(blend(blotches(rng, 1.6), jitter(rng, color, 22), jitter(rng, color, 22)), np.float32)
    return grain(rng, blend(blotches(rng, 1.4) * blotches(rng, 1.6), other, shades), 5)


def _letter(rng: Generator, label: int) -> Image.Image:
    ink, ground = color_pair(rng, 180)
    name = UNSEEN_FONTS[rng.integers(len(UNSEEN_FONTS))]
    return finish(glyph(rng, LETTERS[label], name, ink, noise(rng, ground, strength=12), 0.82, 8))


def _count(rng: Generator, label: int) -> Image.Image:
    ink, ground = color_pair(rng, 150)
    blurred = np.asarray(finish(noise(rng, ground, strength=22)), np.float32)
    return blend(marks_mask(rng, MARKS["round"], label + 1), ink, blurred)


def _scene(rng: Generator, label: int) -> Image.Image:
    return grain(rng, cluttered(rng, draw_scene(rng, _SCENE_NAMES[label], PAINTED), 5), 22)


RETENTION: tuple[PocketDataset, ...] = (
    PocketDataset(
        "pocket_shapes", "retention", "shapes", _SHAPE_NAMES,
        ("a photo of a {}", "a {} on a pattern", "the shape of a {}"), _shape,
    ),
    PocketDataset(
        "pocket_textures", "retention", "textures", _TEXTURE_NAMES,
        ("a photo of {}", "a texture of {}", "a gray pattern of {}"), _texture,
    ),
    PocketDataset(
        "pocket_colors", "retention", "colors", _COLOR_NAMES,
        ("a photo of the color {}", "something {}", "mostly {}"), _color,
    ),
    PocketDataset(
        "pocket_digits", "retention", "digits", DIGITS,
        ("a photo of the digit {}", "the number {}", "a handwritten {}"), draw_handwritten,
    ),
    PocketDataset(
        "pocket_letters", "retention", "letters", LETTERS,
        ("a photo of the letter {}", "the capital letter {}", "a printed {}"), _letter,
    ),
    PocketDataset(
        "pocket_counting", "retention", "counting", COUNTS,
        ("a photo of {}", "a picture with {}", "there are {}"), _count,
    ),
    PocketDataset(
        "pocket_scenes", "retention", "scenes", _SCENE_NAMES,
        ("a photo of {}", "a view of the {}", "a painting of {}"), _scene,
    ),
)  # fmt: skip
"""All held-out sets, in the order of reports."""
