"""SVG to pixels: by resvg alone, on white, without fonts, files or network, and only what is within limits.

resvg is written in a memory-safe language, but reserves what a picture asks for: one of 100,000 pixels a side ends the
process. So the outer element is always ours, of a fixed size, and what stands in it is looked at before it is rendered.
"""

import importlib.metadata
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple
from xml.parsers import expat

from fomo.errors import FomoError

RESVG = "0.5.0"
"""The version of resvg-py whose pixels the manifest has."""
MAX_BYTES = 2 * 2**20
MAX_DEPTH = 40
MAX_ELEMENTS = 10_000
"""Elements that are drawn, each as often as it is referred to; long ones and dashed ones count as several."""
CHARACTERS = 1000
"""Of attributes, that count as one element more."""
DASHES = 20
"""Of an outline, that count as one element more."""
MAX_NUMBER = 100_000
"""Largest width, height or the like of an element, in the picture's own units."""
HUGE = re.compile(r"(?<![\d.])\d{8,}|\d\.?[eE]\+?(?:\d\d|[7-9])")
"""Numbers of 10 million and more, anywhere: curves between them are not drawn to the end."""
NAMES = re.compile(r"#[\w.-]+")
"""Colours and identifiers, which are no numbers."""
NO_NUMBERS = ("id", "class")
REFUSED_NAMES = """
    image foreignObject script style text tspan textPath svg feImage a
    pattern feTurbulence feConvolveMatrix feMorphology
"""
REFUSED = frozenset(REFUSED_NAMES.split())
"""Elements that load something, need fonts, have a size of their own, or take memory or time that nothing limits."""
SIZES = ("width", "height", "x", "y", "stdDeviation", "stroke-width", "markerWidth", "markerHeight")
OUTLINES = ("d", "points", "r", "rx", "ry", "width", "height", "x1", "y1", "x2", "y2")
REFERRING = frozenset(("mask", "clip-path", "filter", "marker", "marker-start", "marker-mid", "marker-end"))
"""Properties that draw other elements for the one that has them."""
DASHED = "stroke-dasharray"
TARGET = re.compile(r"url\(\s*['\"]?#([^'\")\s]+)")
NOT_RENDERED = "SVG that resvg does not render"
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class BadSvg(Exception):
    """A picture that is not rendered; the message says why in a few words, for counting."""


def check_renderer() -> None:
    """Refuse a machine without the pinned renderer.

    Raises:
        FomoError: resvg-py is missing, or of another version.
    """
    try:
        found = importlib.metadata.version("resvg-py")
    except importlib.metadata.PackageNotFoundError:
        raise FomoError("'desktop' renders SVG by resvg-py: pip install 'fomo-bench[desktop]'") from None
    if found != RESVG:
        raise FomoError(
            f"resvg-py {found} is installed, and only {RESVG} makes the published pixels: "
            "pip install 'fomo-bench[desktop]'"
        )


def render(body: str, box: tuple[float, float, float, float], size: int) -> bytes:
    """The PNG of what stands in an SVG, ``size`` pixels a side; its ``box`` (left, top, width, height) fits in whole.

    Raises:
        BadSvg: it is refused, or cannot be rendered.
    """
    import resvg_py

    if not all(abs(value) <= MAX_NUMBER for value in box) or min(box[2:]) <= 0:
        raise BadSvg("SVG of a size that is not allowed")
    view = " ".join(f"{value:g}" for value in box)
    root = f'<svg xmlns="{SVG}" xmlns:xlink="{XLINK}" color="#000000"'
    text = f'{root} width="{size}" height="{size}" viewBox="{view}">{body}</svg>'
    check_svg(text)
    try:
        return bytes(resvg_py.svg_to_bytes(svg_string=text, background="#ffffff", skip_system_fonts=True))
    except ValueError:
        raise BadSvg(NOT_RENDERED) from None
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime":  # a panic of resvg, which is no Exception
            raise BadSvg(NOT_RENDERED) from None
        raise


def check_svg(text: str) -> None:
    """Refuse what loads something, declares entities, is too deep, too long, or repeats itself without end.

    Raises:
        BadSvg: it is refused.
    """
    data = text.encode(errors="replace")
    if len(data) > MAX_BYTES:
        raise BadSvg("SVG of too many bytes")
    looked = _Look()
    parser = expat.ParserCreate()
    parser.StartElementHandler = looked.start
    parser.EndElementHandler = looked.end
    parser.StartDoctypeDeclHandler = looked.doctype
    parser.EntityDeclHandler = looked.doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError:
        raise BadSvg("SVG that is no XML") from None
    looked.check_repeats()


class _Drawn(NamedTuple):
    """How an element is drawn, by itself or by those that it stands in: what is inherited.

    Attributes:
        dash: the length of its dashes with their gaps; 0 where its outline is not dashed.
        markers: names of the elements that are drawn at every point of its outline.
    """

    dash: float = 0
    markers: tuple[str, ...] = ()

    @property
    def is_multiplied(self) -> bool:
        """Whether its outline may become many things."""
        return bool(self.dash or self.markers)


