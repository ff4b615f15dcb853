"""Images as they are stored: checked by decoding, told apart by their pixels."""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from fomo.data.card import SHOWN
from fomo.data.images import BadImage, decode_fully, format_if_still
from fomo.data.sources import Unusable

EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
"""Endings of the names of image files."""
KEPT = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}


@dataclass(frozen=True)
class StoredImage:
    """A usable image: encoded as it will be stored, with the SHA-256 of its pixels.

    ``content`` is what duplicates are told by: the SHA-256 of the values in the file where they have more than 8 bits,
    else ``digest``.
    """

    digest: str
    extension: str
    data: bytes
    content: str = ""


def pixel_digest(image: Image.Image) -> str:
    """SHA-256 of size and pixels of an RGB image: the same in whatever format it is stored."""
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def read_image(data: bytes, size: int | None = None, digest: str | None = None, decoding: str = SHOWN) -> StoredImage:
    """Decode, hash, and encode anew where the shorter side is above ``size`` or the format is not one of the shards'.

    Args:
        data: the image file.
        size: the shorter side in pixels that larger images are shrunk to; ``None`` keeps them.
        digest: of its pixels where it is known: if nothing is to be changed, nothing is decoded.
        decoding: one of :data:`fomo.data.card.DECODINGS`, how the stored file will be read too.

    Raises:
        Unusable: it is broken, empty, or of too many pixels.
    """
    kind = format_if_still(data)
    if digest is not None and size is None and kind in KEPT:
        return StoredImage(digest, KEPT[kind], data)
    try:
        image, content = decode_fully(data, decoding=decoding)
    except BadImage as error:
        raise Unusable(f"{error} image" if str(error) in ("broken", "empty") else str(error)) from None
    shown = _shrunk(image, size) if size is not None and min(image.size) > size else image
    extension, stored = (KEPT[kind], data) if kind in KEPT and shown is image else ("png", None)
    digest = pixel_digest(shown)
    return StoredImage(digest, extension, stored or png(shown), content or digest)


def _shrunk(image: Image.Image, size: int) -> Image.Image:
    factor = size / min(image.size)
    sides = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(sides, Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    """The bytes of an image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
