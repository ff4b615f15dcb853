"""Image files without what lies beside their pixels: text, colour profiles, EXIF and the rest of the metadata.

Damaged metadata must not cost an image, and Pillow's readers stop at some of it. So the parts that the pixels do not
need are cut out before Pillow sees the file, and the one fact that they do need, the orientation, is read here on its
own. A file whose structure is not understood stays as it is: Pillow then says whether it is an image.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

ORIENTATION = 0x0112
MAX_PROFILE_BYTES = 2**20
JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
WEBP_KEPT = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
WEBP_METADATA_BITS = 0x2C
TIFF_KEPT = frozenset((*range(254, 260), 262, 266, *range(277, 282), 273, 284, *range(290, 294), 317, *range(320, 326)))
"""Tags that say how the pixels are stored."""
TIFF_KEPT_TOO = frozenset((*range(332, 335), *range(336, 343), 347, *range(512, 522), *range(529, 533)))
XMP_ORIENTATION = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])")


class Bare(NamedTuple):
    """An image file without metadata, and the EXIF orientation that it had: 1 to 8, 1 being upright."""

    data: bytes
    orientation: int


class DamagedPixels(ValueError):
    """The checksum of a part that holds pixels is wrong."""


def without_metadata(data: bytes) -> Bare:
    """The file with pixels alone.

    Raises:
        DamagedPixels: a checksum of the pixels is wrong.
    """
    if data.startswith(JPEG_START):
        return _jpeg(data)
    if data.startswith(PNG_START):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff(data)
    return Bare(data, 1)


def exif_orientation(exif: bytes) -> int:
    """The orientation in the first directory of an EXIF block; 0 where it names none from 1 to 8."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return 0
    (start,) = struct.unpack_from(f"{order}L", exif, 4)
    for place in range(start + 2, min(len(exif), start + 2 + 12 * 65_536) - 11, 12):
        tag, kind = struct.unpack_from(f"{order}HH", exif, place)
        if tag == ORIENTATION:
            form = {1: "B", 3: "H", 4: "L", 8: "h", 9: "l"}.get(kind, "H")
            (value,) = struct.unpack_from(f"{order}{form}", exif, place + 8)
            return value if 1 <= value <= 8 else 0
    return 0


def _orientation(exif: bytes, xmp: bytes) -> int:
    """That of EXIF, else that of XMP, else upright."""
    match = XMP_ORIENTATION.search(xmp)
    return exif_orientation(exif) or (int(match[1]) if match else 1)


def _jpeg(data: bytes) -> Bare:
    """Of the application segments only those of JFIF and Adobe stay: they say how colours are stored."""
    kept = [data[:2]]
    exif = list[bytes]()
    place = 2
    xmp = b""
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker = data[place + 1]
        stop = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == 0xDA or not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xD8:
            break
        body = data[place + 4 : stop]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif.append(body[6:])
        elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or body
        if _tells_colours(marker, body):
            kept.append(data[place:stop])
        place = stop
    blocks = (*exif, b"".join(exif))  # a block may go on in the next segment
    named = next((value for block in blocks if (value := exif_orientation(block))), 0)
    return Bare(b"".join((*kept, data[place:])), named or _orientation(b"", xmp))


def _tells_colours(marker: int, body: bytes) -> bool:
    jfif = marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14
    adobe = marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12
    return jfif or adobe or not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _png(data: bytes) -> Bare:
    """Critical chunks and transparency. Checksums are compared where pixels depend on them."""
    kept = [PNG_START]
    exif = b""
    xmp = b""
    stop = len(PNG_START)
    for kind, body, check in _png_chunks(data):
        stop += 12 + len(body)
        if kind in PNG_KEPT:
            right = zlib.crc32(kind + body).to_bytes(4, "big")
            if kind != b"tRNS" and check != right:
                raise DamagedPixels(kind)
            kept += (len(body).to_bytes(4, "big"), kind, body, right)
        elif kind == b"eXIf":
            exif = body
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            keyword, _, rest = body.partition(b"\0")
            xmp = rest if keyword == b"XML:com.adobe.xmp" else xmp
            exif = exif or (_raw_profile(kind, rest) if keyword == b"Raw profile type exif" else b"")
    return Bare(b"".join((*kept, data[stop:])), _orientation(exif, xmp))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, body and checksum of each whole chunk."""
    place = len(PNG_START)
    while place + 12 <= len(data):
        body = place + 8
        check = body + int.from_bytes(data[place : place + 4], "big")
        if check + 4 > len(data):
            return
        kind = data[place + 4 : body]
        place = check + 4
        yield kind, data[body:check], data[check:place]
        if kind == b"IEND":
            return


def _raw_profile(kind: bytes, text: bytes) -> bytes:
    """EXIF as ImageMagick writes it into a text chunk: a name, a length, hexadecimal digits."""
    try:
        if kind == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], MAX_PROFILE_BYTES)
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except (zlib.error, ValueError):
        return b""


def _webp(data: bytes) -> Bare:
    """Chunks of pixels; those of metadata go, and the header no longer announces them."""
    kept: list[bytes] = []
    about = {b"EXIF": b"", b"XMP ": b""}
    place = 12
    while place + 8 <= len(data):
        kind = data[place : place + 4]
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        stop = place + 8 + size + size % 2
        body = data[place + 8 : place + 8 + size]
        if kind in about:
            about[kind] = body
        elif kind == b"VP8X" and body:
            kept.append(data[place : place + 8] + bytes([body[0] & ~WEBP_METADATA_BITS]) + data[place + 9 : stop])
        elif kind in WEBP_KEPT:
            kept.append(data[place:stop])
        place = stop
    body = b"WEBP" + b"".join(kept)
    return Bare(b"RIFF" + len(body).to_bytes(4, "little") + body, _orientation(about[b"EXIF"], about[b"XMP "]))


def _tiff(data: bytes) -> Bare:
    """The first directory, in place, without the tags that say nothing of the pixels."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    start_form, count_form, entry_bytes = ("Q", "Q", 20) if big else ("L", "H", 12)
    try:
        (start,) = struct.unpack_from(f"{order}{start_form}", data, 8 if big else 4)
        (count,) = struct.unpack_from(f"{order}{count_form}", data, start)
        first = start + struct.calcsize(f"{order}{count_form}")
        stop = first + count * entry_bytes
        if count > 4096 or stop + struct.calcsize(f"{order}{start_form}") > len(data):
            return Bare(data, 1)
    except struct.error:
        return Bare(data, 1)
    entries = [data[place : place + entry_bytes] for place in range(first, stop, entry_bytes)]
    tags = [struct.unpack_from(f"{order}H", entry)[0] for entry in entries]
    found = [entry for tag, entry in zip(tags, entries, strict=True) if tag == ORIENTATION]
    value = struct.unpack_from(f"{order}H", found[0], 12 if big else 8)[0] if found else 1
    kept = [entry for tag, entry in zip(tags, entries, strict=True) if tag in TIFF_KEPT or tag in TIFF_KEPT_TOO]
    directory = struct.pack(f"{order}{count_form}", len(kept)) + b"".join(kept)
    directory += bytes(struct.calcsize(f"{order}{start_form}"))  # no other directory
    return Bare(data[:start] + directory + data[start + len(directory) :], value if 1 <= value <= 8 else 1)
