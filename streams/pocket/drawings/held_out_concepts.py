"""The concepts of the held-out sets as the pool shows them: in other fonts, marks and looks than those sets.

Each family mixes several renderings: a model that has seen only one learns the rendering instead of the concept.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings.canvas import (
    COLORS,
    SEEN_FONTS,
    SIZE,
    Color,
    any_color,
    blend,
    color_pair,
    contrast,
    finish,
    glyph,
    grain,
    jitter,
    noise,
    plain,
)
from streams.pocket.drawings.digits import DIGITS, low_resolution, printed, stroked
from streams.pocket.drawings.generator import Draw, Picture, PoolFamily
from streams.pocket.drawings.retention import COUNTS, LETTERS
from streams.pocket.drawings.scenes import PAPER, SCENES, draw_scene
from streams.pocket.drawings.shapes import MARKS, SHAPES, marks_mask, shape_mask
from streams.pocket.drawings.textures import TEXTURES, Field

_SHAPE_NAMES = tuple(SHAPES)
_TEXTURE_NAMES = tuple(TEXTURES)
_COLOR_NAMES = tuple(COLORS)
_SCENE_NAMES = tuple(SCENES)
_POOL_MARKS = tuple(outline for name, outline in MARKS.items() if name != "round")
_RAMP = np.linspace(-1, 1, SIZE, dtype=np.float32)


def _font(rng: Generator) -> str:
    return SEEN_FONTS[rng.integers(len(SEEN_FONTS))]


def _ramp(rng: Generator, color: Color, strength: float) -> Field:
    """``color`` that brightens along one direction, [32, 32, 3]."""
    down, across = rng.uniform(-strength, strength, 2).astype(np.float32)
    slope = _RAMP[:, None] * down + _RAMP[None] * across
    sheet: Field = np.clip(np.array(color, np.float32) + slope[..., None], 0, 255)
    return sheet


def _ground(rng: Generator, color: Color) -> Field:
    """A quiet ground: plain, shaded, mottled or grainy, [32, 32, 3]."""
    kind = rng.integers(4)
    if kind == 0:
        return _ramp(rng, color, 0)
    if kind == 1:
        return _ramp(rng, color, 35)
    cells = 5 if kind == 2 else SIZE
    field = np.clip(np.array(color) + rng.normal(0, 22, (cells, cells, 3)), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(field).resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)


def _shape(rng: Generator, label: int) -> Image.Image:
    ink, ground = color_pair(rng)
    mask = shape_mask(rng, _SHAPE_NAMES[label], size=rng.uniform(0.28, 0.4), turn=20)
    return blend(mask, _ramp(rng, ink, 20), _ground(rng, ground))


def _texture(rng: Generator, label: int) -> Image.Image:
    ink, ground = color_pair(rng, 110)
    pattern = TEXTURES[_TEXTURE_NAMES[label]](rng, rng.uniform(0.8, 1.25))
    return blend(pattern, ink, _ramp(rng, ground, 20))


def _color(rng: Generator, label: int) -> Image.Image:
    """A sheet of the colour; half of them bear a shape of another colour."""
    color = COLORS[_COLOR_NAMES[label]]
    sheet = _ground(rng, jitter(rng, color, 22))
    other = any_color(rng)
    if rng.random() < 0.5 or contrast(other, color) < 90:
        return Image.fromarray(sheet.astype(np.uint8))
    shape = _SHAPE_NAMES[rng.integers(len(_SHAPE_NAMES))]
    return blend(shape_mask(rng, shape, size=rng.uniform(0.15, 0.3), turn=45), other, sheet)


def _digit(rng: Generator, label: int) -> Image.Image:
    """A quarter printed in colour, a quarter printed and half stroked in low resolution, light on dark."""
    kind = rng.integers(4)
    if kind == 0:
        ink, ground = color_pair(rng)
        return finish(glyph(rng, str(label), _font(rng), ink, plain(ground)))
    mask = printed(rng, label, _font(rng)) if kind == 1 else stroked(rng, label)
    return low_resolution(rng, mask)


def _letter(rng: Generator, label: int) -> Image.Image:
    ink, ground = color_pair(rng)
    sheet = plain(ground) if rng.random() < 0.5 else noise(rng, ground, cells=4, strength=15)
    image = finish(glyph(rng, LETTERS[label], _font(rng), ink, sheet))
    return image if rng.random() < 0.5 else grain(rng, image, 10)


def _count(rng: Generator, label: int) -> Image.Image:
    ink, ground = color_pair(rng)
    outline = _POOL_MARKS[rng.integers(len(_POOL_MARKS))]
    return blend(marks_mask(rng, outline, label + 1), ink, _ground(rng, ground))


def _scene(rng: Generator, label: int) -> Image.Image:
    return draw_scene(rng, _SCENE_NAMES[label], PAPER)


def _family(name: str, classes: tuple[str, ...], templates: tuple[str, ...], draw: Draw) -> PoolFamily:
    return PoolFamily(name, classes, templates, lambda rng, label: Picture(draw(rng, label)))


FAMILIES: tuple[PoolFamily, ...] = (
    _family("shapes", _SHAPE_NAMES, ("a {}", "a photo of a {}", "a drawing of a {}"), _shape),
    _family("textures", _TEXTURE_NAMES, ("a photo of {}", "a pattern of {}", "{} in color"), _texture),
    _family("colors", _COLOR_NAMES, ("the color {}", "a photo of the color {}", "{} paper"), _color),
    _family("digits", DIGITS, ("the digit {}", "a photo of the digit {}", "the number {}"), _digit),
    _family("letters", LETTERS, ("the letter {}", "a photo of the letter {}", "a sign with {}"), _letter),
    _family("counting", COUNTS, ("{}", "a photo of {}", "exactly {}"), _count),
    _family("scenes", _SCENE_NAMES, ("a photo of {}", "a view of the {}", "a picture of {}"), _scene),
)
"""Each shares the class names of one held-out set."""
