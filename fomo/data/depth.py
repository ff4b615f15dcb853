"""Grey of more than 8 bits a pixel as 8 bits, where the file or its values say what white is.

Formats store floats and integers without saying how far their values reach. Floats from 0 to 1 and integers that
reach into the highest two bits of their depth are known; all else (12 bits in 16, measurements) could only be guessed
at, and a wrong guess turns images black.
"""

import numpy as np
from PIL import Image

BITS_PER_SAMPLE = 258
PHOTOMETRIC = 262
SAMPLE_FORMAT = 339
SIGNED = 2
ROUNDING = 1e-6


class UnknownRange(ValueError):
    """What the brightest value of the image would be is not known."""


def is_deep(image: Image.Image) -> bool:
    """Whether an image has one channel of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def has_16_bits(image: Image.Image) -> bool:
    """Whether the channels of an image that is not loaded yet have 16 bits each, which Pillow halves in silence."""
    return any(";16" in str(tile.args) for tile in image.tile) if hasattr(image, "tile") else False


def check_halved(image: Image.Image) -> None:
    """Of 16 bits a channel Pillow keeps the upper 8: where only the lower ones are used, the scale is unknown.

    Raises:
        UnknownRange: no colour reaches into the highest two bits, though there is some.
    """
    highest = max(int(channel[1]) for channel in image.convert("RGB").getextrema() if isinstance(channel, tuple))
    if 0 < highest < 2**6:
        raise UnknownRange


def check_signed(image: Image.Image) -> None:
    """Refuse 8-bit numbers with a sign, which Pillow reads as if they had none.

    Raises:
        UnknownRange: they have one.
    """
    if image.mode == "L" and SIGNED in _tag(image, SAMPLE_FORMAT, (1,)):
        raise UnknownRange


def to_grey(image: Image.Image) -> Image.Image:
    """A deep image (:func:`is_deep`) as 8 bits a pixel.

    Raises:
        UnknownRange: neither the file nor the values say what white is.
    """
    values = np.asarray(image)
    shares = _of_float(values) if image.mode == "F" else _of_integers(values, image)
    if _tag(image, PHOTOMETRIC, (1,)) == (0,):  # white is zero
        shares = 1 - shares
    return Image.fromarray((np.clip(shares, 0, 1) * 255).astype(np.uint8))


def _of_float(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all() or values.min() < -ROUNDING or values.max() > 1 + ROUNDING:
        raise UnknownRange
    return values.astype(np.float32)


def _of_integers(values: np.ndarray, image: Image.Image) -> np.ndarray:
    (bits, *_) = _tag(image, BITS_PER_SAMPLE, (16,))
    if image.format == "PPM":  # its header names the maximum, and Pillow brings it to 16 bits
        return values.astype(np.float32) / 65_535
    signed = SIGNED in _tag(image, SAMPLE_FORMAT, (1,))
    if bits == 32 and not signed:
        values = values.view(np.uint32)
    bits -= signed
    highest = int(values.max())
    holds_depth = bits not in (15, 16, 31, 32) or highest >= 2 ** (bits - 2) or highest == 0
    if values.min() < 0 or not holds_depth:
        raise UnknownRange
    return (values / (2**bits - 1)).astype(np.float32)


def _tag(image: Image.Image, number: int, default: tuple[int, ...]) -> tuple[int, ...]:
    """A tag of a TIFF file; ``default`` where the image comes from another format or has no such tag."""
    value = getattr(image, "tag_v2", {}).get(number, default)
    return tuple(value) if isinstance(value, tuple) else (value,)
