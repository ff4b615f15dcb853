"""Places: little views that are none of the held-out set's scenes."""

from collections.abc import Callable

from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings.canvas import BIG, draw_on, finish, grain, jitter
from streams.pocket.drawings.general.paints import paint
from streams.pocket.drawings.generator import Picture, PoolFamily
from streams.pocket.drawings.scenes import Look, land, sky, specks

View = Callable[[Generator, Look], Image.Image]


def _volcano(rng: Generator, look: Look) -> Image.Image:
    """A cone that spits fire into smoke."""
    image = sky(rng, look, (90, 80, 85), (190, 150, 130))
    x = BIG * rng.uniform(0.35, 0.65)
    pen = draw_on(image)
    pen.polygon([(x - 9, 36), (x + 9, 36), (x + 48, BIG), (x - 48, BIG)], fill=jitter(rng, (70, 50, 45), look.wobble))
    pen.polygon([(x - 8, 36), (x, rng.uniform(5, 18)), (x + 8, 36), (x + 3, 60), (x - 2, 50)], fill=(250, 90, 20))
    return image


def _island(rng: Generator, look: Look) -> Image.Image:
    """A palm on a spot of sand in the water."""
    image = sky(rng, look, (90, 190, 235), (200, 235, 240), until=0.5)
    land(rng, look, image, 0.55, (30, 150, 165), hill=0.0)
    pen = draw_on(image)
    x = BIG * rng.uniform(0.35, 0.65)
    pen.ellipse((x - 30, 62, x + 30, 82), fill=jitter(rng, (235, 215, 150), look.wobble))
    pen.line((x, 68, x + 5, 45, x + 3, 28), fill=(120, 80, 40), width=5)
    for dx, dy in ((-22, 8), (-16, -8), (16, -9), (24, 8)):
        pen.line((x + 3, 28, x + 3 + dx, 28 + dy), fill=jitter(rng, (40, 140, 50), look.wobble), width=6)
    return image


