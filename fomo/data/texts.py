"""Training texts in what others wrote: the one rule of imports and pools for bytes, lines and JSON.

Bytes are UTF-8, or what their byte-order mark says (UTF-8, UTF-16, UTF-32); anything else is not guessed at. A line
without words is no caption: neither are numbers, a row of a label file (a class and its box), or the name of a file.
"""

import codecs
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from fomo.data.sources import Unusable
from fomo.system.reading import Unreadable, parse_json

UNREADABLE = "unreadable text"
NO_WORDS = "text of numbers or file names, no caption"
CAPTION_KEYS = ("captions", "caption", "texts", "text")
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Those of UTF-32 before those of UTF-16, which they begin with."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?%?|[+-]?(nan|inf)", re.IGNORECASE)
CODE = re.compile(r"\{.*\}|<.*>")
"""An object in JSON, or markup."""
FILE_NAME = re.compile(
    r"\S+\.(jpe?g|png|gif|bmp|tiff?|webp)|(img|dsc|dscn|dscf|pxl|mvimg|gopr|dji)[_-]?\d\S*|(?=\S*\d)[0-9a-f-]{8,}",
    re.IGNORECASE,
)
"""The name of an image file, one that a camera gives, or a hash."""
LABEL_NUMBERS = 4
"""A row of a label file holds at least so many numbers, the corners of a box, and at most one word."""


def decoded(data: bytes) -> str:
    """The string that ``data`` spells.

    Raises:
        Unusable: it is no UTF-8, nor what its byte-order mark says, or holds control characters.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise Unusable(UNREADABLE) from None
    if CONTROL.search(text):
        raise Unusable(UNREADABLE)
    return text


def spaced(text: str) -> str:
    """``text`` on one line, with single spaces."""
    return " ".join(text.split())


def is_caption(line: str) -> bool:
    """Whether a line says something in words or pictograms."""
    if (
        FILE_NAME.fullmatch(line)
        or CODE.fullmatch(line)
        or not any(unicodedata.category(sign)[0] == "L" or unicodedata.category(sign) == "So" for sign in line)
    ):
        return False
    parts = [part for part in re.split(r"[\s;:|()\[\]{}]+|,(?!\d)|(?<!\d),", line) if part]
    num_numbers = sum(bool(NUMBER.fullmatch(part)) for part in parts)
    num_words = len(parts) - num_numbers
    return num_words > 0 and not (num_numbers >= LABEL_NUMBERS and num_words <= 1)


def caption_lines(text: str) -> list[str]:
    """The captions of a text that holds one a line.

    Raises:
        Unusable: there are lines, and none of them is a caption.
    """
    lines = [spaced(line) for line in text.splitlines() if line.strip()]
    kept = [line for line in lines if is_caption(line)]
    if lines and not kept:
        raise Unusable(NO_WORDS)
    return kept


def whole_caption(text: str) -> list[str]:
    """The one caption that a text is, on however many lines; nothing where it is empty.

    Raises:
        Unusable: it is no caption.
    """
    caption = spaced(text)
    if caption and not is_caption(caption):
        raise Unusable(NO_WORDS)
    return [caption] if caption else []


def parsed(data: bytes | str) -> dict[str, Any]:
    """The object in the JSON of a sample; numbers that are none (NaN) in fields that nobody asks for do no harm.

    Raises:
        Unusable: it is no object in JSON.
    """
    try:
        about = parse_json(data if isinstance(data, str) else decoded(data), finite=False)
    except Unreadable:
        raise Unusable(UNREADABLE) from None
    if not isinstance(about, dict):
        raise Unusable(UNREADABLE)
    return about


def json_captions(about: Mapping[str, Any], kind: str | None = None) -> list[str]:
    """The texts of one caption kind in the JSON of a sample; ``None`` means the training texts.

    Ours hold ``captions`` and ``caption_kinds``; others ``caption``, ``text`` and the like, one string or a list.

    Raises:
        Unusable: what stands there is neither a string nor a list of strings.
    """
    kinds = about.get("caption_kinds")
    if kind is not None and kinds is not None:
        if not isinstance(kinds, dict):
            raise Unusable(UNREADABLE)
        return _strings(kinds.get(kind))
    if kind not in (None, "default"):
        return []
    by_key = {key.casefold(): value for key, value in reversed(list(about.items()))}
    return next((found for key in CAPTION_KEYS if (found := _strings(by_key.get(key)))), [])


def _strings(value: Any) -> list[str]:
    """Strings as captions: one, several, or objects that hold some under the usual keys."""
    values = [] if value is None else value if isinstance(value, list) else [value]
    found = []
    for each in values:
        if not isinstance(each, (str, dict)):
            raise Unusable(UNREADABLE)
        found += json_captions(each) if isinstance(each, dict) else [spaced(each)]
    return [each for each in found if each]


def sample_texts(texts: Mapping[str, bytes], kind: str | None = None, by_line: bool = False) -> list[str]:
    """The texts of one caption kind of a sample whose text members are given by extension.

    Args:
        texts: bytes of ``txt`` and ``json`` members; a ``txt`` holds the default captions and goes first.
        kind: a caption kind; ``None`` means the training texts.
        by_line: a ``txt`` holds a caption a line; else it is one caption.

    Raises:
        Unusable: a text cannot be read, or is no caption.
    """
    if "txt" in texts and kind in (None, "default"):
        text = decoded(texts["txt"])
        found = caption_lines(text) if by_line else whole_caption(text)
        if found or "json" not in texts:
            return found
    return json_captions(parsed(texts["json"]), kind) if "json" in texts else []
