"""Texts of others on a screen: names, labels and reasons may hold what steers a terminal or reads as markup."""

import unicodedata

from rich import markup

HARMLESS = ("\n", "\t")


def printable(text: object) -> str:
    """``text`` with everything that does not show (control and format characters, halves of pairs) spelled out."""
    text = str(text)
    return text if text.isprintable() else "".join(map(_spelled, text))


def _spelled(sign: str) -> str:
    shows = sign.isprintable() or sign in HARMLESS or unicodedata.category(sign) == "Zs"
    return sign if shows else sign.encode("unicode_escape").decode()


def escape(text: object) -> str:
    """For a rich table or markup: shown as it is, and without effect on the terminal."""
    return markup.escape(printable(text))


def first_line(text: object, longest: int = 200) -> str:
    """The first line of what a library says, cut to ``longest`` characters, as part of a message of ours."""
    line = next((line.strip() for line in str(text).splitlines() if line.strip()), type(text).__name__)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
