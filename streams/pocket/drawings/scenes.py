"""Ten little landscapes; a ``Look`` says whether they are painted soft or cut from flat paper."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings.canvas import BIG, Color, draw_on, finish, grain, jitter


@dataclass(frozen=True)
class Look:
    """``bands`` steps in the sky, colours moved by up to ``wobble``, pixel noise of strength ``grain``."""

    bands: int
    wobble: int
    grain: float


PAINTED = Look(bands=0, wobble=14, grain=7.0)
PAPER = Look(bands=3, wobble=34, grain=0.0)

Scene = Callable[[Generator, Look], Image.Image]


def sky(rng: Generator, look: Look, top: Color, bottom: Color, until: float = 1.0) -> Image.Image:
    """A big canvas that goes from one colour to another, from top to bottom.

    Args:
        rng: the image's generator.
        look: how many steps there are, and how far the colours move.
        top: the colour of the upper edge.
        bottom: the colour that is reached at last.
        until: where it is reached, as a share of the height.
    """
    ends = np.array([jitter(rng, top, look.wobble), jitter(rng, bottom, look.wobble)], dtype=np.float32)
    steps = look.bands or BIG
    weight = np.clip(np.arange(steps) / max(1, steps * until - 1), 0, 1)[:, None]
    rows = (ends[0] * (1 - weight) + ends[1] * weight).astype(np.uint8)
    return Image.fromarray(rows[:, None]).resize((BIG, BIG), Image.Resampling.NEAREST)


def land(rng: Generator, look: Look, image: Image.Image, level: float, color: Color, hill: float = 0.03) -> None:
    """Paint ground with a rolling edge on ``image``.

    Args:
        rng: the image's generator.
        look: how far the colour moves.
        image: a big canvas.
        level: where the edge runs, as a share of the height from the top.
        color: of the ground.
        hill: height of its waves, as a share of the height.
    """
    x = np.linspace(0, BIG, 17)
    wave = np.sin(x / BIG * rng.uniform(4, 9) + rng.uniform(0, 6.3))
    edge = [(float(a), float(b)) for a, b in zip(x, BIG * (level + hill * wave), strict=True)]
    draw_on(image).polygon([*edge, (BIG, BIG), (0, BIG)], fill=jitter(rng, color, look.wobble))


def specks(rng: Generator, image: Image.Image, count: int, color: Color, top: float, bottom: float) -> None:
    """Paint small round specks on ``image``.

    Args:
        rng: the image's generator.
        image: a big canvas.
        count: number of specks.
        color: of all of them.
        top: their upper limit, as a share of the height from the top.
        bottom: their lower limit, as a share of the height from the top.
    """
    pen = draw_on(image)
    radius = rng.uniform(1.3, 2.4)
    for x, y in rng.uniform((0, top), (1, bottom), (count, 2)) * BIG:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def sunset(rng: Generator, look: Look) -> Image.Image:
    """A low sun in a burning sky."""
    image = sky(rng, look, (120, 40, 110), (250, 140, 40), until=0.7)
    x = BIG * rng.uniform(0.3, 0.7)
    y = BIG * rng.uniform(0.52, 0.62)
    radius = BIG * rng.uniform(0.13, 0.18)
    sun = jitter(rng, (255, 225, 90), look.wobble)
    draw_on(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=sun)
    land(rng, look, image, rng.uniform(0.66, 0.74), (60, 30, 40), hill=0.015)
    return image


def night(rng: Generator, look: Look) -> Image.Image:
    """Stars over a dark ground."""
    image = sky(rng, look, (8, 8, 40), (25, 25, 80))
    specks(rng, image, int(rng.integers(14, 30)), (240, 240, 215), 0.02, 0.8)
    land(rng, look, image, rng.uniform(0.82, 0.92), (10, 12, 14))
    return image


def desert(rng: Generator, look: Look) -> Image.Image:
    """Dunes under a pale sky."""
    image = sky(rng, look, (110, 180, 235), (235, 225, 190), until=0.6)
    level = rng.uniform(0.45, 0.55)
    for depth, color in enumerate(((235, 200, 125), (220, 175, 95), (200, 150, 75))):
        land(rng, look, image, level + 0.16 * depth, color, hill=0.06)
    return image


def sea(rng: Generator, look: Look) -> Image.Image:
    """Water with bright crests, up to a straight horizon."""
    image = sky(rng, look, (130, 190, 240), (205, 230, 245), until=0.45)
    level = rng.uniform(0.35, 0.5)
    land(rng, look, image, level, (20, 85, 165), hill=0.0)
    pen = draw_on(image)
    crest = jitter(rng, (110, 175, 225), look.wobble)
    for x, y in rng.uniform((0, level + 0.06), (0.9, 0.98), (16, 2)) * BIG:
        pen.line((x, y, x + 7, y - 3, x + 14, y), fill=crest, width=3)
    return image


def mountains(rng: Generator, look: Look) -> Image.Image:
    """Snow-capped peaks above green land."""
    image = sky(rng, look, (90, 150, 220), (200, 220, 240), until=0.6)
    pen = draw_on(image)
    rock = jitter(rng, (105, 100, 110), look.wobble)
    for centre in rng.permutation([0.15, 0.5, 0.85]):
        x = BIG * (centre + rng.uniform(-0.1, 0.1))
        y = BIG * rng.uniform(0.15, 0.35)
        foot = BIG * rng.uniform(0.32, 0.45)
        cap = 0.32
        pen.polygon([(x, y), (x + foot, BIG * 0.85), (x - foot, BIG * 0.85)], fill=rock)
        low = y + cap * (BIG * 0.85 - y)
        pen.polygon([(x, y), (x + foot * cap, low), (x - foot * cap, low)], fill=(245, 245, 250))
    land(rng, look, image, rng.uniform(0.76, 0.84), (70, 130, 60))
    return image


def forest(rng: Generator, look: Look) -> Image.Image:
    """Rows of dark conifers, the nearer ones darker."""
    image = sky(rng, look, (165, 205, 215), (130, 170, 140), until=0.6)
    pen = draw_on(image)
    for row, base in enumerate((0.62, 0.8, 1.02)):
        for x in np.arange(-0.05, 1.1, 0.15) + rng.uniform(-0.05, 0.05, 8):
            color = jitter(rng, (40, 115 - 28 * row, 50 - 10 * row), 14 + look.wobble // 4)
            tip = BIG * (base - rng.uniform(0.4, 0.55))
            half = BIG * rng.uniform(0.08, 0.11)
            pen.polygon([(BIG * x, tip), (BIG * x + half, BIG * base), (BIG * x - half, BIG * base)], fill=color)
    return image


def city(rng: Generator, look: Look) -> Image.Image:
    """Tall blocks with lit windows."""
    image = sky(rng, look, (150, 175, 205), (220, 215, 210))
    pen = draw_on(image)
    edge = -int(rng.integers(0, 8))
    while edge < BIG:
        width = int(rng.integers(15, 25))
        top = int(BIG * rng.uniform(0.15, 0.55))
        pen.rectangle((edge, top, edge + width - 2, BIG), fill=jitter(rng, (70, 70, 85), 10 + look.wobble // 2))
        for x, y in rng.integers((edge + 2, top + 3), (edge + width - 4, BIG), (9, 2)).tolist():
            pen.rectangle((x, y, x + 2, y + 2), fill=(250, 225, 130))
        edge += width
    return image


def snow(rng: Generator, look: Look) -> Image.Image:
    """Flakes in a grey sky over white ground."""
    image = sky(rng, look, (120, 135, 155), (165, 178, 195))
    land(rng, look, image, rng.uniform(0.58, 0.72), (238, 242, 250))
    specks(rng, image, int(rng.integers(24, 40)), (252, 252, 255), 0.0, 0.7)
    return image


def meadow(rng: Generator, look: Look) -> Image.Image:
    """Grass full of flowers."""
    image = sky(rng, look, (110, 185, 245), (190, 225, 250), until=0.4)
    level = rng.uniform(0.3, 0.42)
    land(rng, look, image, level, (95, 180, 60))
    for color in ((235, 50, 60), (250, 225, 60), (250, 250, 250), (200, 90, 200)):
        specks(rng, image, int(rng.integers(5, 10)), color, level + 0.1, 1.0)
    return image


def rainbow(rng: Generator, look: Look) -> Image.Image:
    """A wide bow of colours after rain."""
    image = sky(rng, look, (150, 175, 205), (195, 210, 225))
    pen = draw_on(image)
    x = BIG * rng.uniform(0.35, 0.65)
    y = BIG * rng.uniform(0.8, 0.95)
    radius = BIG * rng.uniform(0.55, 0.7)
    width = BIG * rng.uniform(0.045, 0.06)
    for ring, color in enumerate(((225, 45, 40), (250, 150, 30), (250, 230, 60), (60, 180, 75), (60, 90, 220))):
        r = radius - ring * width
        pen.arc((x - r, y - r, x + r, y + r), 180, 360, fill=color, width=int(width) + 1)
    land(rng, look, image, rng.uniform(0.78, 0.86), (85, 150, 70))
    return image


SCENES: dict[str, Scene] = {
    "sunset": sunset,
    "starry night": night,
    "desert": desert,
    "sea": sea,
    "mountains": mountains,
    "forest": forest,
    "city": city,
    "snow": snow,
    "meadow": meadow,
    "rainbow": rainbow,
}


def draw_scene(rng: Generator, name: str, look: Look) -> Image.Image:
    """One 32-pixel scene of ``SCENES``."""
    image = finish(SCENES[name](rng, look))
    return grain(rng, image, look.grain) if look.grain else image
