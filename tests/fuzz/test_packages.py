"""Packages that are prepared: archives, pickled arrays, sheets, SVG, and the values that readers look for in them."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.desktop.archives import members
from streams.desktop.declared import DesktopSet, load_sets
from streams.desktop.pickled import pickled_array
from streams.desktop.pictures import Picture, render_chunk
from streams.desktop.readers import find_pictures
from streams.desktop.sheets import sheet_of
from streams.desktop.svg import BadSvg
from tests.fuzz.harness import HEAVY, examples, survives
from tests.fuzz.strategies import json_bytes, spoilt
from tests.streams.desktop.made import ar, deb, tar, tgz, zipped
from tests.streams.desktop.test_pickled import pickled

FILES = {"package/a.json": b"{}", "package/b.png": bytes(range(256)) * 9}
SHEET = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 24 24">
<defs><marker id="m"><path d="M0 0h1v1"/></marker><mask id="k"><rect width="9" height="9" fill="#fff"/></mask></defs>
<g id="a" style="fill:#123456;mask:url(#k)"><path d="M2 2h9v1e1" stroke="#000" stroke-dasharray="2 1"/></g>
<use xlink:href="#a"/><path d="M0 0 3 3" marker-mid="url(#m)" transform="scale(2)"/></svg>"""
PARSER = examples(500)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """An archive of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    parts = ar(folder / "plain.deb", {"debian-binary": b"2.0\n", "data.tar": tar(FILES, {"package/link": "a"}, "")})
    made = [path.read_bytes() for path in (tgz(folder / "a.tgz", FILES), deb(folder / "a.deb", FILES), parts)]
    return [*made, tar(FILES, {}, ""), zipped(FILES), zipped(FILES, zipfile.ZIP_DEFLATED)]


@PARSER
@given(draw=st.data(), number=st.integers(0, 5))
def test_archives(root: Path, archives: list[bytes], draw: st.DataObject, number: int) -> None:
    (root / "a").write_bytes(draw.draw(spoilt(archives[number])))
    for name, content in survives(root, lambda: list(members(root / "a", lambda name: True))) or ():
        assert name and len(content) <= 2**20
    assert [each.name for each in root.iterdir()] == ["a"]


@PARSER
@given(draw=st.data(), kind=st.sampled_from(("u1", "<i8")))
def test_pickled_arrays(root: Path, draw: st.DataObject, kind: str) -> None:
    data = draw.draw(spoilt(pickled(np.arange(24).reshape(2, 12).astype(kind))))
    found = survives(root, lambda: pickled_array(data, "any"))
    assert found is None or (found.dtype in (np.dtype("u1"), np.dtype("<i8")) and found.nbytes <= len(data))


@HEAVY
@given(data=spoilt(SHEET))
@example(SHEET)
def test_sheets_and_what_is_drawn_of_them(root: Path, data: bytes) -> None:
    def look() -> list[list[str]]:
        try:
            sheet = sheet_of(data)
            bodies = [sheet.whole(), *map(sheet.part, sheet.elements)]
        except BadSvg as reason:
            assert str(reason)
            return []
        return render_chunk([Picture("p", "c", "d", "v", "", "", svg=each, box=sheet.box) for each in bodies])

    assert all(len(note) in (1, 4) and note[0] for note in survives(root, look) or ())


ABOUT = {"a": {"name": "A", "author": {"name": "B"}, "license": {"spdx": "MIT"}, "category": "Emoji"}}
ICONS = {"icons": {"dog-face": {"body": "<g/>"}, "cat": {"body": "<g/>", "width": 9}}, "chars": {"1f436": "dog-face"}}
EMOJI = [{"hexcode": "1F436", "label": "dog face", "group": 3}, {"hexcode": "1F1E9-1F1EA", "label": "flag", "group": 9}]
DIGITS = {"data": [0.5] * 784}


def declared(reader: str, *packages: str, **values: Any) -> DesktopSet:
    """A dataset of any name."""
    return DesktopSet("desktop_any", "retention", reader, packages, "things", ("a {}.",), **values)


@PARSER
@given(about=json_bytes(ABOUT), icons=json_bytes(ICONS), emoji=json_bytes(EMOJI))
@example(json.dumps(ABOUT).encode(), json.dumps(ICONS).encode(), json.dumps(EMOJI).encode())
def test_icons_and_emoji(root: Path, about: bytes, icons: bytes, emoji: bytes) -> None:
    files = {"package/collections.json": about, "package/json/a.json": icons}
    paths = {"iconify": tgz(root / "a", files), "emojibase": tgz(root / "b", {"package/en/data.json": emoji})}
    sets = [
        declared("emoji", "iconify", "emojibase", group=3),
        *(each for each in load_sets().values() if each.reader in ("flags", "pool", "brands", "icons")),
    ]
    survives(root, lambda: find_pictures(sets[: 1 + len(icons) % 2], paths))


@HEAVY
@given(digits=json_bytes(DIGITS))
def test_digits(root: Path, digits: bytes) -> None:
    path = tgz(root / "a", {"package/src/digits/7.json": digits})
    survives(root, lambda: find_pictures([declared("digits", "a")], {"a": path}))


@HEAVY
@given(rows=spoilt(b"images/a.png 1.0 mono\nimages/b.png 0.0 poly\n"))
def test_solar_cells(root: Path, rows: bytes) -> None:
    (root / "a").write_bytes(zipped({"elpv_dataset/data/labels.csv": rows, "elpv_dataset/data/images/a.png": b"x"}))
    survives(root, lambda: find_pictures([declared("solar_cells", "a")], {"a": root / "a"}))


@HEAVY
@given(sheet=spoilt(gzip.compress(SHEET)), catalogue=spoilt(b"name#1=Oak chair\nicon#1=/a.png\ncreator#1=B\n"))
def test_debians_readers(root: Path, sheet: bytes, catalogue: bytes) -> None:
    inner = zipped({"PluginFurnitureCatalog.properties": catalogue, "a.png": b"x"})
    files = {"usr/cards/deck.svgz": sheet, "usr/f/Scopia.sh3f": inner, "usr/pychess/pieces/ada/bn.svg": SHEET}
    path = deb(root / "a", files)
    for one in (
        declared("cards", "a"),
        declared("chess", "a"),
        declared("furniture", "a", classes={"chair": ("chair",)}),
    ):
        survives(root, lambda one=one: find_pictures([one], {"a": path}))  # type: ignore[misc]


def test_the_whole_ones_are_read(root: Path, archives: list[bytes]) -> None:
    for data in archives:
        (root / "a").write_bytes(data)
        assert dict(members(root / "a", lambda name: True)) == FILES
    sheet = sheet_of(SHEET)
    bodies = [sheet.whole(), sheet.part("a")]
    notes = render_chunk([Picture("p", "c", "d", "v", "", "", svg=each, box=sheet.box) for each in bodies])
    assert [len(note) for note in notes] == [4, 4], notes
