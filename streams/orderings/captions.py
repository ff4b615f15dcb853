"""How often concepts occur in captions.

**The rule.** Captions and class names are normalised (Unicode NFKC, case-folded) and cut into words, the longest runs
of letters and digits with the combining marks that they carry (फूल is no part of फैल) and the signs + and # behind them
(C++, C#); HTML entities are read ("Levi&#39;s" is "Levi's"). A caption counts once for a concept if the words of the
class name stand in it one after the other: "great white shark" is found in "A Great-White SHARK!", "shark" too,
"sharks" is another word. Scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese,
Tibetan) are cut into their letters, so that a name is found wherever it stands in a caption. Class names without a
letter or digit occur nowhere.

All names are looked for at once in a trie over words (Aho and Corasick 1975, without failure links: names are a few
words long), so that a caption costs the same for ten names as for 18,000.
"""

import csv
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from fomo.data.samples import Samples
from fomo.data.scanned_tar import ScannedTar
from fomo.data.sequential import Shards
from fomo.data.shards import open_dataset
from fomo.errors import FomoError
from fomo.stream.definition import Concept
from fomo.system.reading import parse_json, read_text

SIGNS = r"(?:[+#]++(?![^\W_])|[+#]{2,}+)?"
"""Signs behind a word that belong to it: C++, C#, but not those of a sum."""
SIMPLE_WORD = re.compile(rf"[^\W_]+{SIGNS}")
"""A word of a text without combining marks and without scripts that are written without spaces."""
FIRST_MARK = "\u0300"
SPACELESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\u3005-\u3007\u3041-\u30ff\u3100-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\U00016fe0-\U00018cff\U0001aff0-\U0001b16f"
    "\U00020000-\U000323af"
)
"""Ranges of scripts that are written without spaces between words, as a class of a regular expression."""
TRADE_SIGNS = re.compile("[\u2122\u2120\u00ae\u00a9]")
"""They end a word; NFKC would make letters of them."""
INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
LONGEST_CAPTION = 2**20
MAX_TABLE_BYTES = 2**28
ENDS = ""
"""Key of a trie's node that holds the number of the name that ends there: no word is empty."""
TABLES = (".tsv", ".json")


def words(text: str) -> list[str]:
    """The words of a caption or of a class name."""
    plain = html.unescape(text) if "&" in text else text
    if not plain.isascii():
        plain = INVISIBLE.sub("", TRADE_SIGNS.sub(" ", plain).replace("\u266f", "#"))
        plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())
    plain = plain.casefold()
    return (SIMPLE_WORD if not plain or max(plain) < FIRST_MARK else _word()).findall(plain)


@cache
def _word() -> re.Pattern[str]:
    """A letter of a script without spaces with its marks, or a run of other letters, digits, marks and signs."""
    marks = "".join(_ranges([code for code in range(0x110000) if unicodedata.category(chr(code))[0] == "M"]))
    letter = rf"(?![{SPACELESS}{marks}])[^\W_]"
    return re.compile(rf"(?![{marks}])(?=[^\W_])[{SPACELESS}][{marks}]*|{letter}(?:{letter}|[{marks}])*{SIGNS}")


def _ranges(codes: Sequence[int]) -> Iterator[str]:
    """Ascending code points as ranges of a character class."""
    for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0]):
        found = [code for _, code in run]
        yield f"{chr(found[0])}-{chr(found[-1])}"


def count_captions(captions: Iterable[str], names: Sequence[str]) -> np.ndarray:
    """Number of captions that hold each of ``names`` as whole words: int64 [n]."""
    phrases = [tuple(words(name)) for name in names]
    numbers = {phrase: number for number, phrase in enumerate(dict.fromkeys(phrases))}
    trie = _trie(numbers)
    counts = np.zeros(len(numbers), dtype=np.int64)
    for caption in captions:
        for number in _found(words(caption), trie):
            counts[number] += 1
    return np.array([counts[numbers[phrase]] if phrase else 0 for phrase in phrases], dtype=np.int64)


