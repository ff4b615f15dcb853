"""Drawing primitives of the pocket datasets: 32-pixel RGB images drawn at three times the size.

Every function takes the image's own generator, so that an image is a pure function of
(dataset, split, index). Fonts come with matplotlib, nothing is read from the system.
"""

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = 32
SCALE = 3
BIG = SIZE * SCALE

Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "red": (220, 40, 30),
    "green": (40, 165, 60),
    "blue": (30, 70, 215),
    "yellow": (245, 220, 40),
    "orange": (250, 140, 20),
    "purple": (135, 45, 160),
    "pink": (250, 130, 185),
    "brown": (115, 70, 30),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "gray": (128, 128, 128),
    "cyan": (40, 215, 225),
}

# Two disjoint families: letters of the retention set are drawn in fonts that the pool never shows.
SEEN_FONTS = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "cmr10.ttf", "cmss10.ttf",
)  # fmt: skip
UNSEEN_FONTS = ("STIXGeneral.ttf", "STIXGeneralBol.ttf", "cmb10.ttf", "cmtt10.ttf", "DejaVuSerif-Italic.ttf")


@lru_cache(maxsize=256)
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font of matplotlib's own, ``size`` in pixels of the big canvas."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / name), size, layout_engine=ImageFont.Layout.BASIC)


def jitter(rng: Generator, color: Color, amount: int = 18) -> Color:
    """The colour, each channel moved by at most ``amount``."""
    moved = np.clip(np.array(color) + rng.integers(-amount, amount + 1, 3), 0, 255)
    return int(moved[0]), int(moved[1]), int(moved[2])


def any_color(rng: Generator) -> Color:
    """One of the named colours, jittered."""
    return jitter(rng, list(COLORS.values())[rng.integers(len(COLORS))])


def contrast(a: Color, b: Color) -> float:
    """Euclidean distance of two colours, in RGB units."""
    return float(np.linalg.norm(np.subtract(a, b)))


def color_pair(rng: Generator, least: float = 140.0) -> tuple[Color, Color]:
    """Ink and ground that can be told apart."""
    while True:
        ink = any_color(rng)
        ground = any_color(rng)
        if contrast(ink, ground) >= least:
            return ink, ground


def plain(color: Color) -> Image.Image:
    """A big canvas of one colour."""
    return Image.new("RGB", (BIG, BIG), color)


def noise(rng: Generator, color: Color, cells: int = 6, strength: float = 30.0) -> Image.Image:
    """A big canvas of smooth blotches.

    Args:
        rng: the image's generator.
        color: the mean colour.
        cells: blotches along each side; few make large ones.
        strength: standard deviation of a blotch's colour, in RGB units.
    """
    field = np.clip(np.array(color) + rng.normal(0, strength, (cells, cells, 3)), 0, 255).astype(np.uint8)
    return Image.fromarray(field).resize((BIG, BIG), Image.Resampling.BICUBIC)


def grain(rng: Generator, image: Image.Image, strength: float = 8.0) -> Image.Image:
    """``image`` with normal noise of standard deviation ``strength`` in every channel of every pixel."""
    pixels = np.asarray(image, dtype=np.float32)
    return Image.fromarray(np.clip(pixels + rng.normal(0, strength, pixels.shape), 0, 255).astype(np.uint8))


def draw_on(image: Image.Image) -> ImageDraw.ImageDraw:
    """A pen for ``image``."""
    return ImageDraw.Draw(image)


def blend(mask: np.ndarray, ink: Color | np.ndarray, ground: Color | np.ndarray) -> Image.Image:
    """``ink`` where ``mask`` [h, w] in [0, 1] is one, ``ground`` where it is zero."""
    weight = mask[..., None].astype(np.float32)
    mixed = weight * np.asarray(ink, np.float32) + (1 - weight) * np.asarray(ground, np.float32)
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def place(
    rng: Generator, points: np.ndarray, size: float = 0.4, shift: float = 0.1, turn: float = 12.0
) -> list[tuple[float, float]]:
    """Unit points in pixels of the big canvas, scaled, turned and moved at random.

    Args:
        rng: the image's generator.
        points: [n, 2] in [-1, 1].
        size: half-size of the result, as a share of the canvas.
        shift: how far the centre may move along each axis, as a share of the canvas.
        turn: largest turn to either side, in degrees.
    """
    angle = np.deg2rad(rng.uniform(-turn, turn))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    radius = BIG * size * rng.uniform(0.85, 1.1)
    centre = BIG * (0.5 + rng.uniform(-shift, shift, 2))
    return [(float(x), float(y)) for x, y in points @ rotation.T * radius + centre]


def glyph(
    rng: Generator, text: str, font_name: str, ink: Color, ground: Image.Image, height: float = 0.72, turn: float = 12.0
) -> Image.Image:
    """``text`` drawn once, a little moved and turned, on a big canvas.

    Args:
        rng: the image's generator.
        text: a short string, as a rule of one character.
        font_name: a file of matplotlib's fonts.
        ink: the colour of the text.
        ground: the canvas; it is painted on and returned.
        height: mean height of the font, as a share of the canvas.
        turn: largest turn to either side, in degrees.
    """
    size = int(BIG * height * rng.uniform(0.85, 1.15))
    layer = Image.new("L", (BIG, BIG), 0)
    shift = rng.uniform(-0.07, 0.07, 2) * BIG
    draw_on(layer).text(
        (BIG / 2 + shift[0], BIG / 2 + shift[1]), text, fill=255, font=font(font_name, size), anchor="mm"
    )
    layer = layer.rotate(rng.uniform(-turn, turn), Image.Resampling.BILINEAR)
    ground.paste(ink, (0, 0), layer)
    return ground


def blur(image: Image.Image, radius: float) -> Image.Image:
    """A Gaussian blur; ``radius`` in pixels of the big canvas."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def finish(image: Image.Image) -> Image.Image:
    """The 32-pixel image."""
    return image.reduce(SCALE) if image.size == (BIG, BIG) else image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
