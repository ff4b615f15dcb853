"""Images in, pixels out: safe decoding, and the random crop of CLIP's training."""

import hashlib
import io
import warnings
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from fomo.data.card import PLAIN, SHOWN
from fomo.data.depth import UnknownRange, check_halved, check_signed, has_16_bits, is_deep, to_grey
from fomo.data.metadata import Bare, without_metadata

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAX_PIXELS = 64_000_000
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image of each EXIF orientation is brought upright."""


class BadImage(Exception):
    """An image that cannot be used; the message says why in a word or two, for counting."""


class Decoded(NamedTuple):
    """An image as RGB; ``content`` tells images apart that are alike in 8 bits a pixel, and is empty for others."""

    image: Image.Image
    content: str


def decode(data: bytes | IO[bytes], max_pixels: int = MAX_PIXELS, decoding: str = SHOWN) -> Image.Image:
    """The image as RGB, as ``decoding``, one of :data:`fomo.data.card.DECODINGS`, has it.

    As it is shown, it is upright and its transparency laid on white; damage to anything but its pixels is passed over.

    Raises:
        BadImage: empty, broken, of another format, of unknown range (:mod:`fomo.data.depth`; never where it is read
            plainly), or of more than ``max_pixels`` (a decompression bomb).
    """
    return decode_fully(data if isinstance(data, bytes) else data.read(), max_pixels, decoding).image


def decode_fully(data: bytes, max_pixels: int = MAX_PIXELS, decoding: str = SHOWN) -> Decoded:
    """What :func:`decode` returns, and a SHA-256 of what is in the file where that is not all shown in 8 bits.

    Raises:
        BadImage: as :func:`decode`.
    """
    with warnings.catch_warnings():
        # Pillow warns of large headers; the limit below is ours and comes before any pixel is read.
        warnings.simplefilter("ignore")
        try:
            return _plain(data, max_pixels) if decoding == PLAIN else _shown(without_metadata(data), max_pixels)
        except Image.DecompressionBombError:
            raise BadImage("too many pixels") from None
        except UnknownRange:
            raise BadImage("unknown range") from None
        except BadImage:
            raise
        except Exception as error:  # Pillow's readers raise anything on a damaged file
            raise BadImage("broken") from error


def _plain(data: bytes, max_pixels: int) -> Decoded:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_size(image.size, max_pixels)
    image.load()
    return Decoded(_converted(image), "")


def _shown(bare: Bare, max_pixels: int) -> Decoded:
    image = Image.open(io.BytesIO(bare.data), formats=FORMATS)
    _check_size(image.size, max_pixels)
    halved = has_16_bits(image)
    image.load()
    check_signed(image)
    if is_deep(image):
        values = np.ascontiguousarray(image)
        about = f"{values.shape}{values.dtype}{bare.orientation}".encode()
        shown = _upright(to_grey(image), bare.orientation).convert("RGB")
        return Decoded(shown, hashlib.sha256(about + values.tobytes()).hexdigest())
    if halved:
        check_halved(image)
    return Decoded(_to_rgb(_upright(image, bare.orientation)), "")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def format_if_still(data: bytes) -> str:
    """Pillow's name of the format of an image that :func:`decode` reads; empty where there is more than a frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return (image.format or "") if getattr(image, "n_frames", 1) == 1 else ""
        except Exception:  # damage behind the first frame, or in the metadata
            return ""


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise BadImage("too many pixels")
    if min(size) < 1:
        raise BadImage("empty")


def _to_rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return _converted(image)
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _converted(image: Image.Image) -> Image.Image:
    """``image.convert("RGB")``, which would copy what is RGB already, at a twentieth of the cost of decoding it."""
    return image if image.mode == "RGB" else image.convert("RGB")


def random_crop(
    image: Image.Image,
    size: int,
    uniforms: np.ndarray,
    scale: tuple[float, float],
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> np.ndarray:
    """RandomResizedCrop, bicubic, as a function of ``uniforms`` [attempts, 4] in [0, 1): uint8 [size, size, 3].

    The box is sought as torchvision does: share of the area, log-uniform aspect ratio, position; after the
    last attempt the largest central box of an allowed ratio.
    """
    # Cut first: the filter must not see what lies around the box.
    cut = image.crop(crop_box(image.size, uniforms, scale, ratio))
    return np.asarray(cut.resize((size, size), Image.Resampling.BICUBIC))


def crop_box(
    size: tuple[int, int], uniforms: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Left, upper, right, lower of the box of :func:`random_crop`, whole pixels."""
    width, height = size
    shares = scale[0] + uniforms[:, 0] * (scale[1] - scale[0])
    aspects = np.exp(np.log(ratio[0]) + uniforms[:, 1] * (np.log(ratio[1]) - np.log(ratio[0])))
    widths = np.rint(np.sqrt(width * height * shares * aspects)).astype(int)
    heights = np.rint(np.sqrt(width * height * shares / aspects)).astype(int)
    for w, h, u, v in zip(widths, heights, uniforms[:, 2], uniforms[:, 3], strict=True):
        if 0 < w <= width and 0 < h <= height:
            left = int(u * (width - w + 1))
            upper = int(v * (height - h + 1))
            return left, upper, left + w, upper + h
    return _central_box(size, ratio)


def _central_box(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    width, height = size
    w = min(width, max(1, round(height * ratio[1])))
    h = min(height, max(1, round(width / ratio[0])))
    left = (width - w) // 2
    upper = (height - h) // 2
    return left, upper, left + w, upper + h
