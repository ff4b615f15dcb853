"""Pixels and perceptual hashes: what they ignore, what they notice, and the search against all pairs."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fomo.data.inspect.duplicates import Signature, distances, near_duplicates, near_pairs, perceptual_hash, signatures
from fomo.data.samples import ArraySamples
from fomo.errors import FomoError
from tests.fomo.helpers import encoded, picture

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=12)


def scene(number: int, size: int = 128) -> Image.Image:
    """Something with shapes in it."""
    rng = np.random.default_rng(number)
    image = Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(0, 256, 3)))
    for _ in range(6):
        x, y, w, h = rng.integers(0, size, 4)
        ImageDraw.Draw(image).ellipse(
            (x, y, x + w // 2 + 4, y + h // 2 + 4), tuple(int(v) for v in rng.integers(0, 256, 3))
        )
    return image


def bits(a: Image.Image, b: Image.Image) -> int:
    first, second = perceptual_hash(a), perceptual_hash(b)
    assert first is not None and second is not None
    return bin(first ^ second).count("1")


@pytest.mark.parametrize("number", range(8))
def test_compressing_and_scaling_move_few_bits_and_another_picture_many(number: int) -> None:
    image = scene(number)
    packed = Image.open(io.BytesIO(encoded(image, "JPEG", quality=60)))
    assert bits(image, packed) <= 4 and bits(image, image.resize((64, 64))) <= 4
    assert bits(image, scene(number + 100)) > 10


def test_a_plain_picture_has_no_perceptual_hash() -> None:
    assert perceptual_hash(Image.new("RGB", (40, 40), (200, 30, 30))) is None
    assert perceptual_hash(scene(0)) == perceptual_hash(scene(0).copy())


def search(a: list[int], b: list[int], radius: int) -> list[list[int]]:
    return near_pairs(np.array(a, dtype=np.uint64), np.array(b, dtype=np.uint64), radius).tolist()


@given(HASHES, HASHES, st.integers(0, 40), st.data())
def test_the_search_finds_what_all_pairs_give(a: list[int], b: list[int], radius: int, data: st.DataObject) -> None:
    for near in a[:4]:  # random hashes are never near: add some that are
        flips = data.draw(st.lists(st.integers(0, 63), max_size=8))
        b = [*b, near ^ sum(1 << place for place in set(flips))]
    slow = [[i, j] for i, x in enumerate(a) for j, y in enumerate(b) if bin(x ^ y).count("1") <= radius]
    assert search(a, b, radius) == slow


def test_the_search_works_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fomo.data.inspect.duplicates.MOST_PAIRS", 7)
    assert search([5] * 6, [5, 5, 4, 5], 1) == [[i, j] for i in range(6) for j in range(4)]


@pytest.mark.parametrize("radius", [-1, 64])
def test_a_radius_that_means_nothing_is_refused(radius: int) -> None:
    with pytest.raises(FomoError, match=f"radius={radius}"):
        search([1], [1], radius)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_distances_count_bits(a: int, b: int) -> None:
    assert distances(np.array([a], np.uint64), np.array([b], np.uint64)) == [bin(a ^ b).count("1")]


def test_equal_shapes_in_other_colours_are_no_duplicates() -> None:
    red, dark = Signature(1, 77, bytes([200, 0, 0] * 16)), Signature(2, 77, bytes([190, 5, 0] * 16))
    blue = Signature(3, 77, bytes([0, 0, 200] * 16))
    assert near_duplicates([red], [dark, blue], 0).tolist() == [[0, 0]]


def test_signatures_of_arrays_are_those_of_their_pixels(tmp_path: Path) -> None:
    pixels = np.stack([np.asarray(picture(number, (8, 8))) for number in (1, 2, 1)])
    np.save(tmp_path / "images.npy", pixels)
    np.save(tmp_path / "targets.npy", np.zeros(3, dtype=np.int64))
    (tmp_path / "captions.json").write_text("[[], [], []]")
    found = [s for s in signatures(ArraySamples(tmp_path), np.array([0, 1, 2]), True) if isinstance(s, Signature)]
    assert found[0] == found[2] and found[0].pixels != found[1].pixels
    assert all(one.perceptual is not None and len(one.thumb) == 48 for one in found)
    plain = signatures(ArraySamples(tmp_path), np.array([2]), False)
    assert plain == [Signature(found[0].pixels)]
