"""What a tar file made elsewhere holds: samples by key, from the headers alone, and what of it cannot be used.

The layout is WebDataset's: members of one key (the path up to the first dot of the file name) form a sample:
``KEY.jpg|jpeg|png|webp`` with ``KEY.txt``, ``KEY.json``, or both. Nothing is ever extracted.
"""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fomo.data.images import BadImage

IMAGES = ("jpg", "jpeg", "png", "webp")
TEXTS = ("txt", "json")
MAX_BYTES = {**dict.fromkeys(IMAGES, 2**28), **dict.fromkeys(TEXTS, 2**22)}
BLOCK = 512


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
    try:
        # Exactly "r:": a compressed tar cannot be read by offset.
        with tarfile.open(path, "r:") as tar:
            _read_headers(tar, path.stat().st_size, found, skipped)
    except tarfile.TarError:
        skipped["damaged or truncated tar"] += 1
    members = [_sample(key, spans, skipped) for key, spans in found.items()]
    return Contents([member for member in members if member is not None], +skipped)


def _read_headers(
    tar: tarfile.TarFile, num_bytes: int, found: dict[str, dict[str, Span]], skipped: Counter[str]
) -> None:
    last = -1
    while (member := tar.next()) is not None and tar.offset > last:
        last = tar.offset
        tar.members = []  # type: ignore[attr-defined]  # tarfile remembers every header otherwise
        reason = _refused(member, num_bytes)
        key, extension = split_name(member.name)
        if reason:
            skipped[reason] += 1
        elif extension in MAX_BYTES and key and member.isreg():
            spans = found.setdefault(key, {})
            kind = "image" if extension in IMAGES else extension
            skipped["second member of a key"] += kind in spans
            spans.setdefault(kind, Span(member.offset_data, member.size))
    # tarfile takes a header that it cannot read for the end: the end is a block of zeros.
    tar.fileobj.seek(tar.offset)
    end = tar.fileobj.read(BLOCK)
    skipped["damaged or truncated tar"] += len(end) < BLOCK or any(end)


def _refused(member: tarfile.TarInfo, num_bytes: int) -> str:
    """Why a member cannot be used; empty where it can, or is none of a sample's."""
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "path that leads out"
    if member.issparse() or not (member.isreg() or member.isdir()):
        return "link, device or sparse file"
    extension = split_name(member.name)[1]
    if member.isdir() or extension not in MAX_BYTES:
        return ""
    if member.size <= 0:
        return "empty file"
    if member.offset_data + member.size > num_bytes:
        return "member cut off"
    return "too many bytes" if member.size > MAX_BYTES[extension] else ""


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
            found = _from_json(json.loads(texts.get("json", b"{}")), kind)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
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
