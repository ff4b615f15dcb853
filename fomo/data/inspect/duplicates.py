"""The same picture in two places: exactly, by the hash of its pixels, or nearly, by a perceptual hash.

The perceptual hash is pHash (Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions): the
lowest 8 × 8 coefficients of the cosine transform of the 32 × 32 grey picture, without the constant one, above or below
their median. It is blind to colour: two pictures are near duplicates if few bits differ, and the colours of their 4 × 4
thumbnails too.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from fomo.data.samples import Samples
from fomo.data.shards import ShardSamples, shortened
from fomo.data.stored_images import pixel_digest
from fomo.errors import FomoError

SIDE, LOW = 32, 8
PLAIN = 2.0
"""Standard deviation of the grey values (0–255) below which a picture has nothing to tell it by."""
NUM_BITS = 64
THUMB_SIDE, THUMB_DISTANCE = 4, 8.0
"""Near duplicates differ by at most so much in the mean over their thumbnails' RGB values (0–255)."""
MOST_PAIRS = 4_000_000
_BITS = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


class Signature(NamedTuple):
    """64 bits of the pixels' SHA-256; perceptual hash, ``None`` for a plain picture or unasked; RGB thumbnail."""

    pixels: int
    perceptual: int | None = None
    thumb: bytes = b""


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """The first rows of the DCT-II matrix: [LOW, SIDE]."""
    return np.cos(np.pi / SIDE * (np.arange(SIDE) + 0.5) * np.arange(LOW)[:, None])


def perceptual_hash(image: Image.Image) -> int | None:
    """63 bits that stay nearly the same under scaling and recompression; ``None`` for a plain picture."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float64)
    if grey.std() < PLAIN:
        return None
    low = (_cosines() @ grey @ _cosines().T).ravel()[1:]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def signatures(samples: Samples, rows: np.ndarray, perceptual: bool) -> list[Signature | str]:
    """A signature for each of ``rows``, or what is wrong with the picture.

    Shards hold the hash of the pixels, as they were decoded, in their index: pictures are opened for the rest alone.
    """
    if isinstance(samples, ShardSamples) and not perceptual:
        return [Signature(int(digest)) for digest in samples.digests[rows]]
    return [_signature(samples, int(row), perceptual) for row in rows]


def _signature(samples: Samples, row: int, perceptual: bool) -> Signature | str:
    try:
        image = samples.image(row)
    except FomoError as error:
        return str(error)
    pixels = int(samples.digests[row]) if isinstance(samples, ShardSamples) else shortened(pixel_digest(image))
    if not perceptual:
        return Signature(pixels)
    thumb = image.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX).tobytes()
    return Signature(pixels, perceptual_hash(image), thumb)


def near_duplicates(kept: Sequence[Signature], others: Sequence[Signature], radius: int) -> np.ndarray:
    """All (i, j) where kept[i] and others[j] nearly look the same, sorted: int64 [k, 2]. None of them is plain."""
    a, b = (np.array([one.perceptual for one in side], dtype=np.uint64) for side in (kept, others))
    pairs = near_pairs(a, b, radius)
    thumbs = [np.frombuffer(b"".join(one.thumb for one in side), np.uint8) for side in (kept, others)]
    left, right = (
        thumb.reshape(len(side), -1)[pairs[:, k]].astype(float)
        for k, (thumb, side) in enumerate(zip(thumbs, (kept, others), strict=True))
    )
    return pairs[np.abs(left - right).mean(axis=1) <= THUMB_DISTANCE] if len(pairs) else pairs


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number of bits that differ between a[i] and b[i], uint64 [n] each: int64 [n]."""
    return _BITS[(a ^ b).view(np.uint8)].reshape(-1, 8).sum(axis=1, dtype=np.int64)


def near_pairs(a: np.ndarray, b: np.ndarray, radius: int) -> np.ndarray:
    """All (i, j) with at most ``radius`` bits between a[i] and b[j], uint64 hashes, sorted: int64 [k, 2].

    The bits are cut into ``radius + 1`` bands: two hashes that differ in ``radius`` bits agree in a band, so only those
    that do are compared. Nothing is missed, and the work is far from quadratic.
    """
    if not 0 <= radius < NUM_BITS:
        raise FomoError(f"radius={radius}: allowed are 0 to {NUM_BITS - 1} bits.")
    edges = np.linspace(0, NUM_BITS, max(radius + 1, 2) + 1).astype(int)
    found = [
        pairs[distances(a[pairs[:, 0]], b[pairs[:, 1]]) <= radius]
        for low, high in itertools.pairwise(edges)
        for pairs in _agreeing(_band(a, low, high), _band(b, low, high))
    ]
    return np.unique(np.concatenate([np.empty((0, 2), dtype=np.int64), *found]), axis=0)


def _band(hashes: np.ndarray, low: int, high: int) -> np.ndarray:
    return (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)


def _agreeing(a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of places with equal values, in parts of bounded size: int64 [k, 2]."""
    order = np.argsort(a, kind="stable")
    ordered = a[order]
    first = np.searchsorted(ordered, b, side="left")
    counts = np.searchsorted(ordered, b, side="right") - first
    part = np.cumsum(counts) // MOST_PAIRS
    for number in np.unique(part):
        rows = np.flatnonzero(part == number)
        j = np.repeat(rows, counts[rows])
        ends = np.cumsum(counts[rows])
        within = np.arange(len(j)) - np.repeat(ends - counts[rows], counts[rows])
        yield np.stack([order[first[j] + within], j], axis=1)
