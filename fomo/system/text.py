"""Strings of others on a screen and in tables: names, labels and reasons may hold what steers a terminal, reads as
markup, or is a formula to a spreadsheet."""

import codecs
import unicodedata
from typing import Any

from rich import markup


def printable(text: object) -> str:
    """``text`` with every character that does not show (control, format, half of a surrogate pair) spelled out."""
    text = str(text)
    return text if text.isprintable() else "".join(map(_spelled, text))


def _spelled(character: str) -> str:
    shows = character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
    return character if shows else character.encode("unicode_escape").decode()


def in_page(text: object) -> str:
    """``text`` for a page, on one line: control characters and halves of surrogate pairs are spelled out.

    Characters of format stay, as emoji have them: each name of a page stands in an element that holds its direction.
    """
    line = " ".join(str(text).split())
    return "".join(each if unicodedata.category(each) not in ("Cc", "Cs") else _spelled(each) for each in line)


def escape(text: object) -> str:
    """``text`` for a table or markup of rich: shown as it is, and without effect on the terminal."""
    return markup.escape(printable(text))


SIGNS = {
    **{"±": "+-", "√": "sqrt", "·": "*", "×": "x", "–": "-", "−": "-", "→": "->", "…": "...", "Δ": "d"},
    **{"≤": "<=", "≥": ">=", "’": "'", "✓": "+", "✗": "x", "\N{NO-BREAK SPACE}": " "},
}
"""Signs of ours where the output has not every sign."""
PLAIN = "fomo.plain"
"""The error handler by which names stay told apart there: letters are escaped, other signs replaced."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(sign: str) -> str:
    is_of_names = unicodedata.category(sign)[0] in "LMN"
    return SIGNS.get(sign) or (sign.encode("unicode_escape").decode() if is_of_names else "?")


codecs.register_error(PLAIN, _plain)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""


def one_line(text: object) -> str:
    """``text`` as :func:`printable` has it, on one line, its ends without space."""
    return " ".join(printable(text).split())


def spreadsheet(value: Any) -> Any:
    """A field of a CSV file: a string on one line, with an apostrophe before what would be a formula; else itself."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def shortened(text: str, longest: int) -> str:
    """``text``, cut in its middle where it has more than ``longest`` characters: what a stranger wrote has no end."""
    tail = longest // 4
    return text if len(text) <= longest else f"{text[: longest - tail - 1]}…{text[-tail:]}"


def first_line(text: object, longest: int = 200) -> str:
    """The first line of what a library says, cut to ``longest`` characters, as part of a message of ours."""
    line = next((line.strip() for line in str(text).splitlines() if line.strip()), type(text).__name__)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
