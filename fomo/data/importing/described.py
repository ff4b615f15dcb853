"""Images that a table describes: CSV, TSV, JSON lines, COCO captions. One row names a file and says what it shows."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from fomo.data.importing.coco import coco_rows
from fomo.data.importing.splits import named_split
from fomo.data.sources import MAX_TEXT_BYTES, Location, Unusable, is_inside
from fomo.data.stored_images import EXTENSIONS
from fomo.data.texts import caption_lines, decoded, parsed
from fomo.errors import FomoError
from fomo.system.reading import Unreadable, parse_json

MAX_BYTES = 2**31
COLUMNS = {
    "file": "file_name filename file path filepath file_path image image_path image_file image_name img img_path "
    "image_id id",
    "class": "label class class_name classname category label_name target",
    "caption": "caption captions text texts description sentence sentences comment title prompt",
    "split": "split set subset partition usage split_name",
}
"""Names of columns by what they hold, in the order in which they are sought."""
FLAG = re.compile(r"(?:is_|in_|for_)?([a-z]+?)(?:_set|_split|_flag)?")
"""A column of yes and no that is named after a split: ``is_train``, ``is_valid``."""
FOLDS = "fold folds fold_id fold_number fold_no kfold k_fold cv cv_fold"
"""Names of columns whose numbers part the images, without saying which part is for what."""
YES = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
SURPLUS = "\n"
"""Under this key, which no column has, a row says that it has too many fields."""
TABLE_ENDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


@dataclass
class DescribedImage:
    """What a table says of a file; several rows of one file add captions."""

    file: str
    class_name: str = ""
    split: str = ""
    captions: list[str] = field(default_factory=list)


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> list[DescribedImage]:
    """The images of a table, each once, in the order of their first rows.

    Args:
        path: a CSV (with any of ``,;|`` and tab between the columns), JSON lines, a JSON list, or COCO captions.
        columns: names of columns by what they hold (:data:`COLUMNS`), where they are other than usual.

    Raises:
        FomoError: it cannot be read; no column names files; a row contradicts another one, or names no split.
    """
    rows = [row | _split_by_flags(row) for row in _rows(path)]
    uneven = next((row[SURPLUS] for row in rows if SURPLUS in row), None)
    if uneven is not None:
        raise FomoError(f"'{path}': {uneven}")
    return _merged(rows, _chosen(rows, columns or {}, path), path)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = decoded(Location(path).read(MAX_BYTES))
    except Unusable as reason:
        raise FomoError(f"'{path}': {reason}.") from None
    readers = {".json": _json_rows, ".jsonl": _json_lines, ".ndjson": _json_lines}
    return readers.get(path.suffix.lower(), _csv_rows)(text, path)


def _csv_rows(text: str, path: Path) -> list[dict[str, Any]]:
    table = io.StringIO(text, newline=None)  # lines may end as on any system
    first = table.readline()
    is_spaced = not re.search(r"[,;\t|]", first) and f"{first} ".split(" ")[0].lower().endswith(EXTENSIONS)
    delimiter = " " if is_spaced else max(",;\t|", key=first.count)
    table.seek(0)
    try:
        lines = [[value.strip() for value in row] for row in csv.reader(table, delimiter=delimiter) if row]
    except csv.Error as error:
        raise FomoError(f"'{path}': not a table: {error}.") from None
    if is_spaced:
        lines = [[value for value in row if value] for row in lines]
    if not lines:
        return []
    named = not any(value.lower().endswith(EXTENSIONS) for value in lines[0])
    width = _width_by_spaces(lines) if is_spaced else len(lines[0])
    header = lines[0] if named else ["file", "class", *map(str, range(2, width))][:width]
    rows = ({**dict(zip(header, row, strict=False)), **_surplus(row, len(header), delimiter)} for row in lines[named:])
    return list(rows)


def _width_by_spaces(lines: Sequence[Sequence[str]]) -> int:
    """The number of columns between spaces, which may be part of a name: those of every row, two where words follow."""
    has_words = any(sign.isalpha() for row in lines for value in row[2:] for sign in value)
    return min(2 if has_words else len(row) for row in lines)


def _surplus(row: Sequence[str], width: int, delimiter: str) -> dict[str, str]:
    """What is wrong with a row of more fields than there are columns: which one goes where is not clear."""
    if not any(row[width:]):
        return {}
    shown = delimiter.join(row)[:100]
    return {SURPLUS: f"the row '{shown}' has more than {width} fields: those with '{delimiter}' in them need quotes."}


def _json_lines(text: str, path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append(parsed(line))
            except Unusable:
                raise FomoError(f"'{path}', line {number}: not an object in JSON.") from None
    return rows


def _json_rows(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        value = parse_json(text, finite=False)
    except Unreadable as error:
        raise FomoError(f"'{path}': not JSON: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("images"), list):
        return coco_rows(value, path)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise FomoError(f"'{path}': neither a list of objects nor COCO captions (images, annotations).")
    return value


def row_in(where: Location | None) -> dict[str, Any]:
    """The JSON of one sample; empty where there is none that can be read."""
    try:
        return parsed(where.read(MAX_TEXT_BYTES)) if where is not None else {}
    except Unusable:
        return {}


def said_split(row: Mapping[str, Any]) -> str:
    """What a row of a table, or the JSON of a sample, says of its split under a usual name; empty where nothing."""
    plain = {_plain(key): value for key, value in row.items()}
    name = _first(COLUMNS["split"].split(), plain)
    return _value(plain[name]) if name else _split_by_flags(row).get("split", "")


def _split_by_flags(row: Mapping[str, Any]) -> dict[str, str]:
    """The split that columns of yes and no say, where no other does; what is in none of them is in the part left."""
    plain = {_plain(key): value for key, value in row.items()}
    flags = {named: _yes(value) for key, value in plain.items() if (named := _flagged(key))}
    if not flags or None in flags.values() or _first(COLUMNS["split"].split(), plain):
        return {}
    others = (split for split in ("train", "test", "validation") if split not in flags)
    return {"split": " and ".join(split for split, value in flags.items() if value) or next(others, "")}


def _yes(value: Any) -> bool | None:
    return YES.get(str(value).strip().lower().removesuffix(".0"))


@lru_cache
def _flagged(column: str) -> str:
    match = FLAG.fullmatch(column)
    named = named_split(match[1]) if match else None
    return named.split if named is not None and not named.rest else ""


@lru_cache
def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", key.casefold().strip("\ufeff ")).strip("_")


def remarks_on_parts(row: Mapping[str, Any], where: str, note: str, is_used: bool) -> list[str]:
    """Sentences on columns of a row, or keys of a sample, that part the images and are not used.

    Args:
        row: one that stands for all.
        where: what holds it, for people.
        note: how the split was given; empty where it was not.
        is_used: columns of a split are, those of folds never.
    """
    folds = [key for key in row if _plain(key) in FOLDS.split()]
    splits = [key for key in row if _plain(key) in COLUMNS["split"].split() or _flagged(_plain(key))]
    way = "a column `split` of train, validation and test would be used"
    why = note or f"'{said_split(row)[:40]}' is no split; {way}"
    of_folds = [f"'{key}' in {where} is not used: folds do not say what is tested on; {way}" for key in folds]
    return of_folds + [f"'{key}' in {where} is not used: {why}" for key in splits if not is_used]


def remarks_on_table(path: Path, images: Collection[str], note: str, is_used: bool) -> list[str]:
    """As :func:`remarks_on_parts` of a file, if it is a table that names one of ``images``, the names of files."""
    try:
        rows = _rows(path)
        file = _chosen(rows, {}, path)["file"]
    except FomoError:
        return []
    if not any(str(row.get(file)).replace("\\", "/").split("/")[-1] in images for row in rows):
        return []
    uneven = next((row[SURPLUS] for row in rows if SURPLUS in row), "")
    return [f"{path.name} is not used: {uneven}"] if uneven else remarks_on_parts(rows[0], path.name, note, is_used)


def _chosen(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], path: Path) -> dict[str, str]:
    """The column for each of the four things, as far as there is one."""
    there = [key for key in dict.fromkeys(key for row in rows[:1000] for key in row) if key != SURPLUS]
    plain = {_plain(key): key for key in reversed(there)}
    chosen = {what: plain[name] for what, names in COLUMNS.items() if (name := _first(names.split(), plain))}
    for what, column in columns.items():
        if what not in COLUMNS or column not in there:
            raise FomoError(
                f"--columns {what}={column}: allowed are {', '.join(COLUMNS)}, and columns of '{path}', which are: "
                f"{', '.join(there)}."
            )
    chosen |= columns
    if "file" not in chosen:
        raise FomoError(
            f"'{path}': none of its columns ({', '.join(there) or 'it is empty'}) names files: "
            f"say which by `--columns file=COLUMN class=COLUMN`."
        )
    return chosen


def _first(names: Iterable[str], there: Mapping[str, str]) -> str:
    return next((name for name in names if name in there), "")


def _merged(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], path: Path) -> list[DescribedImage]:
    images: dict[str, DescribedImage] = {}
    for row in rows:
        file = row.get(columns["file"])
        if not isinstance(file, (str, int)) or isinstance(file, bool) or not str(file).strip():
            raise FomoError(f"'{path}': a row names no file: {str(dict(row))[:100]}.")
        plain = PurePosixPath(str(file).strip().replace("\\", "/")).as_posix()
        image = images.setdefault(plain, DescribedImage(plain))
        class_name, split = (_value(row.get(columns.get(what, ""))) for what in ("class", "split"))
        image.class_name = _agreed(f"'{path}': '{plain}' has the class", image.class_name, class_name)
        image.split = _agreed(f"'{path}': '{plain}' has the split", image.split, split_of(split, f"'{path}'"))
        image.captions += _captions(row.get(columns.get("caption", "")))
    return list(images.values())


def _agreed(what: str, known: str, value: str) -> str:
    """What earlier rows say, or this one; refused where both say something else."""
    if known and value and known != value:
        raise FomoError(f"{what} '{known}' in one row and '{value}' in another.")
    return known or value


def _value(value: Any) -> str:
    """A class or split as a string; empty where a table holds nothing."""
    if isinstance(value, bool) or value is None or value != value:  # NaN is not itself
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, (str, int)) else ""


def split_of(value: str, where: str) -> str:
    """The split that a value stands for; empty where there is none.

    Raises:
        FomoError: it is no name of a split.
    """
    named = named_split(value)
    if value and named is None:
        raise FomoError(f"{where}: '{value[:40]}' is no split. Allowed are names of train, validation and test.")
    return named.split if named else ""


def _captions(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    found = []
    for text in values:
        if isinstance(text, str) and text.strip():
            try:
                found += caption_lines(" ".join(text.split()))
            except Unusable:  # numbers
                continue
    return found


def file_in(folder: Path, file: str) -> Path | None:
    """The file that a table names below ``folder``, its ending given or not; ``None`` where it is not there.

    Raises:
        Unusable: the name leads out of the folder, or is that of several images but for their endings.
    """
    if Path(file).is_absolute() and Path(file).is_relative_to(folder.absolute()):
        file = Path(file).relative_to(folder.absolute()).as_posix()
    if not is_inside(file):
        raise Unusable("path out of the root")
    if (folder / file).is_file():
        return folder / file
    places = [place for extension in EXTENSIONS if (place := folder / f"{file}{extension}").is_file()]
    if len(places) > 1:
        raise Unusable("name of several images, told apart by their endings alone")
    return places[0] if places else None