def _waterfall(rng: Generator, look: Look) -> Image.Image:
    """White water between dark rocks."""
    image = sky(rng, look, (60, 75, 60), (40, 50, 45))
    x = BIG * rng.uniform(0.35, 0.65)
    half = BIG * rng.uniform(0.1, 0.17)
    pen = draw_on(image)
    pen.rectangle((x - half, 0, x + half, 74), fill=jitter(rng, (220, 235, 245), look.wobble // 2))
    for at in rng.uniform(-half, half, 5):
        pen.line((x + at, 0, x + at, 74), fill=(165, 200, 225), width=2)
    pen.ellipse((x - 2.2 * half, 66, x + 2.2 * half, 92), fill=jitter(rng, (90, 160, 200), look.wobble))
    return image


def _road(rng: Generator, look: Look) -> Image.Image:
    """A road that runs to the horizon."""
    image = sky(rng, look, (140, 180, 220), (225, 225, 215), until=0.5)
    land(rng, look, image, 0.45, (150, 140, 80))
    x = BIG * rng.uniform(0.35, 0.65)
    pen = draw_on(image)
    pen.polygon([(x - 2, 44), (x + 2, 44), (BIG * 0.9, BIG), (BIG * 0.1, BIG)], fill=jitter(rng, (75, 75, 80), 12))
    pen.polygon([(x, 46), (x + 1, 46), (BIG * 0.53, BIG), (BIG * 0.47, BIG)], fill=(240, 225, 120))
    return image


def _iceberg(rng: Generator, look: Look) -> Image.Image:
    """A jagged block, bright above the water and pale below."""
    image = sky(rng, look, (165, 200, 225), (205, 225, 235))
    pen = draw_on(image)
    level = BIG * rng.uniform(0.42, 0.52)
    x = BIG * rng.uniform(0.4, 0.6)
    pen.rectangle((0, level, BIG, BIG), fill=jitter(rng, (25, 60, 110), look.wobble))
    pen.polygon([(x - 28, level), (x - 12, 18), (x + 4, 30), (x + 14, 12), (x + 30, level)], fill=(248, 250, 252))
    pen.polygon([(x - 34, level), (x + 36, level), (x + 18, 88), (x - 14, 92)], fill=jitter(rng, (95, 150, 190), 20))
    return image


def _room(rng: Generator, look: Look) -> Image.Image:
    """Walls, a floor and a window in perspective."""
    wall = paint(rng).color
    image = sky(rng, look, wall, wall)
    pen = draw_on(image)
    pen.polygon([(0, BIG), (26, 66), (70, 66), (BIG, BIG)], fill=jitter(rng, (130, 90, 55), look.wobble))
    for start, stop in (((0, 0), (26, 26)), ((BIG, 0), (70, 26)), ((26, 26), (26, 66)), ((70, 26), (70, 66))):
        pen.line((*start, *stop), fill=(60, 55, 50), width=2)
    x = int(rng.integers(32, 46))
    pen.rectangle((x, 32, x + 18, 52), fill=(185, 225, 250), outline=(250, 250, 250), width=2)
    return image


def _stage(rng: Generator, look: Look) -> Image.Image:
    """Curtains beside a cone of light."""
    image = sky(rng, look, (15, 10, 20), (40, 25, 35))
    pen = draw_on(image)
    x = BIG * rng.uniform(0.4, 0.6)
    pen.polygon([(x - 3, 0), (x + 3, 0), (x + 26, 82), (x - 26, 82)], fill=jitter(rng, (250, 235, 160), look.wobble))
    cloth = jitter(rng, (150, 15, 40), look.wobble)
    for left, right in ((0, 20), (76, BIG)):
        pen.rectangle((left, 0, right, 84), fill=cloth)
    pen.rectangle((0, 82, BIG, BIG), fill=(110, 75, 45))
    return image


def _harbour(rng: Generator, look: Look) -> Image.Image:
    """Masts before houses at the water."""
    image = sky(rng, look, (180, 200, 215), (225, 225, 220), until=0.5)
    pen = draw_on(image)
    for left in range(-4, BIG, 16):
        pen.rectangle((left, int(rng.integers(28, 44)), left + 15, 62), fill=paint(rng).color)
    pen.rectangle((0, 60, BIG, BIG), fill=jitter(rng, (50, 85, 110), look.wobble))
    for at in rng.uniform(8, BIG - 8, 4):
        pen.line((at, 24, at, 76), fill=(250, 248, 240), width=2)
        pen.ellipse((at - 9, 70, at + 9, 80), fill=(235, 230, 220))
    return image


def _space(rng: Generator, look: Look) -> Image.Image:
    """A planet with a belt."""
    image = sky(rng, look, (5, 5, 12), (15, 8, 25))
    specks(rng, image, int(rng.integers(4, 10)), (200, 200, 190), 0.0, 1.0)
    pen = draw_on(image)
    x = BIG * rng.uniform(0.35, 0.65)
    y = BIG * rng.uniform(0.35, 0.65)
    pen.ellipse((x - 20, y - 20, x + 20, y + 20), fill=paint(rng).color)
    pen.line((x - 34, y + 10, x + 34, y - 10), fill=(215, 195, 150), width=4)
    return image


VIEWS: dict[str, View] = {
    "a volcano": _volcano,
    "an island": _island,
    "a waterfall": _waterfall,
    "a country road": _road,
    "an iceberg": _iceberg,
    "a room": _room,
    "a stage": _stage,
    "a harbour": _harbour,
    "a planet": _space,
}
_VIEWS = tuple(VIEWS.values())


def draw_view(rng: Generator, label: int) -> Picture:
    """A view in smooth or in stepped colours."""
    look = Look(bands=int(rng.integers(2)) * 4, wobble=24, grain=0)
    return Picture(grain(rng, finish(_VIEWS[label](rng, look)), rng.uniform(0, 9)))


FAMILIES = (PoolFamily("places", tuple(VIEWS), ("{} on holiday", "a trip to {}", "{} at home"), draw_view),)
