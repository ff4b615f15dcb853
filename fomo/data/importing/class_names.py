"""Names of classes: from folders, from a file of names, and told apart as the model would tell them.

A file of names is a text with one name a line (for classes that are numbers), or an identifier and its name a line
(``n01440764 tench, Tinca tinca``: what stands behind the first comma is another word for it), or a name and its number
(``tench,0``), or a JSON list or object of the same (``{"0": ["n01440764", "tench"]}`` too).
"""

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ftfy

from fomo.data.card import is_class_name
from fomo.data.importing.splits import Parts
from fomo.data.sources import Location, Unusable
from fomo.data.texts import UNREADABLE, decoded, spaced
from fomo.errors import FomoError, unknown
from fomo.system.reading import parse_json

MAX_BYTES = 2**26
IDENTIFIER = re.compile(r"[^\s,;:|]*\d[^\s,;:|]*")
WORDNET = re.compile(r"n\d{8}")
NAME_AND_NUMBER = re.compile(r"(.*[^\s,;:])[\s,;:]+[\"']?(\d{1,9})[\"']?")
SECOND_COLUMN = re.compile(r"[\"']?(\w+)[\"']?[\s,;]+(.*\S)")
QUOTES = " \"'"
TABLE_ENDS = (".csv", ".tsv")
_HEADS = """
    class classes class_name class_names classname classnames label labels label_name name names category categories
    category_name breed species
"""
HEADS = frozenset(_HEADS.split())
"""What stands above a column of class names."""


def separated(text: str) -> str:
    """A file or folder name with spaces for its separators."""
    return " ".join(re.sub(r"[_\-.,+]+|(?<=[a-z])(?=[A-Z])", " ", text).split())


def name_of(parts: Parts) -> str:
    """The class that the names on the way to a folder make: ``animals/big_cats`` is "animals big cats"."""
    return unicodedata.normalize("NFC", " ".join(separated(part) or part for part in parts))


def told_apart_by(name: str) -> str:
    """What of a name a model can tell from others: not its case, nor its form in Unicode or HTML, nor its spaces.

    Tokenizers of CLIP mend what was decoded wrongly, and bent quotes, by the same library.
    """
    plain = name
    for _ in range(3):  # &amp;amp; is written too
        plain = ftfy.fix_text(html.unescape(plain))
    plain = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
    return spaced(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold()))


def check_told_apart(names: Mapping[str, str]) -> None:
    """Refuse classes that differ only in what no model sees.

    Args:
        names: each class name with the place that it comes from.

    Raises:
        FomoError: two names are alike; both are named.
    """
    known: dict[str, str] = {}
    for name in names:
        twin = known.setdefault(told_apart_by(name), name)
        if twin != name:
            raise FomoError(
                f"'{names[twin]}' and '{names[name]}' give the classes {twin!a} and {name!a}, which no model "
                f"can tell apart: rename one of them, or put their images together."
            )


@dataclass(frozen=True)
class NameFile:
    """Names by identifier, and where the file is a plain list, by number from 0."""

    path: Path
    by_id: Mapping[str, str]
    listed: Sequence[str]

    def is_numbered(self) -> bool:
        """Whether identifiers are the numbers from 0, each of them."""
        numbers = [key for key in self.by_id if key.isdecimal()]
        return bool(numbers) and all(str(number) in self.by_id for number in range(len(numbers)))

    def numbered(self) -> list[str]:
        """The names in the order of their numbers.

        Raises:
            FomoError: the file names identifiers that are no numbers from 0.
        """
        if self.listed:
            return list(self.listed)
        if not self.is_numbered():
            raise FomoError(f"'{self.path}': names by number from 0, or one a line, are needed.")
        return [self.by_id[str(number)] for number in range(sum(key.isdecimal() for key in self.by_id))]

    def __getitem__(self, identifier: str) -> str:
        """The name of a class.

        Raises:
            FomoError: the file has none.
        """
        if identifier in self.by_id:
            return self.by_id[identifier]
        if self.listed and re.fullmatch(r"\d{1,9}", identifier) and int(identifier) < len(self.listed):
            return self.listed[int(identifier)]
        if self.listed:
            raise FomoError(f"'{self.path}' lists {len(self.listed)} names: '{identifier}' is no number of one.")
        raise unknown(f"class in '{self.path}'", identifier, self.by_id)


def read_names(path: Path, plain: bool = False) -> NameFile:
    """A file of class names; ``plain`` says that every line of a text is a name as it stands.

    Raises:
        FomoError: it cannot be read, or holds none.
    """
    if not path.is_file():
        raise FomoError(f"'{path}' is not a file: give a file of class names.")
    try:
        text = decoded(Location(path).read(MAX_BYTES))
    except Unusable as reason:
        raise FomoError(f"'{path}': {'not text in UTF-8' if str(reason) == UNREADABLE else reason}.") from None
    by_id, listed = _from_json(text, path) if path.suffix.lower() == ".json" else _from_lines(text, path, plain)
    bad = [name for name in (*by_id.values(), *listed) if not is_class_name(name)]
    if bad:
        raise FomoError(f"'{path}': {bad[0]!a} is no class name: a name is one line without '+++'.")
    if not by_id and not listed:
        raise FomoError(f"'{path}': it holds no class name.")
    return NameFile(path, by_id, listed)


