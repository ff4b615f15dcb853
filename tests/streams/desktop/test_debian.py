"""Each of Debian's packages, in small: which pictures are found in it, and what they are called."""

import gzip
import io
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from fomo.errors import FomoError
from streams.desktop.debian import CARDS, CHESSMEN
from streams.desktop.declared import DesktopSet
from streams.desktop.pictures import Picture, render_chunk
from streams.desktop.readers import find_pictures
from tests.streams.desktop.made import deb, zipped

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="{}">{}</svg>'


def found(reader: str, *archives: Path, **values: object) -> list[Picture]:
    """What a reader finds in packages."""
    keys = tuple(str(number) for number in range(len(archives)))
    one = DesktopSet("desktop_any", "adaptation", reader, keys, "things", ("a {}.",), debian=True, **values)  # type: ignore[arg-type]
    return find_pictures([one], dict(zip(keys, archives, strict=True)))["desktop_any"]


def called(pictures: list[Picture]) -> dict[str, str | None]:
    return {each.path: each.class_name for each in pictures}


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_cards_are_cut_out_of_the_sheet_of_their_deck(tmp_path: Path) -> None:
    body = '<rect id="club_2" x="10" width="5" height="9"/><g id="spade_king"><circle cx="125" cy="35" r="3"/></g>'
    sheet = gzip.compress(SVG.format("0 0 130 50", body).encode())
    pictures = found(
        "cards", deb(tmp_path / "a.deb", {"usr/share/cards/deck.svgz": sheet}), credits="Us", licence="MIT"
    )
    assert len(pictures) == 52 and len(set(called(pictures).values())) == 52
    drawn = {each.class_name: each for each in pictures if not each.reason}
    assert {name: each.box for name, each in drawn.items()} == {
        "2 of clubs": (10, 0, 10, 10),
        "king of spades": (120, 30, 10, 10),
    }
    assert {(each.vendor, each.credit, each.licence) for each in pictures} == {("deck", "Us (MIT)", "MIT")}
    notes = render_chunk(pictures)
    assert [len(note) == 4 for note in notes] == [not each.reason for each in pictures]
    assert {note[0] for note in notes if len(note) == 1} == {"SVG without the part that is wanted"}


def test_every_card_and_every_chessman_has_a_name_of_its_own() -> None:
    assert len({each.class_name for each in CARDS}) == 52 and len({each.name for each in CARDS}) == 52
    assert [each.class_name for each in CHESSMEN[:2]] == ["black king", "black queen"] and len(set(CHESSMEN)) == 12
    assert {"club_1", "diamond_10", "heart_jack"} <= {each.name for each in CARDS}


def test_chess_pieces_come_from_a_sheet_or_from_a_file_each(tmp_path: Path) -> None:
    folder = "usr/share/pychess/pieces"
    sheet = SVG.format("0 0 60 20", '<rect id="WhiteQueen" x="12" y="12" width="5" height="5"/>').encode()
    piece = SVG.format("0 0 9 9", '<rect width="5" height="5"/>').encode()
    files = {f"{folder}/eyes/eyes.svg": sheet, f"{folder}/ada/bn.svg": piece, f"{folder}/makruk/bn.svg": piece}
    files |= {f"{folder}/ada/bh.svg": piece, f"{folder}/ada.svg": piece}
    pictures = [each for each in found("chess", deb(tmp_path / "a.deb", files)) if not each.reason]
    assert called(pictures) == {"pychess/eyes/WhiteQueen": "white queen", "pychess/ada/bn.svg": "black knight"}
    assert [each.box for each in pictures] == [(10, 10, 10, 10), (0, 0, 9, 9)]
    assert all(len(note) == 4 for note in render_chunk(pictures))


def test_furniture_has_the_class_of_the_last_word_of_its_name(tmp_path: Path) -> None:
    names = ("Oak chair", "Chair with cushion", "Bed 140x190", "Chair bed", "Lamp")
    lines = [f"name#{number}={name}\nicon#{number}=/a/{number}.png" for number, name in enumerate(names)]
    catalogue = "\n".join(["id=any", *lines, "creator#0=Anna"]).encode("latin-1")
    files = {"PluginFurnitureCatalog.properties": catalogue} | {f"a/{number}.png": png() for number in range(4)}
    archive = deb(tmp_path / "a.deb", {"usr/share/f/Scopia.sh3f": zipped(files), "usr/share/f/other.zip": b"x"})
    pictures = found("furniture", archive, classes={"chair": ("chair",), "bed": ("bed",), "lamp": ("lamp",)})
    assert list(called(pictures).values()) == ["chair", "chair", "bed", "bed"], "the lamp has no picture"
    assert [each.credit for each in pictures[:2]] == ["Anna (CC-BY-3.0)", "eTeks (CC-BY-3.0)"]


