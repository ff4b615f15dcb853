"""The pictures in packages of Debian: drawings cut out of sheets, renderings, photographs.

Every reader takes the dataset and the files of its packages, in the order in which the dataset names them.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from fomo.errors import FomoError
from streams.desktop.archives import members, members_within, unzipped
from streams.desktop.declared import DesktopSet
from streams.desktop.pictures import Picture
from streams.desktop.sheets import Sheet, sheet_of
from streams.desktop.svg import BadSvg

SUITS = {"club": "clubs", "diamond": "diamonds", "heart": "hearts", "spade": "spades"}
RANKS = {
    "1": "ace",
    **{str(pips): str(pips) for pips in range(2, 11)},
    "jack": "jack",
    "queen": "queen",
    "king": "king",
}
CARD_ROWS = 5
"""Rows of a sheet of cards: the suits, and one of jokers and the back."""
PIECES = ("king", "queen", "rook", "bishop", "knight", "pawn")
"""In the order of the columns of a sheet."""
COLOURS = ("black", "white")
"""In the order of the rows of a sheet."""
LETTERS = {"k": "king", "q": "queen", "r": "rook", "b": "bishop", "n": "knight", "p": "pawn"}
OTHER_GAMES = ("makruk", "sittuyin")
"""Designs of chess as it is played elsewhere, with other pieces."""
CATALOGUE = "FurnitureCatalog.properties"
LICENCES_OF_FURNITURE = {
    "BlendSwap-CC-0.sh3f": "CC0-1.0",
    "BlendSwap-CC-BY.sh3f": "CC-BY-3.0",
    "KatorLegaz.sh3f": "CC-BY-3.0-US",
    "Reallusion.sh3f": "CC-BY-3.0-US",
    "Scopia.sh3f": "CC-BY-3.0",
    "sweethome3d.jar": "GPL-2.0-or-later",
}
"""As ``debian/copyright`` has them."""
NO_PHOTOGRAPHS = frozenset(("cartoon", "symbols", "toys", "seasonal", "clothes", "flags", "roadsigns"))
"""Folders of stamps that are drawn."""
CREDITED = re.compile(
    r'"imageCredits"\s*:\s*\{\s*"short"\s*:\s*"([^"]*)"[^}]*\}\s*,\s*"imageUrl"\s*:\s*"([^"]+)"', re.I
)
CATALOGUED = re.compile(r"(m|n|ic)(\d+)(?!\d)")
"""How a photograph of an object of Messier's, the New General or the Index Catalogue is called."""


class Cell(NamedTuple):
    """A part of a sheet: its name in the file, its class, its column and row."""

    name: str
    class_name: str
    column: int
    row: int


CARDS = tuple(
    Cell(f"{suit}_{rank}", f"{called} of {suits}", column, row)
    for row, (suit, suits) in enumerate(SUITS.items())
    for column, (rank, called) in enumerate(RANKS.items())
)
CHESSMEN = tuple(
    Cell(f"{colour.title()}{piece.title()}", f"{colour} {piece}", column, row)
    for row, colour in enumerate(COLOURS)
    for column, piece in enumerate(PIECES)
)


