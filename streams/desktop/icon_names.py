"""What an icon's name says, and who designed it."""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

STYLE_WORDS = """
    outline outlined filled fill line linear solid bold light thin duotone twotone sharp rounded round regular color
    broken bulk two tone stroke micro mini small large sm lg xl alt variant monochrome glyph semi extra extralight
    semibold fine flat icon colored o s l r f 01 02 03 1 2 3 12 16 20 24 28 32 48 64
"""
LOGO_WORDS = "logo logomark logotype original plain wordmark dark brand block square circle i"
STYLES = frozenset(STYLE_WORDS.split())
"""Last words of a name that say how an icon is drawn, not what it shows."""
LOGO_STYLES = STYLES | frozenset(LOGO_WORDS.split())
LOGO_PREFIXES = ("brand-", "logo-", "file-type-")


@lru_cache(maxsize=500_000)
def subject(name: str, styles: frozenset[str] = STYLES) -> str:
    """An icon's name without the words at its end that say its style: "cat-outline" shows a "cat"."""
    words = name.split("-")
    while len(words) > 1 and words[-1] in styles:
        words.pop()
    return "-".join(words)


def brand(name: str) -> str:
    """The brand of a logo: its letters and digits alone, so that "stack-overflow" is "stackoverflow"."""
    for prefix in LOGO_PREFIXES:
        name = name.removeprefix(prefix)
    return squashed(subject(name.split("-logo")[0], LOGO_STYLES))


def squashed(name: str) -> str:
    """The letters and digits of a name, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def families(authors: Mapping[str, str]) -> dict[str, str]:
    """The designer's family of every icon set: sets of one author, or whose names begin alike, are one family.

    Args:
        authors: the author of each set.
    """
    leader = {name: name for name in authors}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for key in (lambda name: authors[name].casefold(), lambda name: name.split("-")[0]):
        first: dict[str, str] = {}
        for name in sorted(authors):
            one = find(first.setdefault(key(name), name))
            other = find(name)
            leader[max(one, other)] = min(one, other)
    return {name: find(name) for name in authors}


def share(*words: str) -> float:
    """A number from 0 to below 1 that depends on some words alone, evenly spread over them."""
    return int.from_bytes(sha256("\0".join(words).encode()).digest()[:8], "big") / 2**64
