"""Emoji: what each is called, and which icon of a design shows it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fomo.errors import FomoError
from streams.desktop.archives import members, parsed
from streams.desktop.icon_names import squashed
from streams.desktop.icon_sets import IconSet

DATA = "package/en/data.json"
FLAG_GROUP = 9
REGIONAL_A = 0x1F1E6
"""The first of the 26 letters that two of make the flag of a country."""
NAMED_FLAG = re.compile(r"flag-(for-)?(flag-)?")


@dataclass(frozen=True)
class Emoji:
    """An emoji: its Unicode code without variation selectors, its English label, the number of its group."""

    code: str
    label: str
    group: int

    @staticmethod
    def bare(code: str) -> str:
        """A code in lower case, without leading zeros and without the selectors that change no meaning."""
        parts = (part.lstrip("0") for part in code.lower().split("-"))
        return "-".join(part for part in parts if part not in ("fe0f", "fe0e"))

    @property
    def country(self) -> str:
        """The country of a flag."""
        return self.label.removeprefix("flag: ")

    @property
    def letters(self) -> str:
        """The two letters of a flag's country; empty for other flags."""
        numbers = [int(part, 16) - REGIONAL_A for part in self.code.split("-")]
        return "".join(chr(97 + each) for each in numbers) if all(0 <= each < 26 for each in numbers) else ""


def emoji_of(archive: Path) -> list[Emoji]:
    """All emoji of the package, but for those of another skin.

    Raises:
        FomoError: the package does not hold them.
    """
    for _, data in members(archive, DATA.__eq__):
        entries = [each for each in parsed(data, f"'{archive}', {DATA}") if "group" in each]
        return [Emoji(Emoji.bare(each["hexcode"]), each["label"], each["group"]) for each in entries]
    raise FomoError(f"'{archive}' holds no '{DATA}': it is not emojibase-data.")


def coded(icons: IconSet, emoji: Sequence[Emoji]) -> Iterator[tuple[str, Emoji]]:
    """Pairs of an icon's name and the emoji that it shows, at most one of each emoji."""
    by_code = {Emoji.bare(code): name for code, name in icons.codes.items() if name in icons.icons}
    by_name = {squashed(name): name for name in sorted(icons.icons)}
    for each in emoji:
        name = by_code.get(each.code) if by_code else None
        name = name or by_name.get(squashed(each.label))
        if name is not None:
            yield name, each


def flags_of(icons: IconSet, emoji: Sequence[Emoji]) -> Iterator[tuple[str, Emoji]]:
    """Pairs of an icon's name and the flag of a country that it shows; several where a set has several shapes."""
    flags = [each for each in emoji if each.group == FLAG_GROUP and each.letters]
    if icons.category == "Emoji":
        names = [name for name in sorted(icons.icons) if NAMED_FLAG.match(name)]
        by_name = {squashed(NAMED_FLAG.sub("", name)): name for name in names}
        yield from ((by_name[key], each) for each in flags if (key := squashed(each.country)) in by_name)
        return
    by_letters = {each.letters: each for each in flags}
    for name in sorted(icons.icons):
        letters = name.split("-")[0]
        shape = name[len(letters) :]
        if letters in by_letters and shape in ("", "-4x3", "-1x1"):
            yield name, by_letters[letters]
