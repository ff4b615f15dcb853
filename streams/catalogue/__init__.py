"""The datasets of FoMo-in-Flux, declared: 41 to learn, 22 to keep.

``datasets.yaml`` beside this file holds one entry for each. A declaration is superseded by a new one of another name,
never edited in place once results rest on it.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fomo.errors import FomoError
from streams.catalogue.declaration import UNKNOWN, Declaration

__all__ = ["UNKNOWN", "Declaration", "declared", "load"]

DATASETS = Path(__file__).with_name("datasets.yaml")


def load() -> dict[str, Declaration]:
    """Every declaration by name, in the order of the published table."""
    return {declaration.name: declaration for declaration in _shipped()}


def declared(entries: Any, origin: str) -> tuple[Declaration, ...]:
    """Declarations from parsed YAML: a list of mappings, each name once. ``origin`` names the file in errors.

    Raises:
        FomoError: a wrong shape, a key that is unknown or missing, a value that is not allowed, a name twice.
    """
    if not isinstance(entries, Iterable) or isinstance(entries, str | dict):
        raise FomoError(f"{origin}: expected a list of declarations, found {type(entries).__name__}.")
    found: dict[str, Declaration] = {}
    for entry in entries:
        declaration = Declaration.from_mapping(entry, origin)
        if declaration.name in found:
            raise FomoError(f"{origin}: dataset '{declaration.name}' is declared twice.")
        found[declaration.name] = declaration
    return tuple(found.values())


@cache
def _shipped() -> tuple[Declaration, ...]:
    return declared(yaml.safe_load(DATASETS.read_text(encoding="utf-8")), DATASETS.name)
