"""An array that numpy has pickled, read as data: nothing is unpickled.

A pickle is a program. An ``Unpickler`` that admits numpy's constructors alone still runs it: it may ask ``ndarray`` for
memory without end, or hand ``__setstate__`` values that its C code was not written for. Here the instructions are
compared, one by one, with those that numpy writes for an array of integers; the numbers in them are taken, and none is
carried out.
"""

import math
import pickletools
from itertools import islice
from typing import Any

import numpy as np

from fomo.errors import FomoError

KINDS: dict[str, np.dtype[Any]] = {"u1": np.dtype("u1"), "i8": np.dtype("<i8")}
"""Numbers that an array may hold."""
MAX_DIMENSIONS = 3
SKIPPED = ("PROTO", "FRAME", "MEMOIZE")
"""Instructions that say how it is stored."""
NAME = "SHORT_BINUNICODE"
HEAD: list[tuple[str, Any]] = [
    (NAME, "numpy.core.multiarray"),
    (NAME, "_reconstruct"),
    ("STACK_GLOBAL", None),
    (NAME, "numpy"),
    (NAME, "ndarray"),
    ("STACK_GLOBAL", None),
    ("BININT1", 0),
    ("TUPLE1", None),
    ("SHORT_BINBYTES", b"b"),
    ("TUPLE3", None),
    ("REDUCE", None),
    ("MARK", None),
    ("BININT1", 1),
]
"""An empty array, then the state that it is given: its version, …"""
KIND: list[tuple[str, Any]] = [("BINGET", 3), (NAME, "dtype"), ("STACK_GLOBAL", None)]
"""… after its shape the kind of its numbers, …"""
TAIL: list[tuple[str, Any]] = [
    ("NEWFALSE", None),
    ("NEWTRUE", None),
    ("TUPLE3", None),
    ("REDUCE", None),
    ("MARK", None),
    ("BININT1", 3),
    (NAME, None),
    ("NONE", None),
    ("NONE", None),
    ("NONE", None),
    ("BININT", -1),
    ("BININT", -1),
    ("BININT1", 0),
    ("TUPLE", None),
    ("BUILD", None),
    ("NEWFALSE", None),
]
"""… with its order of bytes, and that rows come first."""
END: list[tuple[str, Any]] = [("TUPLE", None), ("BUILD", None), ("STOP", None)]
MAX_INSTRUCTIONS = 100


def pickled_array(data: bytes, where: str) -> np.ndarray[Any, np.dtype[Any]]:
    """The array in a pickle that numpy wrote, of unsigned bytes or integers of 8 bytes; ``where`` names it in errors.

    Raises:
        FomoError: any other pickle.
    """
    instructions = _instructions(data, where)
    shape, rest = _shape(_after(HEAD, instructions, where), where)
    rest = _after(KIND, rest, where)
    kind = KINDS.get(rest[0][1]) if rest and rest[0][0] == NAME else None
    rest = _after(TAIL, rest[1:], where)
    content = rest[0][1] if rest and rest[0][0] in ("BINBYTES", "SHORT_BINBYTES") else None
    if kind is None or content is None or _after(END, rest[1:], where):
        raise _other(where)
    if math.prod(shape) * kind.itemsize != len(content):
        raise FomoError(f"{where}: {len(content)} bytes for an array of {shape} numbers of {kind.itemsize} bytes.")
    return np.frombuffer(content, kind).reshape(shape)


def _instructions(data: bytes, where: str) -> list[tuple[str, Any]]:
    try:
        found = [(each.name, argument) for each, argument, _ in islice(pickletools.genops(data), MAX_INSTRUCTIONS)]
    except (ValueError, IndexError, OverflowError) as error:
        raise FomoError(f"{where}: no pickle ({error}).") from None
    return [each for each in found if each[0] not in SKIPPED]


def _shape(found: list[tuple[str, Any]], where: str) -> tuple[tuple[int, ...], list[tuple[str, Any]]]:
    """The sizes, and what follows them."""
    number = next((number for number, each in enumerate(found[: MAX_DIMENSIONS + 1]) if "TUPLE" in each[0]), 0)
    sizes = found[:number]
    if not sizes or found[number][0] != f"TUPLE{number}" or any("BININT" not in name for name, _ in sizes):
        raise _other(where)
    shape = tuple(int(value) for _, value in sizes)
    if min(shape) < 0:
        raise _other(where)
    return shape, found[number + 1 :]


def _after(expected: list[tuple[str, Any]], found: list[tuple[str, Any]], where: str) -> list[tuple[str, Any]]:
    """What follows the instructions that are expected; where a name is ``None``, "<" and "|" are allowed."""
    if len(found) < len(expected) or not all(map(_same, expected, found)):
        raise _other(where)
    return found[len(expected) :]


def _same(expected: tuple[str, Any], found: tuple[str, Any]) -> bool:
    return expected == found or (expected == (NAME, None) and found in ((NAME, "<"), (NAME, "|")))


def _other(where: str) -> FomoError:
    return FomoError(f"{where}: another pickle than numpy writes for an array of integers. Nothing in it was run.")
