"""What pictures of the pool have been through, and no dataset's: they are blurred, cut, tilted, faded, framed."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter, ImageOps

from streams.pocket.drawings.canvas import SIZE, any_color
from streams.pocket.drawings.generator import Picture

UNTOUCHED = 0.6
"""Share of the pictures to which nothing is done."""
Treatment = Callable[[Generator, Image.Image], Image.Image]


def _blurry(rng: Generator, image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.7, 1.3)))


def _close(rng: Generator, image: Image.Image) -> Image.Image:
    side = int(rng.integers(22, 29))
    left, top = (int(at) for at in rng.integers(0, SIZE - side + 1, 2))
    return image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _tilted(rng: Generator, image: Image.Image) -> Image.Image:
    angle = rng.choice((-1, 1)) * rng.uniform(12, 25)
    return image.rotate(angle, Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0)))


def _faded(rng: Generator, image: Image.Image) -> Image.Image:
    return _towards(image, 200, rng.uniform(0.35, 0.6))


def _dark(rng: Generator, image: Image.Image) -> Image.Image:
    return _towards(image, 0, rng.uniform(0.35, 0.6))


def _towards(image: Image.Image, level: int, share: float) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    return Image.fromarray((pixels * (1 - share) + level * share).astype(np.uint8))


def _framed(rng: Generator, image: Image.Image) -> Image.Image:
    width = int(rng.integers(2, 4))
    return ImageOps.expand(image.resize((SIZE - 2 * width,) * 2, Image.Resampling.BICUBIC), width, any_color(rng))


def _small(rng: Generator, image: Image.Image) -> Image.Image:
    side = int(rng.integers(18, 26))
    sheet = Image.new("RGB", (SIZE, SIZE), any_color(rng))
    left, top = (int(at) for at in rng.integers(0, SIZE - side + 1, 2))
    sheet.paste(image.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return sheet


TREATMENTS: dict[str, Treatment] = {
    "blurry": _blurry,
    "close-up": _close,
    "tilted": _tilted,
    "faded": _faded,
    "dark": _dark,
    "framed": _framed,
    "small": _small,
}
_NAMES = tuple(TREATMENTS)


def treated(rng: Generator, picture: Picture) -> Picture:
    """The picture after one treatment or none, with the word for it."""
    if rng.random() < UNTOUCHED:
        return picture
    name = _NAMES[rng.integers(len(_NAMES))]
    return Picture(TREATMENTS[name](rng, picture.image), (*picture.words, name))
