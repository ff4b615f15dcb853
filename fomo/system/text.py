"""Strings of others on a screen: names, labels and reasons may hold what steers a terminal or reads as markup."""

import unicodedata

from rich import markup


def printable(text: object) -> str:
    """``text`` with every character that does not show (control, format, half of a surrogate pair) spelled out."""
    text = str(text)
    return text if text.isprintable() else "".join(map(_spelled, text))


def _spelled(character: str) -> str:
    shows = character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
    return character if shows else character.encode("unicode_escape").decode()


def escape(text: object) -> str:
    """``text`` for a table or markup of rich: shown as it is, and without effect on the terminal."""
    return markup.escape(printable(text))


def first_line(text: object, longest: int = 200) -> str:
    """The first line of what a library says, cut to ``longest`` characters, as part of a message of ours."""
    line = next((line.strip() for line in str(text).splitlines() if line.strip()), type(text).__name__)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
