"""Images of more than 8 bits a channel: of known range as they are, of unknown range left out, never black."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fomo.data.images import BadImage, decode
from fomo.data.sources import Unusable
from fomo.data.stored_images import read_image
from tests.fomo.helpers import encoded

RAMP = np.linspace(0, 1, 48, dtype=np.float64).reshape(6, 8)
EXPECTED = (RAMP * 255).round()


def tiff(values: np.ndarray, **options: object) -> bytes:
    return encoded(Image.fromarray(values), "TIFF", **options)


def near(data: bytes) -> bool:
    """Whether an image shows :data:`RAMP`."""
    return bool(np.abs(np.asarray(decode(data))[..., 0].astype(int) - EXPECTED).max() <= 1)


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """A TIFF file whose first directory has another value in one of its tags of type SHORT."""
    changed = bytearray(data)
    start = int.from_bytes(data[4:8], "little")
    for place in range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12):
        if int.from_bytes(data[place : place + 2], "little") == tag:
            changed[place + 8 : place + 10] = value.to_bytes(2, "little")
            return bytes(changed)
    raise AssertionError(tag)


def pgm(values: np.ndarray, maximum: int) -> bytes:
    return b"P5 8 6 %d\n" % maximum + values.astype(">u2").tobytes()


@pytest.mark.parametrize(
    "data",
    [
        tiff(RAMP.astype(np.float32)),
        tiff((RAMP * 65_535).astype(np.uint16)),
        encoded(Image.fromarray((RAMP * 65_535).astype(np.uint16))),
        tiff((RAMP * (2**31 - 1)).astype(np.int32)),
        pgm(RAMP * 65_535, 65_535),
        pgm(RAMP * 4095, 4095),
        with_tag(tiff((65_535 - RAMP * 65_535).astype(np.uint16)), 262, 0),
        with_tag(tiff((1 - RAMP).astype(np.float32)), 262, 0),
    ],
    ids=["float", "16 bits TIFF", "16 bits PNG", "32 bits", "PGM 16", "PGM 12", "white is zero", "white is 0.0"],
)
def test_grey_of_a_known_range_keeps_its_brightness(data: bytes) -> None:
    assert near(data)


@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 255).astype(np.float32),
        (RAMP * 1000 - 500).astype(np.float32),
        (RAMP * 2 - 1).astype(np.float32),
        np.where(RAMP > 0.5, np.nan, RAMP).astype(np.float32),
        np.where(RAMP > 0.5, np.inf, RAMP).astype(np.float32),
        (RAMP * 255).astype(np.int32),
        (RAMP * 65_535).astype(np.int32),
        (RAMP * 2**31 - 2**30).astype(np.int32),
        (RAMP * 4095).astype(np.uint16),
        (RAMP * 255).astype(np.uint16),
        (RAMP * 16_383).astype(np.uint16),
    ],
    ids=[
        "0..255.0",
        "centred",
        "-1..1",
        "nan",
        "inf",
        "8 in 32",
        "16 in 32",
        "signs",
        "12 in 16",
        "8 in 16",
        "14 in 16",
    ],
)
def test_grey_of_an_unknown_range_is_left_out(values: np.ndarray) -> None:
    for data in [tiff(values)] + ([encoded(Image.fromarray(values))] if values.dtype == np.uint16 else []):
        with pytest.raises(BadImage, match="unknown range"):
            decode(data)
    with pytest.raises(Unusable, match="unknown range"):
        read_image(tiff(values))


def test_12_bits_that_the_file_calls_so_are_known() -> None:
    values = (RAMP * 0.2 * 4095).astype(np.uint16)
    packed = np.concatenate([[a >> 4, (a & 15) << 4 | b >> 8, b & 255] for a, b in values.reshape(-1, 2)])
    tags = [(256, 8), (257, 6), (258, 12), (259, 1), (262, 1), (273, 0), (277, 1), (278, 6), (279, len(packed))]
    start = 8 + 2 + 12 * len(tags) + 4
    tags[5] = (273, start)
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<LH", 8, len(tags)) + entries + bytes(4) + bytes(packed.astype(np.uint8))
    shown = np.asarray(decode(data))[..., 0].astype(int)
    assert np.abs(shown - RAMP * 0.2 * 255).max() <= 1


def test_numbers_with_a_sign_in_8_bits_are_left_out() -> None:
    data = encoded(Image.new("L", (8, 6), 200), "TIFF", tiffinfo={339: 2})
    with pytest.raises(BadImage, match="unknown range"):
        decode(data)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int32])
def test_nothing_but_zeros_is_black_whatever_the_range(dtype: type) -> None:
    assert not np.asarray(decode(tiff(np.zeros((6, 8), dtype=dtype)))).any()


def rgb_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write: [h, w, 3] uint16."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = (
        b"IHDR" + struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(rows),
        b"IEND",
    )
    parts = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_colours_of_16_bits_are_read_and_those_of_12_bits_in_16_left_out() -> None:
    ramp = np.stack([RAMP] * 3, axis=-1)
    assert near(rgb_png(ramp * 65_535))
    with pytest.raises(BadImage, match="unknown range"):
        decode(rgb_png(ramp * 4095))


def test_images_that_differ_only_beyond_8_bits_are_no_duplicates() -> None:
    floats = [tiff((RAMP * (1 - number / 10_000)).astype(np.float32)) for number in range(5)]
    read = [read_image(data) for data in floats]
    assert len({each.content for each in read}) == 5 > len({each.digest for each in read})
    assert read[0].content == read_image(tiff(RAMP.astype(np.float32), compression="tiff_lzw")).content


def test_what_is_stored_shows_what_was_decoded() -> None:
    stored = read_image(tiff(RAMP.astype(np.float32)))
    assert stored.extension == "png" and Image.open(io.BytesIO(stored.data)).mode == "RGB" and near(stored.data)
