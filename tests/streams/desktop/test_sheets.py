"""Drawings are cut out of sheets with what they need, and hostile sheets are refused."""

import io

import pytest
from PIL import Image

from streams.desktop import sheets
from streams.desktop.sheets import sheet_of
from streams.desktop.svg import BadSvg, render

HEAD = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:own="http://own.org"'
COLOURS = """
<own:guide><rect width="9"/></own:guide>
<defs>
  <linearGradient id="blue"><stop stop-color="#0000ff"/></linearGradient>
  <linearGradient id="same" xlink:href="#blue"/>
</defs>
<rect id="box" own:label="x" width="10" height="10"/>
<g fill="#ff0000" transform="translate(10 0)"><use id="red" xlink:href="#box"/></g>
<g id="shaded" style="fill:url(#same)"><rect x="20" width="10" height="10"/></g>
"""


def svg(body: str, more: str = 'viewBox="0 0 30 10"') -> bytes:
    """An SVG file."""
    return f"<?xml version='1.0'?><svg {HEAD} {more}>{body}</svg>".encode()


def pixel(body: str, box: tuple[float, float, float, float]) -> tuple[int, ...]:
    """The colour amid a drawing."""
    return Image.open(io.BytesIO(render(body, box, 32))).convert("RGB").getpixel((16, 16))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "left", "colour"), [("box", 0, (0, 0, 0)), ("red", 10, (255, 0, 0)), ("shaded", 20, (0, 0, 255))]
)
def test_a_part_is_drawn_as_on_the_sheet(name: str, left: int, colour: tuple[int, int, int]) -> None:
    sheet = sheet_of(svg(COLOURS))
    body = sheet.part(name)
    assert pixel(body, (left, 0, 10, 10)) == colour and "own" not in body
    others = [place for place in (0, 10, 20) if place != left]
    assert [pixel(body, (place, 0, 10, 10)) for place in others] == [(255, 255, 255)] * 2, "nothing else is drawn"
    assert pixel(sheet.whole(), (left, 0, 10, 10)) == colour


def test_attributes_of_the_outermost_element_are_kept_where_they_say_how_it_is_drawn() -> None:
    sheet = sheet_of(svg('<rect id="a" width="10" height="10"/>', 'fill="#00ff00" width="10px" height="10"'))
    assert sheet.box == (0, 0, 10, 10) and pixel(sheet.part("a"), sheet.box) == (0, 255, 0)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg xmlns='http://www.w3.org/2000/svg'>&a;</svg>", "declares entities"),
        (b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg/>', "declares entities"),
        (svg("<g>" * 200 + "</g>" * 200), "nested too deeply"),
        (svg("<style>rect { fill: red }</style>"), "<style>"),
        (svg("", ""), "without a size"),
        (svg("", 'width="9mm" height="9mm"'), "without a size"),
        (svg("", 'viewBox="0 0 nan"'), "without a size"),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", "no SVG"),
        (b"", "no XML"),
        (svg("")[:-5], "no XML"),
        (b"\xff\xfe\x00", "no XML"),
    ],
)
def test_a_sheet_that_cannot_be_cut_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(BadSvg, match=text):
        sheet_of(data)


def test_a_sheet_of_too_many_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_BYTES", 10)
    with pytest.raises(BadSvg, match="too many bytes"):
        sheet_of(svg(""))


def test_a_part_that_is_not_there_and_one_that_uses_itself_are_refused() -> None:
    sheet = sheet_of(svg('<g id="a"><use xlink:href="#b"/></g><g id="b"><use xlink:href="#a"/></g>'))
    with pytest.raises(BadSvg, match="without the part"):
        sheet.part("c")
    with pytest.raises(BadSvg, match="uses itself"):
        render(sheet.part("a"), sheet.box, 32)


def test_a_sheet_whose_parts_hold_one_another_is_refused_before_it_is_copied() -> None:
    body = '<path d="M0 0h9"/>'
    for number in range(60):
        body = f'<g id="a{number}" fill="{"#" * 1500}">{body}</g>'
    named = "".join(f'<use xlink:href="#a{number}"/>' for number in range(60))
    sheet = sheet_of(svg(f'{body}<g id="all">{named}</g>'))
    with pytest.raises(BadSvg, match="too many bytes"):
        sheet.part("all")
    assert len(sheet.part("a3")) < 100_000, "each once"


def test_of_a_part_that_is_too_long_to_be_rendered_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = sheet_of(svg(f'<g fill="{"#" * 5000}"><rect id="a"/></g>'))
    assert len(sheet.part("a")) > 5000 and len(sheet.whole()) > 5000
    monkeypatch.setattr(sheets, "MAX_DRAWN", 5000)
    for cut in (lambda: sheet.part("a"), sheet.whole):
        with pytest.raises(BadSvg, match="too many bytes"):
            cut()
