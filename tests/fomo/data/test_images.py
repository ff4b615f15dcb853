"""Decoding never fails in a new way, and the random crop is that of torchvision."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fomo import rng
from fomo.data.card import PLAIN
from fomo.data.images import BadImage, crop_box, decode, random_crop
from tests.fomo.helpers import encoded, picture

RATIO = (3 / 4, 4 / 3)


def with_orientation(image: Image.Image, kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, exif=exif)


def transparent(mode: str) -> Image.Image:
    """A picture whose transparency goes from none to all, from left to right."""
    image = picture(5).convert(mode)
    image.putalpha(Image.fromarray(np.tile(np.linspace(255, 0, 8).astype(np.uint8), (6, 1))))
    return image


PALETTE = picture(6).quantize(16)
DEEP = np.arange(0, 65_536, 1366, dtype=np.uint16).reshape(6, 8)
FILES = {
    "a picture": encoded(picture(0), "JPEG"),
    "rotated by EXIF": with_orientation(picture(1), "JPEG", 6),
    "mirrored by EXIF in PNG": with_orientation(picture(1), "PNG", 2),
    "rotated in TIFF": with_orientation(picture(1), "TIFF", 6),
    "RGBA": encoded(transparent("RGB")),
    "RGBA in WebP": encoded(transparent("RGB"), "WEBP", lossless=True),
    "grey with transparency": encoded(transparent("L")),
    "a palette": encoded(PALETTE),
    "a palette with a transparent entry": encoded(PALETTE, transparency=3),
    "a palette with transparent entries": encoded(PALETTE, transparency=bytes(range(0, 255, 17))),
    "a palette in GIF": encoded(PALETTE, "GIF", transparency=3),
    "a transparent color": encoded(picture(7), transparency=tuple(picture(7).getpixel((2, 2)))),  # type: ignore[arg-type]
    "CMYK": encoded(picture(8).convert("CMYK"), "JPEG"),
    "CMYK in TIFF": encoded(picture(8).convert("CMYK"), "TIFF"),
    "grey": encoded(picture(9).convert("L"), "JPEG"),
    "black and white": encoded(picture(9).convert("1")),
    "16 bits of grey": encoded(Image.fromarray(DEEP)),
    "12 bits in 16": encoded(Image.fromarray(DEEP // 16)),
    "16 bits of grey in TIFF": encoded(Image.fromarray(DEEP), "TIFF"),
    "floats": encoded(Image.fromarray(DEEP.astype(np.float32) / 65_535), "TIFF"),
}
DIFFERENT = (
    *("rotated by EXIF", "mirrored by EXIF in PNG", "RGBA", "RGBA in WebP", "grey with transparency"),
    *("a palette with a transparent entry", "a palette with transparent entries", "a palette in GIF"),
    *("a transparent color", "16 bits of grey", "floats"),
)


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(np.asarray(image)[y, x].tolist())


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that no pixel data backs."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_rgb_comes_back_as_it_is(kind: str) -> None:
    image = decode(encoded(picture(0), kind))
    assert image.mode == "RGB" and image.tobytes() == picture(0).tobytes()


def test_bytes_and_files_are_read_alike() -> None:
    data = encoded(picture(1))
    assert decode(io.BytesIO(data)).tobytes() == decode(data).tobytes()


def test_transparency_of_rgba_is_laid_on_white() -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    shown = decode(encoded(image))
    assert [pixel(shown, x, 0) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]
    assert all(125 <= value <= 129 for value in pixel(shown, 2, 0))


def test_transparency_of_grey_is_laid_on_white() -> None:
    image = Image.new("LA", (2, 1), (40, 255))
    image.putpixel((1, 0), (0, 0))
    shown = decode(encoded(image))
    assert (pixel(shown, 0, 0), pixel(shown, 1, 0)) == ((40, 40, 40), (255, 255, 255))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparency_of_a_palette_is_laid_on_white(kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.putpixel((1, 0), 1)
    shown = decode(encoded(image, kind, transparency=0))
    assert (pixel(shown, 0, 0), pixel(shown, 1, 0)) == ((255, 255, 255), (10, 200, 30))


def test_transparency_of_rgb_with_a_key_color_is_laid_on_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    shown = decode(encoded(image, transparency=(1, 2, 3)))
    assert (pixel(shown, 0, 0), pixel(shown, 1, 0)) == ((255, 255, 255), (9, 9, 9))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_brightness(kind: str) -> None:
    values = np.array([[0, 32768, 65535]], dtype=np.uint16)
    shown = np.asarray(decode(encoded(Image.fromarray(values), kind)))[0, :, 0]
    assert shown[0] == 0 and abs(int(shown[1]) - 127) <= 1 and shown[2] == 255


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_other_modes_become_rgb(mode: str) -> None:
    shown = decode(encoded(Image.new("L", (4, 2), 255).convert(mode)))
    assert shown.mode == "RGB" and shown.size == (4, 2) and pixel(shown, 0, 0) == (255, 255, 255)


def test_cmyk_becomes_rgb() -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    r, g, b = pixel(decode(encoded(red, "JPEG", quality=95)), 8, 8)
    assert r > 240 and g < 20 and b < 20


def test_exif_rotation_is_undone() -> None:
    image = Image.new("RGB", (32, 16))
    image.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = decode(encoded(image, "JPEG", exif=exif))
    assert shown.size == (16, 32)
    assert min(pixel(shown, 8, 4)) > 240 and max(pixel(shown, 8, 28)) < 15


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", FILES)
def test_what_is_read_plainly_is_pillows_conversion_to_the_bit(name: str) -> None:
    plain = decode(FILES[name], decoding=PLAIN)
    expected = Image.open(io.BytesIO(FILES[name])).convert("RGB")
    assert (plain.mode, plain.size) == ("RGB", expected.size) and plain.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_shown_is_something_else_where_there_is_a_difference(name: str) -> None:
    assert decode(FILES[name]).tobytes() != decode(FILES[name], decoding=PLAIN).tobytes()


def test_plainly_too_no_image_of_too_many_pixels_and_none_that_is_broken_is_read() -> None:
    with pytest.raises(BadImage, match="too many pixels"):
        decode(png_of_size(30_000, 30_000), decoding=PLAIN)
    with pytest.raises(BadImage, match="broken"):
        decode(encoded(picture(0))[:60], decoding=PLAIN)


def test_an_animation_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue", "green")]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert pixel(decode(data), 1, 1) == (255, 0, 0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "broken"),
        (b"just some words", "broken"),
        (b"\x89PNG\r\n\x1a\n", "broken"),
        (encoded(picture(2, (64, 64)))[:-2000], "broken"),
        (encoded(picture(2, (64, 64)), "JPEG")[:600], "broken"),
        (encoded(picture(2), "PCX"), "broken"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "broken"),
        (png_of_size(60_000, 60_000), "too many pixels"),
        (png_of_size(10_000, 10_000), "too many pixels"),
        (png_of_size(2**31 - 1, 2**31 - 1), "too many pixels"),
    ],
    ids=["empty", "text", "no header", "cut png", "cut jpeg", "pcx", "eps", "60000²", "10000²", "(2^31-1)²"],
)
def test_what_is_no_usable_picture_says_why(data: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        decode(data)


def test_the_limit_of_pixels_is_inclusive() -> None:
    assert decode(encoded(picture(3, (10, 10))), max_pixels=100).size == (10, 10)
    with pytest.raises(BadImage, match="too many pixels"):
        decode(encoded(picture(3, (11, 10))), max_pixels=100)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damaged_bytes_are_a_picture_or_a_bad_image(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}
    whole = encoded(picture(4, (24, 16)), kind, **options)
    generator, bad = rng.generator("damage", kind), 0
    for _ in range(400):
        damaged = bytearray(whole[: int(generator.integers(1, len(whole) + 1))])
        for place in generator.integers(0, min(len(damaged), 400), 3):
            damaged[place] = generator.integers(0, 256)
        try:
            assert decode(bytes(damaged), max_pixels=100_000).mode == "RGB"
        except BadImage:
            bad += 1
    assert bad


SIDES = st.integers(1, 3000)
UNIFORMS: st.SearchStrategy[np.ndarray] = st.lists(
    st.tuples(*[st.floats(0, 1, exclude_max=True, allow_nan=False)] * 4), min_size=1, max_size=10
).map(np.array)
SCALES = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(lambda pair: (min(pair), max(pair)))


@given(SIDES, SIDES, UNIFORMS, SCALES)
def test_a_box_lies_within_its_picture(
    width: int, height: int, uniforms: np.ndarray, scale: tuple[float, float]
) -> None:
    left, upper, right, lower = crop_box((width, height), uniforms, scale, RATIO)
    assert 0 <= left < right <= width and 0 <= upper < lower <= height
    assert all(edge == int(edge) for edge in (left, upper, right, lower))


def expected_box(
    size: tuple[int, int], uniforms: np.ndarray, scale: tuple[float, float]
) -> tuple[tuple[int, int, int, int], bool]:
    """RandomResizedCrop.get_params of torchvision 0.26 with given uniforms; and whether it fell back."""
    width, height = size
    for share, aspect, x, y in uniforms.tolist():
        area = width * height * (scale[0] + share * (scale[1] - scale[0]))
        low, high = np.log(RATIO)
        ratio = float(np.exp(low + aspect * (high - low)))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            i, j = int(np.floor(y * (height - h + 1))), int(np.floor(x * (width - w + 1)))
            return (j, i, j + w, i + h), False
    w, h = width, height
    if width / height < min(RATIO):
        h = round(w / min(RATIO))
    elif width / height > max(RATIO):
        w = round(h * max(RATIO))
    i, j = (height - h) // 2, (width - w) // 2
    return (j, i, j + w, i + h), True


@given(st.integers(4, 2000), st.integers(4, 2000), UNIFORMS, SCALES)
def test_a_box_is_torchvisions(width: int, height: int, uniforms: np.ndarray, scale: tuple[float, float]) -> None:
    expected, _ = expected_box((width, height), uniforms, scale)
    assert crop_box((width, height), uniforms, scale, RATIO) == expected


@given(st.integers(32, 2000), st.integers(32, 2000), UNIFORMS)
def test_a_box_keeps_its_share_of_the_area_unless_it_fell_back(width: int, height: int, uniforms: np.ndarray) -> None:
    left, upper, right, lower = crop_box((width, height), uniforms, (0.5, 0.8), RATIO)
    share = (right - left) * (lower - upper) / (width * height)
    rounding = (width + height) / (width * height)
    if not expected_box((width, height), uniforms, (0.5, 0.8))[1]:
        assert 0.5 - rounding <= share <= 0.8 + rounding


@pytest.mark.parametrize(
    ("size", "box"), [((100, 10), (43, 0, 56, 10)), ((10, 100), (0, 43, 10, 56)), ((9, 9), (0, 0, 9, 9))]
)
def test_the_fallback_is_the_largest_central_box_of_an_allowed_ratio(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    never_fits = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.999, 0.0, 0.0]])
    assert crop_box(size, never_fits, (4.0, 4.0), RATIO) == box


def test_boxes_reach_every_edge() -> None:
    uniforms = rng.generator("boxes").random((400, 1, 4))
    boxes = np.array([crop_box((40, 30), each, (0.5, 0.9), RATIO) for each in uniforms])
    assert boxes[:, :2].min(axis=0).tolist() == [0, 0] and boxes[:, 2:].max(axis=0).tolist() == [40, 30]


def test_a_random_crop_is_the_resized_box() -> None:
    image, uniforms = picture(5, (40, 30)), rng.generator("crop").random((10, 4))
    box = crop_box(image.size, uniforms, (0.3, 0.6), RATIO)
    cut = image.crop(box).resize((16, 16), Image.Resampling.BICUBIC)
    made = random_crop(image, 16, uniforms, (0.3, 0.6))
    assert made.shape == (16, 16, 3) and made.dtype == np.uint8
    assert np.array_equal(made, np.asarray(cut))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_crops_of_tiny_and_thin_pictures_have_the_size_asked_for(size: tuple[int, int]) -> None:
    uniforms = rng.generator("thin").random((10, 4))
    assert random_crop(picture(6, size), 32, uniforms, (0.9, 1.0)).shape == (32, 32, 3)


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    image = picture(7, (32, 32))
    whole = np.array([[0.0, 0.5, 0.0, 0.0]])
    assert np.array_equal(random_crop(image, 32, whole, (1.0, 1.0)), np.asarray(image))