class _Look:
    """Looks at the elements of an SVG one by one."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._drawn = [_Drawn()]
        self._own: Counter[str] = Counter()
        self._uses: dict[str, Counter[str]] = {}
        self._depth = 0

    def doctype(self, *_: Any) -> None:
        """A document type, which could declare entities."""
        raise BadSvg("SVG with a document type")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins; it counts for every named element that it stands in."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadSvg("SVG nested too deeply")
        short = name.rsplit(":", 1)[-1]
        if short in REFUSED and self._depth > 1:
            raise BadSvg(f"SVG with <{short}>")
        self._check_attributes(attributes)
        self._open.append(attributes.get("id", "") if self._depth > 1 else "/")
        used = self._referred_to(attributes)
        if short == "use":
            if self._drawn[-1].is_multiplied:
                raise BadSvg("SVG with dashes or markers of a <use>")
            used[(attributes.get("href") or attributes.get("xlink:href") or "")[1:]] += 1
        weight = 1 + sum(map(len, attributes.values())) // CHARACTERS + self._dashes(attributes) // DASHES
        for owner in {each for each in self._open if each}:
            self._own[owner] += weight
            self._uses.setdefault(owner, Counter()).update(used)

    def _referred_to(self, attributes: dict[str, str]) -> Counter[str]:
        """How often an element draws others. What its children inherit is noted."""
        own = dict(_properties(attributes))
        found = [(key, target) for key in REFERRING & own.keys() for target in TARGET.findall(own[key])]
        above = self._drawn[-1]
        dash = sum(map(float, NUMBER.findall(own[DASHED]))) if DASHED in own else above.dash
        markers = tuple(target for key, target in found if key.startswith("marker"))
        self._drawn.append(_Drawn(dash, above.markers + markers))
        points = len(attributes.get("d", "") + attributes.get("points", ""))
        used = Counter({target: points for target in self._drawn[-1].markers})
        used.update(target for key, target in found if not key.startswith("marker"))
        return used

    def _dashes(self, attributes: dict[str, str]) -> int:
        """About how many dashes an outline has, rather more."""
        dash = self._drawn[-1].dash
        if dash <= 0:
            return 0
        numbers = (NUMBER.findall(attributes[key]) for key in OUTLINES if key in attributes)
        length = 8 * sum(abs(float(each)) for each in chain.from_iterable(numbers))
        return int(min(length / dash, DASHES * (MAX_ELEMENTS + 1)))

    def end(self, name: str) -> None:
        """An element ends."""
        self._depth -= 1
        self._open.pop()
        self._drawn.pop()

    def _check_attributes(self, attributes: dict[str, str]) -> None:
        for key, value in attributes.items():
            if key.startswith("xmlns:") and value.strip() == SVG:
                raise BadSvg("SVG under another name")
            if key.rsplit(":", 1)[-1] == "href" and not value.startswith("#"):
                raise BadSvg("SVG that refers to something outside")
            if "url(" in value and re.search(r"url\((?!\s*['\"]?#)", value):
                raise BadSvg("SVG that refers to something outside")
            if key not in NO_NUMBERS and HUGE.search(NAMES.sub("", value) if "#" in value else value):
                raise BadSvg("SVG of a size that is not allowed")
            if key in SIZES and any(abs(float(each)) > MAX_NUMBER for each in NUMBER.findall(value)):
                raise BadSvg("SVG of a size that is not allowed")

    def check_repeats(self) -> None:
        """Refuse a picture of too many elements, those that are referred to counted each time."""
        total = _repeated("/", self._own, self._uses, (), {})
        if total > MAX_ELEMENTS:
            raise BadSvg("SVG of too many elements")


def _properties(attributes: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What an element is drawn with, by name; what its style says comes last, and holds.

    Raises:
        BadSvg: a style that may be read in two ways.
    """
    yield from attributes.items()
    style = attributes.get("style", "")
    if "/*" in style or "\\" in style:
        raise BadSvg("SVG with a style that is not plain")
    for each in style.split(";"):
        key, _, value = each.partition(":")
        yield key.strip(), value


def _repeated(
    name: str, own: Counter[str], uses: dict[str, Counter[str]], above: tuple[str, ...], known: dict[str, int]
) -> int:
    """Elements of a named element with all that it uses.

    Args:
        name: of the element.
        own: elements in each named element.
        uses: how often each named element uses which other.
        above: the names that led here: one of them again would never end.
        known: what was counted before.
    """
    if name in above:
        raise BadSvg("SVG that uses itself")
    if len(above) > MAX_DEPTH:
        raise BadSvg("SVG nested too deeply")
    if name not in known:
        below = uses.get(name, Counter())
        used = (count * _repeated(each, own, uses, (*above, name), known) for each, count in below.items())
        known[name] = min(own[name] + sum(used), MAX_ELEMENTS + 1)
    return known[name]
