"""One drawing out of an SVG that holds many: a named element with what it refers to, and nothing else of the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, tostring
from xml.parsers import expat

from streams.desktop.svg import MAX_BYTES as MAX_DRAWN
from streams.desktop.svg import SVG, BadSvg

HREF = "http://www.w3.org/1999/xlink href"
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 100
MOST_COPIED = 2 * MAX_DRAWN
"""Characters of tags and attributes of what a part refers to, each as often as it is copied."""
TOO_LONG = "SVG of too many bytes"
PLACES = frozenset(("id", "width", "height", "viewBox", "version", "x", "y", "preserveAspectRatio"))
"""Attributes of the outermost element that say nothing of how its content is drawn."""
REFERENCE = re.compile(r"url\(\s*['\"]?#([^'\")\s]+)")


@dataclass(frozen=True)
class Sheet:
    """An SVG in memory.

    Attributes:
        box: left, top, width, height of all of it.
        elements: those with an identifier, by it.
        parents: the element above each.
        root: the outermost element.
    """

    box: tuple[float, float, float, float]
    elements: dict[str, Element]
    parents: dict[Element, Element]
    root: Element

    def part(self, name: str) -> str:
        """What stands in the SVG of the element ``name``: it, what it refers to, and how the elements above draw it.

        Raises:
            BadSvg: there is no such element, or what belongs to it is too long.
        """
        if name not in self.elements:
            raise BadSvg("SVG without the part that is wanted")
        whole = Element("g")
        inside = {each.get("id") for each in self.elements[name].iter()}
        defs = SubElement(whole, "defs")
        defs.extend(self.elements[each] for each in self._needed(name) if each not in inside)
        holder = whole
        for above in reversed(list(self._above(self.elements[name]))):
            kept = {key: value for key, value in above.items() if above is not self.root or key not in PLACES}
            holder = SubElement(holder, "g", {key: value for key, value in kept.items() if key != "id"})
        holder.append(self.elements[name])
        return _within_limits(tostring(whole, encoding="unicode"))

    def whole(self) -> str:
        """What stands in the SVG of all of it.

        Raises:
            BadSvg: it is too long.
        """
        return _within_limits("".join(tostring(each, encoding="unicode") for each in self.root))

    def _above(self, element: Element) -> Iterator[Element]:
        while element in self.parents:
            element = self.parents[element]
            yield element

    def _needed(self, name: str) -> list[str]:
        """Identifiers that an element refers to, those that these refer to as well.

        Raises:
            BadSvg: each may stand in the next one, and all together be far longer than the sheet.
        """
        found: dict[str, None] = {}
        waiting = [name]
        length = 0
        while waiting:
            for each in self.elements[waiting.pop()].iter():
                length += len(each.tag) + sum(map(len, each.attrib.values()))
                if length > MOST_COPIED:
                    raise BadSvg(TOO_LONG)
                named = [one for one in _references(each) if one in self.elements and one not in found]
                found.update(dict.fromkeys(named))
                waiting += named
        return list(found)


def _within_limits(text: str) -> str:
    """A text that may be rendered; of a longer one, of which a sheet has many, nothing is kept."""
    if len(text) > MAX_DRAWN:
        raise BadSvg(TOO_LONG)
    return text


def _references(element: Element) -> Iterator[str]:
    for key, value in element.items():
        if key == "xlink:href" or key == "href":
            yield value.removeprefix("#")
        else:
            yield from REFERENCE.findall(value)


def sheet_of(data: bytes) -> Sheet:
    """Read an SVG; elements and attributes of other vocabularies than SVG's are dropped.

    Raises:
        BadSvg: no SVG, or it declares entities, has a style sheet, is too long or too deep.
    """
    if len(data) > MAX_BYTES:
        raise BadSvg(TOO_LONG)
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError):
        raise BadSvg("SVG that is no XML") from None
    root = reader.close()
    parents = {child: parent for parent in root.iter() for child in parent}
    elements = {each.get("id", ""): each for each in root.iter() if each.get("id")}
    return Sheet(_box(root), elements, parents, root)


def _box(root: Element) -> tuple[float, float, float, float]:
    given = root.get("viewBox") or f"0 0 {root.get('width', '')} {root.get('height', '')}"
    try:
        left, top, width, height = (float(each.removesuffix("px")) for each in given.replace(",", " ").split())
    except ValueError:
        raise BadSvg("SVG without a size") from None
    return left, top, width, height


class _Reader:
    """Builds a tree of SVG's own elements, and refuses what :func:`sheet_of` names."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._dropped = 0
        self._depth = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = self._entity

    def close(self) -> Element:
        """The outermost element."""
        root = self._builder.close()
        if root is None:
            raise BadSvg("XML that is no SVG")
        return root

    def _entity(self, *_: object) -> None:
        raise BadSvg("SVG that declares entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        vocabulary, _, short = name.rpartition(" ")
        if self._depth > MAX_DEPTH:
            raise BadSvg("SVG nested too deeply")
        if self._dropped or vocabulary not in (SVG, ""):
            self._dropped += 1
        elif short == "style":
            raise BadSvg("SVG with <style>")
        else:
            kept = {key: value for key, value in attributes.items() if " " not in key}
            linked = {"xlink:href": attributes[HREF]} if HREF in attributes else {}
            self._builder.start(short, {**kept, **linked})

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._dropped:
            self._dropped -= 1
        else:
            self._builder.end(name.rpartition(" ")[2])