def _trie(numbers: Mapping[tuple[str, ...], int]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for phrase, number in numbers.items():
        if phrase:
            node = root
            for word in phrase:
                node = node.setdefault(word, {})
            node[ENDS] = number
    return root


def _found(caption: list[str], trie: dict[str, Any]) -> set[int]:
    found = set()
    for start, word in enumerate(caption):
        node = trie.get(word)
        place = start + 1
        while node is not None:
            if ENDS in node:
                found.add(node[ENDS])
            node = node.get(caption[place]) if place < len(caption) else None
            place += 1
    return found


def occurrences(concepts: Sequence[Concept], source: Path) -> np.ndarray:
    """Occurrences of each concept in ``source``: int64 [n].

    A ``.tsv`` or ``.json`` is a table of counts: name of a class or ``DATASET+++class``, then the number. A ``.tar``, a
    folder of them, or an imported dataset holds training texts. Any other file is a text file with a caption per line.

    Raises:
        FomoError: the source is not there or of another shape; a concept is missing in a table.
    """
    if source.suffix in TABLES and source.is_file():
        return _looked_up(concepts, _table(source), source)
    return count_captions(captions_of(source), [concept.name for concept in concepts])


def captions_of(source: Path) -> Iterator[str]:
    """All captions of a text file, of shards, or of an imported dataset."""
    if (source / "dataset.json").is_file():
        return texts_of(open_dataset(source).split("train"))
    tars = [source] if source.suffix == ".tar" else sorted(source.glob("*.tar")) if source.is_dir() else []
    if tars:
        return chain.from_iterable(map(_tar_captions, tars))
    if not source.is_file():
        raise FomoError(
            f"no captions in '{source}': give a text file with a caption per line, "
            "a .tsv or .json table of counts, a .tar, or a folder of shards."
        )
    return _lines(source)


def texts_of(samples: Samples | Shards) -> Iterator[str]:
    """Every training text of a split or pool."""
    if isinstance(samples, Shards):
        return chain.from_iterable(map(_tar_captions, samples.paths))
    return chain.from_iterable(samples.captions(index) for index in range(len(samples)))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        while line := file.readline(LONGEST_CAPTION):
            yield line


def _tar_captions(path: Path) -> Iterator[str]:
    tar = ScannedTar(path)
    if not len(tar):
        reasons = ", ".join(f"{count} × {reason}" for reason, count in tar.contents.skipped.items())
        raise FomoError(f"{path}: no sample in it ({reasons or 'it is empty'}).")
    return texts_of(tar)


def _table(path: Path) -> dict[str, int]:
    try:
        text = read_text(path, MAX_TABLE_BYTES)
        if path.suffix == ".json":
            content = parse_json(text)
            pairs = list(content.items()) if isinstance(content, dict) else [("a list", None)]
        else:
            rows = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
            pairs = [(row[0], int(row[1]) if len(row) == 2 else None) for row in rows if row]
    except (ValueError, csv.Error) as error:
        raise FomoError(f"{path}: not a table of counts: {error}. Lines are NAME, a tab, an integer.") from None
    bad = next((name for name, count in pairs if type(count) is not int or not 0 <= count < 2**48), None)
    if bad is not None:
        raise FomoError(f"{path}: {bad!a} has no integer from 0 to 2^48 beside it.")
    return dict(pairs)


def _looked_up(concepts: Sequence[Concept], table: Mapping[str, int], source: Path) -> np.ndarray:
    """Counts by the concept's own entry, else by the words of its class name; entries of equal words add up."""
    by_words: Counter[tuple[str, ...]] = Counter()
    for name, count in table.items():
        by_words[tuple(words(name))] += count
    keys = [tuple(words(concept.name)) for concept in concepts]
    missing = [c for c, key in zip(concepts, keys, strict=True) if str(c) not in table and key not in by_words]
    if missing:
        raise FomoError(f"{source}: {len(missing)} concepts have no count, the first is '{missing[0]}'.")
    counts = [table.get(str(c), by_words[key]) for c, key in zip(concepts, keys, strict=True)]
    return np.array(counts, dtype=np.int64)
