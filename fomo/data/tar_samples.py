"""What a tar file made elsewhere holds: samples by key, from the headers alone, and what of it cannot be used.

Imports and pools group members by the same rule. A key is the path up to the first dot of the file name, as WebDataset
has it, if an image of that key is there (``KEY.jpg``): then ``KEY.seg.png`` is another member of the sample, and passed
over. Where there is none, the key ends at the last dot, so that ``v1.5.jpg`` and ``v1.5.txt`` are a sample too. Nothing
is ever extracted.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from fomo.data.images import BadImage
from fomo.data.importing.described import said_split
from fomo.data.importing.splits import named_split
from fomo.data.sources import LEFT_BY_TOOL, LeftOut, Location, TarMember, Unusable, is_left_by_tool, tar_members
from fomo.data.stored_images import EXTENSIONS
from fomo.data.texts import parsed, sample_texts
from fomo.system.posts import post

IMAGES = tuple(extension[1:] for extension in EXTENSIONS)
TEXTS = ("txt", "json")
MAX_BYTES = {**dict.fromkeys(IMAGES, 2**28), **dict.fromkeys((*TEXTS, "cls"), 2**22)}
Parts: TypeAlias = dict[str, Location]
"""Members of one key by extension."""


class Span(NamedTuple):
    """Where the bytes of a member lie."""

    offset: int
    size: int


@dataclass(frozen=True)
class Member:
    """A sample: its key, its image, its texts by extension."""

    key: str
    image: Span
    texts: Mapping[str, Span]


class Contents(NamedTuple):
    """The usable samples of a tar in the order of its first members, and reasons with counts for the rest."""

    members: Sequence[Member]
    skipped: Mapping[str, int]


class TarSample(NamedTuple):
    """The members of a key: one image, and what else there is by extension."""

    key: str
    image: Location
    others: Parts


@dataclass
class _Group:
    """Members whose names agree up to the first dot; ``dotted`` holds those with more dots, by their longer key."""

    plain: Parts = field(default_factory=dict)
    dotted: dict[str, Parts] = field(default_factory=dict)


def scan(path: Path) -> Contents:
    """The samples that a pool draws from, each with an image and a text; a damaged end costs what lies behind it."""
    samples, left_out = tar_samples(path)
    skipped = Counter(item.reason for item in left_out)
    members = []
    for sample in samples:
        texts = {kind: _span(where) for kind, where in sample.others.items() if kind in TEXTS}
        if texts:
            members.append(Member(sample.key, _span(sample.image), texts))
        else:
            skipped["image without a text"] += 1
    return Contents(members, skipped)


def _span(where: Location) -> Span:
    return Span(where.offset, where.size or 0)


def tar_samples(path: Path) -> tuple[list[TarSample], list[LeftOut]]:
    """Every key with one usable image, in the order of first members, and what cannot be used."""
    groups: dict[str, _Group] = {}
    left_out: list[LeftOut] = []
    for member in tar_members(path):
        post(f"the headers of {path}")  # of a large file they take their time: a sign of life with each
        problem = member if isinstance(member, LeftOut) else _sort_in(path, member, groups)
        left_out += [problem] if problem else []
    found = [_sample(path, key, parts) for key, parts in _keys(groups)]
    left_out += [each for each in found if isinstance(each, LeftOut)]
    dotted = "second image of a key, told apart by a dot"
    left_out += [LeftOut(f"{path.name}/{key}", dotted) for key in _passed_over(groups)]
    return [each for each in found if isinstance(each, TarSample)], left_out


def split_name(name: str) -> tuple[str, str]:
    """Key and extension of a member, as webdataset splits them; no key where the file name starts with a dot."""
    match = re.fullmatch(r"((?:.*/|)[^./]+)\.([^/]*)", name, re.DOTALL)
    return (match[1], match[2].lower()) if match else ("", "")


def _sort_in(path: Path, member: TarMember, groups: dict[str, _Group]) -> LeftOut | None:
    """Put a member to its sample, or say why it cannot be used; what is none of a sample's is passed over."""
    place = PurePosixPath(member.name)
    if place.suffix.lower()[1:] not in MAX_BYTES and place.name.lower()[1:] not in MAX_BYTES:
        return None
    if is_left_by_tool(place) and place.name.lower()[1:] not in MAX_BYTES:
        return LeftOut(f"{path.name}/{member.name}", LEFT_BY_TOOL)
    key, extension = split_name(member.name)
    if not key:
        return LeftOut(f"{path.name}/{member.name}", "missing key")
    group = groups.setdefault(key, _Group())
    longer, _, last = extension.rpartition(".")
    parts = group.dotted.setdefault(f"{key}.{longer}", {}) if longer else group.plain
    if last in parts:
        return LeftOut(f"{path.name}/{member.name}", "duplicate key")
    parts[last] = member.location
    return None


def _keys(groups: Mapping[str, _Group]) -> Iterable[tuple[str, Parts]]:
    for key, group in groups.items():
        if group.plain:
            yield key, group.plain
        if not _has_image(group.plain):
            yield from group.dotted.items()


def _passed_over(groups: Mapping[str, _Group]) -> Iterable[str]:
    """Longer keys that would be whole samples if the shorter one had no image."""
    for group in groups.values():
        if _has_image(group.plain):
            yield from (key for key, parts in group.dotted.items() if _has_image(parts) and len(parts) > 1)


def _has_image(parts: Parts) -> bool:
    return any(extension in IMAGES for extension in parts)


def _sample(path: Path, key: str, parts: Parts) -> TarSample | LeftOut:
    label = f"{path.name}/{key}"
    images = [extension for extension in parts if extension in IMAGES]
    if len(images) != 1:
        return LeftOut(label, "several images of one key" if images else "text without an image")
    reasons = {extension: _unfit(extension, where) for extension, where in parts.items()}
    others = {extension: where for extension, where in parts.items() if extension not in images}
    fit = {extension: where for extension, where in others.items() if not reasons[extension]}
    spoilt = [reasons[extension] for extension in others if extension not in fit]
    reason = reasons[images[0]] or (spoilt[0] if spoilt and not fit else "")
    return LeftOut(label, reason) if reason else TarSample(key, parts[images[0]], fit)


def _unfit(extension: str, where: Location) -> str:
    size = where.size or 0
    return "empty file" if size <= 0 else "too many bytes" if size > MAX_BYTES[extension] else ""


def texts_of(texts: Mapping[str, bytes], kind: str | None) -> list[str]:
    """The texts of one caption kind (``None``: the training texts) in the text members of a sample, by extension.

    Raises:
        BadImage: it has none, or they cannot be read; or its JSON says that it is one to evaluate on.
    """
    try:
        _check_split(texts)
        found = sample_texts(texts, kind)
    except Unusable as reason:
        raise BadImage(str(reason)) from None
    if not found:
        raise BadImage("no text of its kind" if kind else "empty text")
    return found


def _check_split(texts: Mapping[str, bytes]) -> None:
    """Refuse a sample whose JSON names another split than that for training; one that cannot be read says nothing.

    Raises:
        Unusable: it does.
    """
    try:
        about = parsed(texts["json"]) if "json" in texts else {}
    except Unusable:
        return
    named = named_split(said_split(about))
    if named and named.split != "train":
        raise Unusable(f"its JSON says that it is of the {named.split} split")