def cards(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Playing cards: a sheet a deck."""
    for path, data in members(archives[0], lambda name: name.endswith(".svgz")):
        where = f"gnome-cards/{PurePosixPath(path).stem}"
        yield from _cut(one, where, unzipped(data, f"'{archives[0]}', {path}"), CARDS, (len(RANKS), CARD_ROWS))


def chess(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Chess pieces: a sheet a design, or a file a piece; designs that are fonts are not read."""
    for path, data in members(archives[0], lambda name: "/pychess/pieces/" in name and name.endswith(".svg")):
        design, piece = PurePosixPath(path).parts[-2:]
        where = f"pychess/{design}"
        colour = {"b": "black", "w": "white"}.get(piece[0])
        if design in OTHER_GAMES:
            continue
        if piece == f"{design}.svg":
            yield from _cut(one, where, data, CHESSMEN, (len(PIECES), len(COLOURS)))
        elif len(piece) == len("bk.svg") and colour and piece[1] in LETTERS:
            yield _drawn(one, f"{where}/{piece}", f"{colour} {LETTERS[piece[1]]}", design, data)


def _cut(one: DesktopSet, where: str, data: bytes, cells: Sequence[Cell], size: tuple[int, int]) -> Iterator[Picture]:
    """The parts of a sheet of so many columns and rows."""
    design = where.rsplit("/", 1)[1]
    made = [_picture(one, f"{where}/{cell.name}", cell.class_name, design) for cell in cells]
    try:
        sheet = sheet_of(data)
    except BadSvg as error:
        yield from (replace(each, reason=str(error)) for each in made)
        return
    for each, cell in zip(made, cells, strict=True):
        yield _part(each, sheet, cell, size)


def _part(made: Picture, sheet: Sheet, cell: Cell, size: tuple[int, int]) -> Picture:
    left, top, width, height = sheet.box
    width, height = width / size[0], height / size[1]
    try:
        body = sheet.part(cell.name)
    except BadSvg as error:
        return replace(made, reason=str(error))
    return replace(made, svg=body, box=(left + width * cell.column, top + height * cell.row, width, height))


def _drawn(one: DesktopSet, path: str, class_name: str, design: str, data: bytes) -> Picture:
    """A picture of a whole SVG."""
    made = _picture(one, path, class_name, design)
    try:
        sheet = sheet_of(data)
    except BadSvg as error:
        return replace(made, reason=str(error))
    return replace(made, svg=sheet.whole(), box=sheet.box)


def _picture(one: DesktopSet, path: str, class_name: str | None, designer: str) -> Picture:
    return Picture(path, class_name, designer, designer, f"{one.credits} ({one.licence})", one.licence)


def furniture(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Renderings of furniture, of the class that the last word of their English name is listed for."""
    class_of = one.class_of
    for archive in archives:
        for path, data in members(archive, lambda name: PurePosixPath(name).name in LICENCES_OF_FURNITURE):
            file = PurePosixPath(path).name
            where = f"'{archive}', {file}"
            icons = dict(members_within(data, where, lambda name: name.endswith(".png")))
            for piece in _pieces(data, where):
                class_name = class_of.get(_last_word(piece.get("name", "")))
                icon = icons.get(piece.get("icon", "").lstrip("/"))
                if class_name is not None and icon is not None:
                    licence = LICENCES_OF_FURNITURE[file]
                    credit = f"{piece.get('creator', 'eTeks')} ({licence})"
                    name = piece["icon"].lstrip("/")
                    yield Picture(f"sweethome3d/{name}", class_name, name, file, credit, licence, data=icon)


def _pieces(data: bytes, where: str) -> Iterator[dict[str, str]]:
    """The entries of a catalogue: lines as "name#12=Chair"."""
    for _, text in members_within(data, where, lambda name: name.endswith(CATALOGUE)):
        pieces: dict[str, dict[str, str]] = {}
        for line in text.decode("latin-1").splitlines():
            found = re.fullmatch(r"(\w+)#(\d+)=(.*)", line)
            if found:
                pieces.setdefault(found[2], {})[found[1]] = found[3].strip()
        yield from pieces.values()


def _last_word(name: str) -> str:
    """What a name is a name of: "Sofa with cushions 200x90" is a "sofa"."""
    plain = re.split(r" (?:with|on|without) ", name.lower())[0]
    words = [word for word in plain.split() if word.isalpha()]
    return words[-1] if words else ""


def clipart(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Clip art, of the class that its folder is listed for; variants of one file's name are of one designer."""
    class_of = one.class_of
    top = PurePosixPath("usr/share/openclipart/png")
    for path, data in members(archives[0], lambda name: name.endswith(".png") and name.startswith(f"{top}/")):
        file = PurePosixPath(path).relative_to(top)
        class_name = class_of.get(str(file.parent))
        if class_name is not None:
            yield replace(_picture(one, f"openclipart/{file}", class_name, _family(file)), data=data)


def textures(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Textures of a game, of the class of which a word stands in the file's name; not if words of two classes do."""
    class_of = one.class_of
    for path, packed in members(archives[0], lambda name: name.endswith(".pk3")):
        for name, data in members_within(packed, f"'{archives[0]}', {path}", lambda name: name.endswith(".jpg")):
            file = PurePosixPath(name)
            found = {class_name for word, class_name in class_of.items() if word in file.stem.lower()}
            if len(found) == 1:
                yield replace(_picture(one, f"openarena/{file}", found.pop(), _family(file)), data=data)


def _family(file: PurePosixPath) -> str:
    """What variants of a file have in common: its folder, and the letters of its name up to the first number."""
    return f"{file.parent}/{re.split(r'[0-9]', file.stem.lower())[0].strip('_-+ ') or file.stem}"


def deep_sky(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Photographs through telescopes, of the kind of object that the catalogue has for their number."""
    class_of = one.class_of
    kinds = _kinds(archives[1])
    folder = "usr/share/stellarium/nebulae/default/"
    found: list[Picture] = []
    authors: dict[str, str] = {}
    for path, data in members(archives[0], lambda name: name.startswith(folder)):
        file = PurePosixPath(path).name
        class_name = class_of.get(kinds.get(_object(file), ""))
        if file == "textures.json":
            authors = {image: author for author, image in CREDITED.findall(data.decode("utf-8", "replace"))}
        elif class_name is not None:
            found.append(replace(_picture(one, f"stellarium/{file}", class_name, file), data=data))
    for each in found:
        author = authors.get(each.designer)
        yield replace(each, credit=f"{author} ({one.licence})") if author else each


def _object(file: str) -> str:
    """The name in the catalogue of what a photograph shows: "n2022.png" is "NGC2022"; empty where it has none."""
    found = CATALOGUED.match(file)
    if not found:
        return ""
    return f"M{int(found[2]):03d}" if found[1] == "m" else f"{ {'n': 'NGC', 'ic': 'IC'}[found[1]] }{int(found[2]):04d}"


def _kinds(archive: Path) -> dict[str, str]:
    """The kind of every object of the catalogue, by its names of the forms "M031", "NGC0224" and "IC0010".

    Raises:
        FomoError: the package does not hold it.
    """
    for path, data in members(archive, "pyongc/ongc.db".__eq__):
        with TemporaryDirectory() as folder:
            file = Path(folder) / "ongc.db"
            file.write_bytes(data)
            try:
                with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as base:
                    rows = base.execute("SELECT name, type, messier FROM objects").fetchall()
            except sqlite3.Error as error:
                raise FomoError(f"'{archive}', {path}: no catalogue ({error}).") from None
        named = {str(name): str(kind) for name, kind, _ in rows}
        return named | {f"M{messier}": str(kind) for _, kind, messier in rows if messier}
    raise FomoError(f"'{archive}' holds no 'pyongc/ongc.db': it is not pyongc.")


def stamps(one: DesktopSet, archives: Sequence[Path]) -> Iterator[Picture]:
    """Photographs, cut out, each with its sentence; of several with one sentence the first."""
    images: dict[str, bytes] = {}
    sentences: dict[str, str] = {}
    for path, data in members(archives[0], lambda name: name.endswith((".png", ".txt"))):
        file = PurePosixPath(path)
        if "stamps" in file.parts and not NO_PHOTOGRAPHS & set(file.parts):
            if file.suffix == ".png":
                images[str(file.with_suffix(""))] = data
            else:
                sentences[str(file.with_suffix(""))] = data.decode("utf-8", "replace").split("\n")[0].strip()
    seen: set[str] = set()
    for name in sorted(images):
        sentence = sentences.get(name, "")
        if sentence and sentence not in seen:
            seen.add(sentence)
            path = name.split("/stamps/")[1]
            yield replace(_picture(one, f"tuxpaint/{path}", None, path), caption=sentence, data=images[name])
