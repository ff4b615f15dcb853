"""The one way to read JSON and YAML of others: limited in size and depth, without a second meaning.

What is refused although a parser would take it: NaN and infinities, numbers of more than a hundred digits, keys that
stand twice, halves of surrogate pairs, deep nesting; in YAML also aliases, which can stand for more than there is
memory, and every type that JSON does not have. Devices and pipes, which may never end, are not opened.
"""

import json
import math
import re
import stat
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from fomo.errors import FomoError

MAX_BYTES = 16 * 2**20
MAX_YAML_BYTES = 2**20
MAX_DEPTH = 100
MAX_DIGITS = 100
AS_ZEROS = str.maketrans("123456789", "0" * 9)
LONG = "0" * (MAX_DIGITS + 1)
"""What stands where a number is too long, once all digits are zeros."""
LARGE = ("e000", "e+000", "E000", "E+000")
"""What stands where one is infinite without being long, and in some hashes: each number of such a text is looked at."""
SURROGATE = re.compile(r"\\(u|U0000)[dD][89a-fA-F]")


class Unreadable(ValueError):
    """The bytes are not what they should be; the message says why."""


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        FomoError: it is none, cannot be read, or is larger than ``max_bytes``.
    """
    check_file(path, max_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise FomoError(f"{path}: cannot be read ({error.strerror}).") from None


def check_file(path: Path, max_bytes: int) -> int:
    """The size of a regular file in bytes.

    Raises:
        FomoError: it is none, cannot be looked at, or is larger than ``max_bytes``.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise FomoError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:  # a null byte in a name
        raise FomoError(f"{str(path)!a}: cannot be read ({error}).") from None
    if not stat.S_ISREG(about.st_mode):
        raise FomoError(f"{path}: cannot be read: it is not a file.")
    if about.st_size > max_bytes:
        raise FomoError(f"{path}: {about.st_size:,} bytes, allowed are {max_bytes:,}.")
    return about.st_size


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """The string in a UTF-8 file, with or without a byte order mark.

    Raises:
        FomoError: as :func:`read_bytes`; it is no UTF-8.
    """
    try:
        return read_bytes(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FomoError(f"{path}: not text in UTF-8.") from None


def read_json(path: Path, max_bytes: int = MAX_BYTES, finite: bool = True, halves: bool = False) -> Any:
    """The value in a JSON file.

    Args:
        path: the file.
        max_bytes: larger files are refused.
        finite: whether NaN and infinities are refused.
        halves: whether halves of surrogate pairs are allowed in strings.

    Raises:
        FomoError: as :func:`read_bytes`; it is no JSON, or holds what is refused.
    """
    try:
        return parse_json(read_bytes(path, max_bytes), finite, halves)
    except Unreadable as error:
        raise FomoError(f"{path}: not JSON: {error}") from None


def parse_json(data: bytes | str, finite: bool = True, halves: bool = False) -> Any:
    """The value that ``data`` spells in JSON; ``finite`` and ``halves`` are those of :func:`read_json`.

    Raises:
        Unreadable: it is no JSON, or holds what is refused.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        zeros = text.translate(AS_ZEROS)
        is_long = LONG in zeros
        is_large = finite and (is_long or any(each in zeros for each in LARGE))
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_constant if finite else None,
            parse_int=_integer if is_long else None,
            parse_float=_finite if is_large else None,
        )
        if not halves and "\\" in text and SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except UnicodeError:
        raise Unreadable("not text in UTF-8") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise Unreadable(f"the key '{twice}' stands twice")
    return values


def _constant(name: str) -> Any:
    raise Unreadable(f"{name} is no number")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise Unreadable(f"the number {digits[:20]} is too large")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [each for each in level if isinstance(each, (dict, list))]
        level = [below for each in containers for below in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return
    raise Unreadable(f"nested more than {MAX_DEPTH} deep")


def read_yaml(path: Path) -> Any:
    """The value in a YAML file: what :func:`read_json` could return as well, or NaN and infinities.

    Raises:
        FomoError: as :func:`read_bytes`; it is no YAML, or holds what is refused.
    """
    data = read_bytes(path, MAX_YAML_BYTES)
    try:
        text = data.decode("utf-8-sig")
        value = _Builder(PARSER(text)).document()
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, KeyError) as error:
        # The constructors of dates and the like raise what they please.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FomoError(f"{path}: not YAML of plain values: {reason[:300]}") from None


PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""What makes events of text: libyaml, which is several times as fast, or Python where PyYAML came without it."""
LONGEST_KEPT = 100
"""Characters of a scalar that is kept for the next file, which is likely to hold it too."""


class _Builder:
    """Makes the value of YAML's events, one after the other, and refuses what has no place the moment it comes."""

    def __init__(self, parser: Any) -> None:
        self._next: Callable[[], yaml.Event] = parser.get_event

    def document(self) -> Any:
        """The value of the only document; ``None`` where there is none."""
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        value = self._value(self._next(), 0)
        self._next()
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise Unreadable("more than one document")
        return value

    def _value(self, event: yaml.Event, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            known = _known_scalar if len(event.value) <= LONGEST_KEPT else _scalar
            return known(event.value, event.tag, event.implicit)
        if not isinstance(event, yaml.CollectionStartEvent):
            raise Unreadable("an alias (*name): write the value out")
        if depth >= MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        is_map = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{CORE}map" if is_map else f"{CORE}seq"):
            raise Unreadable(f"a value of type {event.tag}")
        return self._map(depth + 1) if is_map else self._list(depth + 1)

    def _list(self, depth: int) -> list[Any]:
        values = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            values.append(self._value(event, depth))
        return values

    def _map(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, depth)
            if not isinstance(key, str):
                raise Unreadable(f"the key {key!a} is no string")
            if key in values:
                raise Unreadable(f"the key {key[:60]!a} stands twice")
            values[key] = self._value(self._next(), depth)
        return values


CORE = "tag:yaml.org,2002:"
_RESOLVER = yaml.resolver.Resolver()


def _scalar(text: str, tag: str | None, implicit: tuple[bool, bool]) -> Any:
    """The value of a scalar by YAML 1.1, as PyYAML has it."""
    if tag in (None, "!"):
        tag = _RESOLVER.resolve(yaml.ScalarNode, text, implicit)
    if tag == f"{CORE}str":
        return text
    if tag in (f"{CORE}int", f"{CORE}float") and len(text) > MAX_DIGITS:
        raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
    value = yaml.constructor.SafeConstructor().construct_object(yaml.ScalarNode(tag, text))
    if type(value) is int and abs(value) >= 10**MAX_DIGITS:
        raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise Unreadable(f"a value of type {type(value).__name__}")


_known_scalar = lru_cache(4096)(_scalar)
