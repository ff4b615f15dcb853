"""What a tar file made elsewhere holds: samples by key, from the headers alone, and what of it cannot be used.

The layout is WebDataset's: members of one key (the path up to the first dot of the file name) form a sample:
``KEY.jpg|jpeg|png|webp`` with ``KEY.txt``, ``KEY.json``, or both. Nothing is ever extracted.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fomo.data.images import BadImage
from fomo.data.sources import LeftOut, tar_members
from fomo.data.sources import Member as TarMember
from fomo.system.posts import post
from fomo.system.reading import Unreadable, parse_json

IMAGES = ("jpg", "jpeg", "png", "webp")
TEXTS = ("txt", "json")
DOTTED = "dot in a picture's key"
"""WebDataset ends the key at the first dot: a file ``v1.5.jpg`` would be of the kind ``5.jpg``."""
MAX_BYTES = {**dict.fromkeys(IMAGES, 2**28), **dict.fromkeys(TEXTS, 2**22)}


class Span(NamedTuple):
    """Where the bytes of a member lie."""

    offset: int
    size: int


@dataclass(frozen=True)
class Member:
    """A sample: its key, its picture, its texts by extension."""

    key: str
    image: Span
    texts: Mapping[str, Span]


class Contents(NamedTuple):
    """The usable samples of a tar in the order of its first members, and reasons with counts for the rest."""

    members: Sequence[Member]
    skipped: Mapping[str, int]


def scan(path: Path) -> Contents:
    """Read the headers of a tar file; a damaged end costs what lies behind it."""
    found: dict[str, dict[str, Span]] = {}
    skipped: Counter[str] = Counter()
    for member in tar_members(path):
        post(f"the headers of {path}")  # of a large file they take their time: a sign of life with each
        reason = member.reason if isinstance(member, LeftOut) else _sort_in(member, found)
        skipped[reason] += bool(reason)
    members = [_sample(key, spans, skipped) for key, spans in found.items()]
    return Contents([member for member in members if member is not None], +skipped)


def _sort_in(member: TarMember, found: dict[str, dict[str, Span]]) -> str:
    """Put a member to its sample, or say why it cannot be used; what is none of a sample's is passed over."""
    key, extension = split_name(member.name)
    if not key or extension not in MAX_BYTES:
        return DOTTED if extension.rpartition(".")[2] in IMAGES else ""
    offset, size = member.location.offset, member.location.size or 0
    if not 0 < size <= MAX_BYTES[extension]:
        return "too many bytes" if size > 0 else "empty file"
    spans, kind = found.setdefault(key, {}), "image" if extension in IMAGES else extension
    twice = kind in spans
    spans.setdefault(kind, Span(offset, size))
    return "second member of a key" if twice else ""


def split_name(name: str) -> tuple[str, str]:
    """Key and extension of a member, as webdataset splits them; no key where the file name starts with a dot."""
    match = re.fullmatch(r"((?:.*/|)[^./]+)\.([^/]*)", name, re.DOTALL)
    return (match[1], match[2].lower()) if match else ("", "")


def _sample(key: str, spans: Mapping[str, Span], skipped: Counter[str]) -> Member | None:
    texts = {kind: span for kind, span in spans.items() if kind != "image"}
    if "image" not in spans or not texts:
        skipped["text without a picture" if texts else "picture without a text"] += 1
        return None
    return Member(key, spans["image"], texts)


def texts_of(texts: Mapping[str, bytes], kind: str | None) -> list[str]:
    """The texts of one caption kind (``None``: the training texts) in the text members of a sample, by extension.

    ``KEY.txt`` holds one; ``KEY.json`` ``captions`` and ``caption_kinds`` as our shards do, else ``caption``.

    Raises:
        BadImage: it has none, or they cannot be read.
    """
    try:
        if "txt" in texts and kind in (None, "default"):
            found: Any = [texts["txt"].decode("utf-8-sig")]
        else:
            found = _from_json(parse_json(texts.get("json", b"{}")), kind)
    except (UnicodeDecodeError, Unreadable):
        raise BadImage("unreadable text") from None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise BadImage("unreadable text")
    kept = [text.strip() for text in found if text.strip()]
    if not kept:
        raise BadImage("no text of its kind" if kind else "empty text")
    return kept


def _from_json(about: Any, kind: str | None) -> Any:
    if not isinstance(about, dict):
        return None
    plain = about.get("captions", [about["caption"]] if about.get("caption") else [])
    kinds = about.get("caption_kinds", {"default": plain})
    return plain if kind is None else kinds.get(kind, []) if isinstance(kinds, dict) else None
