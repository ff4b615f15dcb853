"""The same image in two places: exactly, by the hash of its pixels, or nearly, by a perceptual hash.

The perceptual hash is pHash (Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions): the
lowest 8 × 8 coefficients of the cosine transform of the 32 × 32 grey image, without the constant one, above or below
their median. It is blind to colour: two images are near duplicates if few bits differ, and the colours of their 4 × 4
thumbnails too.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from fomo.data.samples import Samples
from fomo.data.shard_index import shortened
from fomo.data.shards import ShardSamples
from fomo.data.stored_images import pixel_digest
from fomo.errors import FomoError, check_allowed

SIDE = 32
"""Pixels of a side of the grey image."""
LOW = 8
"""Coefficients of a side that the hash keeps."""
PLAIN = 2.0
"""Standard deviation of the grey values (0–255) below which an image has nothing to tell it by."""
NUM_BITS = 64
THUMB_SIDE = 4
THUMB_DISTANCE = 8.0
"""Near duplicates differ by at most so much in the mean over their thumbnails' RGB values (0–255)."""
MOST_PAIRS = 4_000_000
"""Pairs that are compared at once."""
_BITS = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


class Signature(NamedTuple):
    """What an image is compared by."""

    pixels: int
    """The first 64 bits of the SHA-256 of size and pixels."""
    perceptual: int | None = None
    """The perceptual hash; ``None`` for a plain image, and where it was not asked for."""
    thumb: bytes = b""
    """RGB values of the thumbnail; empty where it was not asked for."""


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """The first rows of the DCT-II matrix: [LOW, SIDE]."""
    return np.cos(np.pi / SIDE * (np.arange(SIDE) + 0.5) * np.arange(LOW)[:, None])


def perceptual_hash(image: Image.Image) -> int | None:
    """63 bits that stay nearly the same under scaling and recompression; ``None`` for a plain image."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float64)
    if grey.std() < PLAIN:
        return None
    low = (_cosines() @ grey @ _cosines().T).ravel()[1:]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def signatures(samples: Samples, rows: np.ndarray, perceptual: bool) -> list[Signature | str]:
    """A signature for each of ``rows``, or what is wrong with the image.

    Shards hold the hash of the pixels in their index, so that without ``perceptual`` their images are not opened.
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
    """All (i, j) where kept[i] and others[j] nearly look the same, sorted: int64 [k, 2].

    Args:
        kept: signatures of one side, perceptual hashes included: no image is plain.
        others: those of the other side, perceptual hashes included.
        radius: bits by which perceptual hashes may differ.
    """
    pairs = near_pairs(_hashes(kept), _hashes(others), radius)
    if not len(pairs):
        return pairs
    differences = np.abs(_thumbs(kept)[pairs[:, 0]] - _thumbs(others)[pairs[:, 1]])
    return pairs[differences.mean(axis=1) <= THUMB_DISTANCE]


def _hashes(side: Sequence[Signature]) -> np.ndarray:
    """Perceptual hashes: uint64 [n]."""
    return np.array([one.perceptual for one in side], dtype=np.uint64)


def _thumbs(side: Sequence[Signature]) -> np.ndarray:
    """RGB values of the thumbnails: float64 [n, 3 · THUMB_SIDE²]."""
    return np.frombuffer(b"".join(one.thumb for one in side), np.uint8).reshape(len(side), -1).astype(float)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number of bits that differ between a[i] and b[i], uint64 [n] each: int64 [n]."""
    return _BITS[(a ^ b).view(np.uint8)].reshape(-1, 8).sum(axis=1, dtype=np.int64)


def near_pairs(a: np.ndarray, b: np.ndarray, radius: int) -> np.ndarray:
    """All (i, j) with at most ``radius`` bits between a[i] and b[j], uint64 hashes, sorted: int64 [k, 2].

    The bits are cut into ``radius + 1`` bands: two hashes that differ in ``radius`` bits agree in a band, so only those
    that do are compared. Nothing is missed, and the work is far from quadratic.
    """
    check_allowed(0 <= radius < NUM_BITS, f"radius={radius}", f"0 to {NUM_BITS - 1} bits")
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
    """All (i, j) with a[i] = b[j], in parts of bounded size: int64 [k, 2]."""
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