def test_clip_art_has_the_class_of_its_folder_and_variants_are_of_one_designer(tmp_path: Path) -> None:
    top = "usr/share/openclipart/png"
    names = ("animals/dog_01.png", "animals/dog_02_b.png", "animals/owl.png", "animals/birds/owl.png", "other/a.png")
    archive = deb(
        tmp_path / "a.deb", {f"{top}/{name}": png() for name in names}, {f"{top}/animals/link.png": "owl.png"}
    )
    pictures = found("clipart", archive, classes={"animals": ("animals",), "birds": ("animals/birds",)})
    assert list(called(pictures).values()) == ["animals", "animals", "animals", "birds"]
    assert [each.designer for each in pictures] == ["animals/dog", "animals/dog", "animals/owl", "animals/birds/owl"]


def test_a_texture_has_the_class_of_the_one_word_in_its_name(tmp_path: Path) -> None:
    names = (
        "textures/wall/sbrick2.jpg",
        "textures/wall/rustbrick.jpg",
        "textures/brick/panel.jpg",
        "textures/rust.tga",
    )
    pack = zipped({name: png() for name in names})
    archive = deb(tmp_path / "a.deb", {"usr/share/games/a.pk3": pack})
    pictures = found("textures", archive, classes={"brick": ("brick",), "rust": ("rust",)})
    assert called(pictures) == {"openarena/textures/wall/sbrick2.jpg": "brick"}


def catalogue(path: Path, rows: Mapping[str, tuple[str, str]]) -> Path:
    """A package with a catalogue: kind and number of Messier's by name."""
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE objects (name, type, messier)")
    base.executemany("INSERT INTO objects VALUES (?, ?, ?)", [(name, *row) for name, row in rows.items()])
    base.commit()
    file = path.with_suffix(".db")
    base.execute("VACUUM INTO ?", (str(file),))
    base.close()
    path.write_bytes(zipped({"pyongc/ongc.db": file.read_bytes()}))
    return path


def test_photographs_of_the_sky_have_the_kind_that_the_catalogue_says(tmp_path: Path) -> None:
    folder = "usr/share/stellarium/nebulae/default"
    names = ("m31.png", "n40.png", "ic10-dss.png", "n4038-9.png", "n99.png", "abell31.png")
    files = {f"{folder}/{name}": png() for name in names}
    text = '[{"imageCredits": {"Short" : "Anna", "infoUrl": "x"},\n "imageUrl": "m31.png", "broken": ..5}]'
    archive = deb(tmp_path / "a.deb", files | {f"{folder}/textures.json": text.encode()})
    kinds = {"NGC0224": ("G", "031"), "NGC0040": ("PN", ""), "IC0010": ("G", ""), "NGC4038": ("GPair", "")}
    ongc = catalogue(tmp_path / "b.whl", kinds)
    classes = {"galaxy": ("G",), "planetary nebula": ("PN",), "pair": ("GPair",)}
    pictures = found("deep_sky", archive, ongc, classes=classes, credits="Stellarium", licence="GPL")
    assert {Path(path).name: name for path, name in called(pictures).items()} == {
        "m31.png": "galaxy",
        "n40.png": "planetary nebula",
        "ic10-dss.png": "galaxy",
        "n4038-9.png": "pair",
    }
    assert [each.credit for each in pictures[:2]] == ["Anna (GPL)", "Stellarium (GPL)"]


@pytest.mark.parametrize(
    ("files", "text"), [({"pyongc/ongc.db": b"no base"}, "no catalogue"), ({}, "it is not pyongc")]
)
def test_a_catalogue_that_cannot_be_read_is_one_error(files: dict[str, bytes], text: str, tmp_path: Path) -> None:
    (tmp_path / "b.whl").write_bytes(zipped({"readme": b"", **files}))
    with pytest.raises(FomoError, match=text):
        found("deep_sky", deb(tmp_path / "a.deb", {"a": b""}), tmp_path / "b.whl", classes={"galaxy": ("G",)})


def test_stamps_are_photographs_with_a_sentence_of_their_own(tmp_path: Path) -> None:
    top = "usr/share/tuxpaint/stamps"
    files: dict[str, bytes] = {}
    for name, sentence in {"animals/owl": "An owl.", "animals/owl2": "An owl.", "food/pear": "A pear."}.items():
        files |= {f"{top}/{name}.png": png(), f"{top}/{name}.txt": f"{sentence}\nde.utf8=Etwas.\n".encode()}
    drawn = ("animals/cartoon/bat", "symbols/math/plus", "food/silent")
    files |= {f"{top}/{name}.png": png() for name in drawn} | {f"{top}/{name}.txt": b"A drawing." for name in drawn[:2]}
    pictures = found("stamps", deb(tmp_path / "a.deb", files), kind="retrieval")
    assert [(each.path, each.caption) for each in pictures] == [
        ("tuxpaint/animals/owl", "An owl."),
        ("tuxpaint/food/pear", "A pear."),
    ]
    assert {each.class_name for each in pictures} == {None}
