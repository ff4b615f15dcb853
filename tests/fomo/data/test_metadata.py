"""Metadata, damaged or odd, costs no image: the orientation is read, the rest is passed over."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fomo import rng
from fomo.data.images import BadImage, decode, format_if_still
from fomo.data.metadata import DamagedPixels, exif_orientation, without_metadata
from tests.fomo.helpers import encoded, picture

LANDSCAPE = Image.new("RGB", (48, 32))
LANDSCAPE.paste((255, 255, 255), (0, 0, 24, 32))
ASCII, SHORT, LONG, RATIONAL, SRATIONAL, ODD = 2, 3, 4, 5, 10, 77


def exif(*entries: tuple[int, int, int, bytes], orientation: int = 6, order: str = "<") -> bytes:
    """An EXIF block whose first directory holds the orientation and ``entries`` of tag, type, count and value."""
    every = [(0x0112, SHORT, 1, struct.pack(f"{order}HH", orientation, 0)), *entries]
    body, behind = b"", b""
    data_start = 8 + 2 + 12 * len(every) + 4
    for tag, kind, count, value in sorted(every):
        if len(value) > 4:
            value, behind = struct.pack(f"{order}L", data_start + len(behind)), behind + value
        body += struct.pack(f"{order}HHL", tag, kind, count) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", 8)
    return b"Exif\0\0" + head + struct.pack(f"{order}H", len(every)) + body + bytes(4) + behind


DAMAGED = {
    "whole": exif(),
    "big end first": exif(order=">"),
    "resolution of -1/0": exif((0x011A, SRATIONAL, 1, struct.pack("<ll", -1, 0))),
    "resolution of 0/0": exif((0x011A, RATIONAL, 1, struct.pack("<LL", 0, 0))),
    "unit as text": exif((0x0128, ASCII, 5, b"inch\0")),
    "resolution as text": exif((0x011A, ASCII, 7, b"72 dpi\0"), (0x0128, SHORT, 1, b"\2\0")),
    "GPS version as text": exif((0x8825, LONG, 1, struct.pack("<L", 50)), (0x0000, ASCII, 4, b"2.2\0")),
    "GPS directory that leads out": exif((0x8825, LONG, 1, struct.pack("<L", 2**31))),
    "EXIF directory that leads back": exif((0x8769, LONG, 1, struct.pack("<L", 8))),
    "unknown type": exif((0x9999, ODD, 1, b"abcd")),
    "a count without end": exif((0x010E, ASCII, 2**31, struct.pack("<L", 2**31))),
    "maker note cut off": exif((0x927C, 7, 5000, struct.pack("<L", 60))),
    "cut off": exif((0x010E, ASCII, 90, b"x" * 90))[:-80],
}


def upright(image: Image.Image) -> bool:
    """Whether the white left half of :data:`LANDSCAPE` is on top, as orientation 6 wants it."""
    pixels = np.asarray(image)
    return image.size == (32, 48) and pixels[:20].min() > 200 and pixels[28:].max() < 50


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    """The image with application segments by marker."""
    made = b"".join(bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body for marker, body in segments)
    data = encoded(LANDSCAPE, "JPEG")
    return data[:2] + made + data[2:]


@pytest.mark.parametrize("block", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_of_damaged_exif_is_upright(kind: str, block: bytes) -> None:
    if kind == "JPEG":
        data = jpeg((0xE1, block))
    elif kind == "PNG":
        data = png((b"eXIf", block.removeprefix(b"Exif\0\0")))
    else:
        data = encoded(LANDSCAPE, "WEBP", lossless=True, exif=block)
    assert upright(decode(data))


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    assert decode(jpeg((0xE1, exif(orientation=orientation)))).size == (48, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_pillows(kind: str, orientation: int) -> None:
    from PIL import ImageOps

    about = Image.Exif()
    about[0x0112] = orientation
    data = encoded(picture(3, (24, 16)), kind, exif=about)
    theirs = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert decode(data).size == theirs.size and decode(data).tobytes() == theirs.tobytes()


@pytest.mark.parametrize(
    "segment",
    [
        (0xE2, b"ICC_PROFILE\0\1\1" + b"no profile" * 9),
        (0xE2, b"ICC_PROFILE\0"),
        (0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        (0xE2, b"MPF\0" + b"\xff" * 40),
        (0xED, b"Photoshop 3.0\x008BIM\x03\xed" + b"\xff" * 30),
        (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\2ab"),
        (0xE0, b"JFIF\0"),
        (0xE0, b"JFIF\0\1\1\xff\0\0\0\0\0\0"),
        (0xEE, b"Adobe"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta \xff\xfe"),
        (0xE1, b"Exif\0\0"),
        (0xE1, b"Exif\0\0MM"),
        (0xFE, b"\xff\xd9 a comment"),
    ],
)
def test_segments_of_a_jpeg_that_say_nothing_of_pixels_are_passed_over(segment: tuple[int, bytes]) -> None:
    assert upright(decode(jpeg(segment, (0xE1, exif())))) and upright(decode(jpeg((0xE1, exif()), segment)))


def test_xmp_tells_the_orientation_where_exif_does_not() -> None:
    xmp = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    assert upright(decode(jpeg((0xE1, xmp))))
    assert decode(jpeg((0xE1, xmp), (0xE1, exif(orientation=1)))).size == (48, 32)


@pytest.mark.parametrize("form", [b"tiff:Orientation='6'/>", b"><tiff:Orientation> 6 </tiff:Orientation>"])
def test_xmp_may_be_written_otherwise(form: bytes) -> None:
    assert upright(decode(jpeg((0xE1, b"http://ns.adobe.com/xap/1.0/\0<rdf:Description " + form))))


def png(*chunks: tuple[bytes, bytes], wrong: bool = False) -> bytes:
    """The image with chunks behind its header, their checksums right or wrong."""
    made = b"".join(
        len(body).to_bytes(4, "big") + kind + body + (zlib.crc32(kind + body) ^ wrong).to_bytes(4, "big")
        for kind, body in chunks
    )
    data = encoded(LANDSCAPE)
    return data[:33] + made + data[33:]


ORIENTED = (b"eXIf", exif().removeprefix(b"Exif\0\0"))


@pytest.mark.parametrize(
    "chunk",
    [
        (b"iCCP", b"name\0\0not compressed"),
        (b"iCCP", b"name\0\0" + zlib.compress(bytes(9_000_000))),
        (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(90_000_000))),
        (b"zTXt", b"Comment\0\7what"),
        (b"tEXt", b"Comment\0" + b"x" * 9_000_000),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"y" * 9_000_000)),
        (b"iTXt", b""),
        (b"gAMA", b"\0"),
        (b"pHYs", b"\0\0"),
        (b"cHRM", b""),
        (b"sRGB", b""),
        (b"tIME", b"\xff"),
        (b"abCd", b"private"),
        (b"acTL", b"\0\0"),
    ],
)
@pytest.mark.parametrize("wrong", [False, True])
def test_chunks_of_a_png_that_say_nothing_of_pixels_are_passed_over(chunk: tuple[bytes, bytes], wrong: bool) -> None:
    assert upright(decode(png(chunk, ORIENTED, wrong=wrong)))


def test_many_texts_cost_no_image() -> None:
    assert upright(decode(png(*[(b"tEXt", b"Comment\0" + b"x" * 900_000)] * 80, ORIENTED)))


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
def test_exif_in_a_text_chunk_of_a_png_is_read(kind: bytes) -> None:
    text = b"\nexif\n%8d\n" % len(exif()) + exif().hex().encode() + b"\n"
    body = b"Raw profile type exif\0" + (b"\0" + zlib.compress(text) if kind == b"zTXt" else text)
    assert upright(decode(png((kind, body))))
    assert decode(png((kind, b"Raw profile type exif\0\0no zlib, no digits"))).size == (48, 32)


def test_metadata_behind_the_pixels_of_a_png_is_read_too() -> None:
    data = png(ORIENTED)
    size = 12 + len(ORIENTED[1])
    assert upright(decode(data[:33] + data[33 + size : -12] + data[33 : 33 + size] + data[-12:]))


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
def test_damaged_pixels_of_a_png_stay_out(kind: bytes) -> None:
    data = bytearray(encoded(picture(1)))
    place = data.index(kind)
    length = int.from_bytes(data[place - 4 : place], "big")
    data[place + 4 + length] ^= 1
    with pytest.raises(BadImage, match="broken"):
        decode(bytes(data))


def test_damaged_pixels_of_a_jpeg_and_a_webp_stay_out() -> None:
    for data in (encoded(picture(2, (64, 64)), "JPEG"), encoded(picture(2, (64, 64)), "WEBP", lossless=True)):
        with pytest.raises(BadImage, match="broken"):
            decode(data[: len(data) // 2])


@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate", "tiff_lzw"])
def test_damaged_tags_of_a_tiff_cost_no_image(compression: str | None) -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[0x0112] = 6
    directory[270] = "a description"
    whole = encoded(LANDSCAPE, "TIFF", tiffinfo=directory, compression=compression, dpi=(72, 72), icc_profile=b"none")
    assert upright(decode(whole))
    (start,) = struct.unpack_from("<L", whole, 4)
    (count,) = struct.unpack_from("<H", whole, start)
    damaged = 0
    for place in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", whole, place)
        if tag in (270, 282, 283, 296, 34675):
            for kind, size, value in ((5, 1, 2**31), (2, 2**30, 2**30), (10, 1, 8), (13, 9, 2**20)):
                data = bytearray(whole)
                struct.pack_into("<HLL", data, place + 2, kind, size, value)
                assert upright(decode(bytes(data))), (tag, kind)
                damaged += 1
    assert damaged >= 16


def test_an_animation_keeps_its_first_frame_without_its_metadata() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    for kind, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], exif=exif(orientation=1), **options)
        assert np.asarray(decode(data))[0, 0].tolist() == [255, 0, 0]


def test_what_stays_of_a_whole_file_is_no_larger_and_shows_the_same() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        data = encoded(picture(5, (30, 20)), kind)
        bare = without_metadata(data)
        assert bare.orientation == 1 and len(bare.data) <= len(data)
        assert decode(bare.data).tobytes() == decode(data).tobytes()
        assert format_if_still(bare.data) == kind


def test_colours_of_cmyk_are_told_by_adobes_segment() -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    data = encoded(red, "JPEG", quality=95)
    assert b"Adobe" in data and np.asarray(decode(data))[8, 8, 0] > 240


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_any_damage_is_an_image_or_a_bad_image(kind: str) -> None:
    about = Image.Exif()
    about[0x0112] = 6
    whole = encoded(picture(4, (24, 16)), kind, exif=about)
    generator = rng.generator("metadata damage", kind)
    for _ in range(300):
        damaged = bytearray(whole[: int(generator.integers(1, len(whole) + 1))])
        for place in generator.integers(0, min(len(damaged), 300), 3):
            damaged[place] = generator.integers(0, 256)
        without_metadata_or_nothing(bytes(damaged))
        with suppress(BadImage):
            assert decode(bytes(damaged), max_pixels=100_000).mode == "RGB"


def without_metadata_or_nothing(data: bytes) -> None:
    with suppress(DamagedPixels):
        assert 1 <= without_metadata(data).orientation <= 8


@pytest.mark.parametrize(
    "block", [b"", b"II", b"II*\0", b"XX*\0\0\0\0\x08\0\0", b"MM\0*\xff\xff\xff\xff\0\0", b"II*\0" * 9]
)
def test_what_is_no_exif_has_no_orientation(block: bytes) -> None:
    assert exif_orientation(block) == 0
