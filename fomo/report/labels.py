"""Labels of several runs in one table: the settings that all of them name are said once, above it."""

import re
from collections.abc import Sequence

from fomo.system.text import shortened

LONGEST = 200
"""Characters of a label in a table."""
SETTING = re.compile(r"[\w.]+=[^\s\[\](){}]+")
"""A word of a label that names one setting."""


def shared_settings(labels: Sequence[str]) -> list[str]:
    """The settings that every one of several labels names; none of a single label, which would be left empty."""
    return in_all([list(filter(SETTING.fullmatch, label.split(" "))) for label in labels]) if len(labels) > 1 else []


def in_all(lists: Sequence[Sequence[str]]) -> list[str]:
    """What is in every list, in the order of the first."""
    return [each for each in lists[0] if all(each in other for other in lists)]


def without(label: str, shared: Sequence[str]) -> str:
    """A label without the settings that are said above it, on one line, and no longer than a table has room for."""
    kept = " ".join(word for word in label.split() if word not in shared)
    return shortened(kept, LONGEST) or "(no other setting)"
