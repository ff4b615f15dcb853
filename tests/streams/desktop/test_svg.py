"""SVG is rendered within limits, and refused beyond them before the renderer sees it."""

import importlib.metadata
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fomo.errors import FomoError
from streams.desktop import svg
from streams.desktop.svg import BadSvg, check_renderer, check_svg, render

BOX = (0.0, 0.0, 24.0, 24.0)


def uses(depth: int, times: int) -> str:
    """Groups each of which shows the one before it several times: times ** depth elements."""
    made = '<g id="g0"><rect width="1" height="1"/></g>'
    for number in range(1, depth):
        made += f'<g id="g{number}">' + f'<use href="#g{number - 1}"/>' * times + "</g>"
    return made


def shown_by(name: str, attribute: str) -> str:
    """Elements each of which draws the one before it twice, by an attribute of its content."""
    made = f'<{name} id="a0"><rect width="9" height="9"/></{name}>'
    for number in range(1, 20):
        made += f'<{name} id="a{number}">' + f"<rect {attribute.format(number - 1)}/>" * 2 + f"</{name}>"
    return made + f"<rect {attribute.format(19)}/>"


def test_a_square_is_drawn_black_on_white_where_it_stands() -> None:
    image = Image.open(io.BytesIO(render('<path d="M0 0h12v12H0z"/>', BOX, 8))).convert("RGB")
    expected = np.full((8, 8, 3), 255, np.uint8)
    expected[:4, :4] = 0
    np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_wide_picture_is_drawn_whole_in_the_middle() -> None:
    image = Image.open(io.BytesIO(render('<path d="M0 0h24v12H0z"/>', (0, 0, 24, 12), 8))).convert("L")
    assert np.asarray(image)[:, 0].tolist() == [255, 255, 0, 0, 0, 0, 255, 255]