def _from_json(text: str, path: Path) -> tuple[dict[str, str], list[str]]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise FomoError(f"'{path}': not JSON: {error}") from None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {}, [spaced(name) for name in value]
    if not isinstance(value, dict) or not value:
        raise FomoError(f"'{path}': a JSON list of names, or an object of names by identifier, is expected.")
    by_id = {}
    for key, about in value.items():
        if isinstance(about, int):  # {"cat": 0}
            by_id[str(about)] = spaced(key)
        else:
            by_id |= dict.fromkeys(_keys(key, about), _first(_last(about, path)))
    return by_id, []


def _keys(key: str, about: Any) -> list[str]:
    return [key, about[0]] if isinstance(about, list) and len(about) == 2 and isinstance(about[0], str) else [key]


def _last(about: Any, path: Path) -> str:
    name = about[-1] if isinstance(about, list) and about else about
    if not isinstance(name, str):
        raise FomoError(f"'{path}': {name!r} is no name.")
    return name


def _first(name: str) -> str:
    """The first of several words for a class."""
    return separated(name.split(",")[0]) if "_" in name else spaced(name.split(",")[0])


def _from_lines(text: str, path: Path, plain: bool) -> tuple[dict[str, str], list[str]]:
    lines = [line.strip() for line in text.strip("\r\n").splitlines()]
    if plain or not lines:
        return {}, [spaced(line) for line in lines]
    is_table = path.suffix.lower() in TABLE_ENDS
    may_have_head = len(lines) > 1 and (is_table or re.search(r"[,;\t]", lines[0]) is not None)
    bodies = [lines, lines[1:]] if may_have_head else [lines]
    pairs = next((found for read in (_numbered, _identified) for body in bodies if (found := read(body))), [])
    if not pairs:
        return {}, [spaced(line) for line in (_one_column(lines, path) if is_table else lines)]
    by_id = {key: _first(name.strip(QUOTES)) for key, name in pairs}
    if len(by_id) < len(pairs):
        raise FomoError(f"'{path}': an identifier stands twice.")
    return by_id, []


def _numbered(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Numbers and names, where every line has a name and, behind it, its number from 0 or 1; else nothing."""
    pairs = [(match[1], match[2]) for line in lines if (match := NAME_AND_NUMBER.fullmatch(line))]
    names = [name for name, _ in pairs]
    are = _counts([number for _, number in pairs], len(lines)) and not _counts(names, len(lines))
    distinct = len({_first(name.strip(QUOTES)) for name in names}) == len(lines)
    return [(number, name) for name, number in pairs] if are and distinct else []


def _identified(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Identifiers and names, where every line has both; else nothing.

    Of three columns the one in the middle goes if it numbers the lines (``n02119789 1 kit_fox``), and is an identifier
    of its own if it is WordNet's (``0,n02119789,kit fox``).
    """
    with_tab = all("\t" in line for line in lines)
    found = [re.split(r"\t" if with_tab else r"\t|,|;|:\s|\s", line, maxsplit=1) for line in lines]
    pairs = [(pair[0].strip(QUOTES), pair[1].strip()) for pair in found if len(pair) == 2 and pair[1].strip()]
    if len(pairs) < len(lines) or not (with_tab or all(IDENTIFIER.fullmatch(key) for key, _ in pairs)):
        return []
    columns = [(match[1], match[2]) for _, rest in pairs if (match := SECOND_COLUMN.fullmatch(rest))]
    seconds = [second for second, _ in columns]
    are_ids = len(columns) == len(pairs) and all(map(WORDNET.fullmatch, seconds))
    if not (are_ids or _counts(seconds, len(pairs))):
        return pairs
    cut = [(key, name) for (key, _), (_, name) in zip(pairs, columns, strict=True)]
    return [*cut, *columns] if are_ids else cut


def _counts(values: Sequence[str], number: int) -> bool:
    """Whether so many ``values``, of which there are two or more, are the numbers from 0 or from 1, in any order."""
    found = {int(value) for value in values if re.fullmatch(r"[0-9]{1,9}", value)}
    return number == len(found) == len(values) > 1 and min(found) in (0, 1) and max(found) - min(found) == number - 1


def _one_column(lines: list[str], path: Path) -> list[str]:
    """The names in a table of one column, without its head.

    Raises:
        FomoError: it has several columns, of which none tells which class is meant.
    """
    for sign in ",;":
        if len({line.count(sign) for line in lines}) == 1 and sign in lines[0]:
            raise FomoError(
                f"'{path}': its columns ('{lines[0][:60]}') do not say which class has which name: NUMBER,NAME or "
                f"IDENTIFIER,NAME a line is needed, or names alone in a .txt."
            )
    return lines[1:] if len(lines) > 1 and lines[0].strip(QUOTES).casefold().replace(" ", "_") in HEADS else lines
