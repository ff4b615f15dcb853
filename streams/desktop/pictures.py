"""A picture before it is rendered, and a worker that renders it."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fomo.data.images import BadImage, decode
from fomo.data.importing.job import RawSample
from fomo.data.inspect.duplicates import THUMB_SIDE, Signature, perceptual_hash
from fomo.data.shard_index import shortened
from fomo.data.stored_images import pixel_digest, png
from streams.desktop.svg import BadSvg, render

SIZE = 96
"""Pixels of a rendered picture's side, and of the shorter side of larger images."""
MAX_PIXELS = 4_000_000
CHUNK = 32
"""Pictures that a worker renders at a time."""


@dataclass(frozen=True)
class Picture:
    """A picture of a dataset.

    Attributes:
        path: where it is from, for people.
        class_name: what it shows; ``None`` in the pool.
        designer: the family of whoever drew it, or the picture's own name where that does not matter.
        vendor: the icon set that it is from.
        credit: who made it, under which licence.
        licence: of the picture.
        caption: the text to train on; empty where the class prompt serves.
        svg: what stands in its SVG; empty for an image file.
        box: left, top, width, height of its SVG.
        data: the image file.
        reason: why it cannot be rendered, where that is known when it is found.
    """

    path: str
    class_name: str | None
    designer: str
    vendor: str
    credit: str
    licence: str
    caption: str = ""
    svg: str = ""
    box: tuple[float, float, float, float] = (0, 0, 1, 1)
    data: bytes = b""
    reason: str = ""


@dataclass(frozen=True)
class Rendered:
    """A picture as PNG, with what it is compared by; ``reason`` says why there is none."""

    png: bytes
    digest: str
    signature: Signature
    reason: str = ""


@dataclass(frozen=True)
class RenderedEntry:
    """A rendered picture, on its way into a shard."""

    path: str
    png: bytes
    digest: str
    class_name: str | None
    captions: tuple[str, ...]

    def read(self) -> RawSample:
        """The picture and its texts."""
        return RawSample(self.png, self.class_name, list(self.captions), digest=self.digest)


def render_chunk(pictures: Sequence[Picture]) -> list[list[str]]:
    """In a worker: plain values of every picture, see :func:`from_note`."""
    return [_note(picture) for picture in pictures]


def _note(picture: Picture) -> list[str]:
    if picture.reason:
        return [picture.reason]
    try:
        data = render(picture.svg, picture.box, SIZE) if picture.svg else picture.data
        image = _fitted(decode(data, MAX_PIXELS))
    except (BadSvg, BadImage) as error:
        return [str(error)]
    if len(image.getcolors(2) or (1, 2)) < 2:
        return ["blank image"]
    stored = png(image)
    thumb = image.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX).tobytes()
    perceptual = perceptual_hash(image)
    shown = "" if perceptual is None else f"{perceptual:x}"
    return [base64.b64encode(stored).decode(), pixel_digest(image), shown, thumb.hex()]


def _fitted(image: Image.Image) -> Image.Image:
    if min(image.size) <= SIZE:
        return image
    factor = SIZE / min(image.size)
    sides = (max(SIZE, round(image.width * factor)), max(SIZE, round(image.height * factor)))
    return image.resize(sides, Image.Resampling.BICUBIC)


def from_note(note: Sequence[str]) -> Rendered:
    """What :func:`render_chunk` found of a picture."""
    if len(note) == 1:
        return Rendered(b"", "", Signature(0), note[0])
    stored, digest, perceptual, thumb = note
    signature = Signature(shortened(digest), int(perceptual, 16) if perceptual else None, bytes.fromhex(thumb))
    return Rendered(base64.b64decode(stored), digest, signature)


def grey_png(values: bytes, side: int) -> bytes:
    """The PNG of a grey picture from its bytes, row by row."""
    buffer = io.BytesIO()
    Image.frombytes("L", (side, side), values).save(buffer, "PNG")
    return buffer.getvalue()
