"""Icon sets of ``@iconify/json``: one JSON a set, with author and licence; other licences are passed over."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from streams.desktop.archives import members, parsed
from streams.desktop.icon_names import families

ALLOWED = """
    MIT Apache-2.0 ISC CC0-1.0 Unlicense MPL-2.0 BSD-3-Clause OFL-1.1 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0
"""
LICENCES = frozenset(ALLOWED.split())
"""Licences of the sets that are read: none that forbids commercial use, and no GPL."""
LIST = "package/collections.json"
FOLDER = "package/json/"
NO_ICONS = frozenset(("Logos", "Emoji", "Flags / Maps", "Archive / Unmaintained"))
"""Categories whose sets are not read as icons: they show other things, or are old copies of other sets."""


@dataclass(frozen=True)
class Icon:
    """An icon: what stands in its SVG, and its box (left, top, width, height)."""

    body: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class IconSet:
    """An icon set.

    Attributes:
        name: its prefix.
        title: its name for people.
        author: who made it.
        licence: its SPDX identifier.
        family: the family of its designer.
        category: as the package has it.
        icons: by name.
        codes: names of emoji by their Unicode code, where the set says it.
    """

    name: str
    title: str
    author: str
    licence: str
    family: str
    category: str
    icons: dict[str, Icon]
    codes: dict[str, str]

    @property
    def credit(self) -> str:
        """Who made it, and under which licence it may be used."""
        return f"{self.title} by {self.author} ({self.licence})"


def icon_sets(archive: Path) -> Iterator[IconSet]:
    """The sets of an allowed licence, in the order of their names.

    Raises:
        FomoError: the archive, or a set in it, is not what it should be.
    """
    about = _collections(archive)
    family = families({name: each["author"]["name"] for name, each in about.items()})
    allowed = {name for name, each in about.items() if each["license"].get("spdx") in LICENCES}
    wanted = {f"{FOLDER}{name}.json": name for name in allowed}
    found = 0
    for path, data in members(archive, wanted.__contains__):
        found += 1
        yield _icon_set(archive, wanted[path], parsed(data, f"'{archive}', {path}"), about[wanted[path]], family)
    if found != len(wanted):
        raise FomoError(f"'{archive}' holds {found} of the {len(wanted)} icon sets that it lists: it is not whole.")


def _collections(archive: Path) -> dict[str, Any]:
    for _, data in members(archive, LIST.__eq__):
        return dict(parsed(data, f"'{archive}', {LIST}"))
    raise FomoError(f"'{archive}' holds no '{LIST}': it is not @iconify/json.")


def _icon_set(archive: Path, name: str, values: Any, about: Any, family: dict[str, str]) -> IconSet:
    try:
        icons = {key: _icon(each, values) for key, each in values["icons"].items() if not each.get("hidden")}
        codes = {str(code): str(key) for code, key in values.get("chars", {}).items()}
        author = str(about["author"]["name"])
        licence = str(about["license"]["spdx"])
        category = str(about.get("category") or "Archive / Unmaintained")
        return IconSet(name, str(about["name"]), author, licence, family[name], category, icons, codes)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FomoError(f"'{archive}': the icon set '{name}' cannot be read ({error!r}).") from None


def _icon(each: Any, values: Any) -> Icon:
    sizes = ((key, each.get(key, values.get(key, usual))) for key, usual in BOX)
    left, top, width, height = (float(value) for _, value in sizes)
    return Icon(str(each["body"]), (left, top, width, height))


BOX = (("left", 0), ("top", 0), ("width", 16), ("height", 16))
