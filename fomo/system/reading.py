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
from pathlib import Path
from typing import Any

import yaml

from fomo.errors import FomoError

MAX_BYTES = 16 * 2**20
MAX_YAML_BYTES = 2**20
MAX_DEPTH = 100
MAX_DIGITS = 100
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(ValueError):
    """The bytes are not what they should be; the message says why."""


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        FomoError: it is none, cannot be read, or is larger than ``max_bytes``.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise FomoError(f"{path}: cannot be read: it is not a file.")
        if about.st_size > max_bytes:
            raise FomoError(f"{path}: {about.st_size:,} bytes, allowed are {max_bytes:,}.")
        return path.read_bytes()
    except OSError as error:
        raise FomoError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:  # a null byte in a name
        raise FomoError(f"{str(path)!a}: cannot be read ({error}).") from None


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
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_constant if finite else None,
            parse_int=_integer,
            parse_float=_finite if finite else float,
        )
        if not halves and SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except UnicodeError:
        raise Unreadable("not text in UTF-8") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None
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


class _Loader(yaml.SafeLoader):
    """Plain YAML: no aliases, no key twice, no numbers that take long to read."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A node as yaml composes it; aliases and deep nesting are refused."""
        if self.check_event(yaml.AliasEvent):
            raise Unreadable("an alias (*name): write the value out")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping as yaml constructs it; a key that stands twice is refused, where the last one would win."""
        keys = [key.value for key, _ in node.value]
        if len({str(key) for key in keys}) < len(keys):
            raise Unreadable("a key stands twice")
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """A scalar as yaml constructs it; long numbers are refused."""
        if node.tag.endswith((":int", ":float")) and len(str(node.value)) > MAX_DIGITS:
            raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
        return super().construct_scalar(node)


def read_yaml(path: Path) -> Any:
    """The value in a YAML file: what :func:`read_json` could return as well, or NaN and infinities.

    Raises:
        FomoError: as :func:`read_bytes`; it is no YAML, or holds what is refused.
    """
    data = read_bytes(path, MAX_YAML_BYTES)
    try:
        value = yaml.load(data.decode("utf-8-sig"), _Loader)
        return parse_json(json.dumps(_plain(value), ensure_ascii=False).encode(), finite=False)
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, KeyError) as error:
        # The constructors of dates and the like raise what they please.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FomoError(f"{path}: not YAML of plain values: {reason[:300]}") from None


def _plain(value: Any) -> Any:
    """``value``, if it is made of what JSON has."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise Unreadable(f"the key {key!a} is no string")
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise Unreadable(f"a value of type {type(value).__name__}")