def test_text_is_not_drawn_since_fonts_differ_between_machines() -> None:
    with pytest.raises(BadSvg, match="<text>"):
        render('<text x="0" y="20">hi</text>', BOX, 8)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<g>" * 100 + "</g>" * 100, "nested too deeply"),
        (uses(8, 10), "too many elements"),
        ('<g id="a"><use href="#b"/></g><g id="b"><use xlink:href="#a"/></g>', "uses itself"),
        ('<use href="other.svg#a"/>', "outside"),
        ('<rect fill="url(http://example.org/a.svg#b)"/>', "outside"),
        ('<image href="/etc/passwd"/>', "<image>"),
        ('<image href="#a"/>', "<image>"),
        ("<style>@import url(x)</style>", "<style>"),
        ('<svg width="100000" height="100000"/>', "<svg>"),
        ('<mask width="9999999" height="1"/>', "size"),
        ('<rect width="1e9"/>', "size"),
        ("<g>", "no XML"),
        ("&bomb;", "no XML"),
        ("<g/>" * 20_000, "too many elements"),
        ("<!--" + " " * svg.MAX_BYTES + "-->", "too many bytes"),
        ('<path id="a" d="M0 0' + "h1" * 40_000 + '"/>' + '<use href="#a"/>' * 200, "too many elements"),
        ('<pattern id="a" width="9000" height="9000"/><rect fill="url(#a)"/>', "<pattern>"),
        ('<filter id="a"><feTurbulence numOctaves="2000000000"/></filter><rect filter="url(#a)"/>', "<feTurbulence>"),
        ('<filter id="a"><feGaussianBlur/></filter>' + '<rect filter="url(#a)"/>' * 4000, "too many elements"),
        ('<filter id="a"><feGaussianBlur/></filter><rect filter="' + "url(#a) " * 6000 + '"/>', "too many elements"),
        (shown_by("mask", 'mask="url(#a{})"'), "too many elements"),
        (shown_by("clipPath", "style='fill:red; clip-path: url(\"#a{}\")'"), "too many elements"),
        ('<mask id="a"><rect mask="url(#a)"/></mask><rect mask="url(#a)"/>', "uses itself"),
        (
            f'<marker id="a">{"<rect/>" * 99}</marker><path d="M0 0{"h1" * 99}" marker-mid="url(#a)"/>',
            "too many elements",
        ),
        (
            f'<marker id="a">{"<g/>" * 99}</marker><g style="marker:url(#a)"><path d="M0 0{"h1" * 99}"/></g>',
            "too many el",
        ),
        ('<g marker-mid="url(#a)"><use href="#b"/></g>', "dashes or markers of a <use>"),
        ('<path d="M0 0H24" stroke-dasharray="1e-4"/>', "too many elements"),
        ('<g style="stroke-dasharray: .0001 .0001"><circle r="9"/></g>', "too many elements"),
        ('<g stroke-dasharray="1"><use href="#b"/></g>', "dashes or markers of a <use>"),
        ('<path d="M-1e38 0A1e38 1e38 0 0 0 1e38 5"/>', "size"),
        ('<path d="M0 0h-123456789.5"/>', "size"),
        ('<g transform="scale(1E+7)"/>', "size"),
        ('<rect style="width:1e9"/>', "size"),
        ('<rect style="mask/**/:url(#a)"/>', "style that is not plain"),
        (f'<g xmlns:s="{svg.SVG}"><rect s:mask="url(#a)"/></g>', "another name"),
    ],
)
def test_a_bomb_is_refused_without_rendering(body: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resvg_py.svg_to_bytes", lambda **_: pytest.fail("it was rendered"))
    with pytest.raises(BadSvg, match=reason):
        render(body, BOX, 8)


def test_a_picture_may_have_dashes_markers_masks_and_colours_that_look_like_numbers() -> None:
    parts = (
        '<marker id="m"><path d="M0 0h1v1"/></marker><path d="M0 0h1h1" marker-mid="url(#m)"/>',
        '<path d="M.123456789 0h24" stroke="#1e1000" style="fill:#123456789" stroke-dasharray="2 1"/>',
        '<mask id="k"><rect/></mask><g mask="url(#k)"><rect id="12345678901"/></g><g stroke-dasharray="none"/>',
        '<filter id="f"><feGaussianBlur stdDeviation=".5"/></filter><g filter="url(#f)"><rect/></g>',
    )
    assert len(render("".join(parts), BOX, 8)) > 50


def test_a_panic_of_the_renderer_leaves_the_picture_out(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadSvg, match="resvg does not render"):
        render('<g transform="scale(9e6)"><path d="M-9e6 -9e6A9e6 9e6 0 0 0 9e6 5z" stroke="#000"/></g>', BOX, 96)
    assert "panicked" in capfd.readouterr().err, "or it is no panic"


def test_entities_are_refused() -> None:
    with pytest.raises(BadSvg, match="document type"):
        check_svg('<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg>&a;</svg>')


@pytest.mark.parametrize("quoted", ["url(#a)", "url('#a')", "url( '#a' )", 'url("#a")'])
def test_what_refers_to_itself_is_allowed(quoted: str) -> None:
    mark = "'" if '"' in quoted else '"'
    check_svg(f'<svg><rect id="a"/><rect fill={mark}{quoted}{mark}/><use href="#a"/><use href="#a"/></svg>')


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0, 0, 1e9, 1), (float("nan"), 0, 1, 1)])
def test_an_impossible_box_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(BadSvg, match="size"):
        render("<g/>", box, 8)


@given(st.text(alphabet="<>/\"'= gsvguse#hrefid&;!-abc0123456789", max_size=300))
def test_whatever_comes_is_rendered_or_refused(body: str) -> None:
    try:
        render(body, BOX, 8)
    except BadSvg as reason:
        assert str(reason)


def test_another_renderer_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    check_renderer()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.4.0")
    with pytest.raises(FomoError, match=r"resvg-py 0.4.0 .* only 0.5.0 .*fomo-bench\[desktop\]"):
        check_renderer()

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(FomoError, match=r"pip install 'fomo-bench\[desktop\]'"):
        check_renderer()
