"""The declaration of a dataset: validated metadata, the same for generated and for imported data."""

import dataclasses
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fomo.errors import FomoError, check_keys
from fomo.system.reading import read_json

SCHEMA = "fomo.dataset/1"
SPLITS = ("train", "validation", "test")
KINDS = {"classification": "accuracy", "retrieval": "recall@5", "pairs": "none"}
"""Metric of each kind. ``pairs``, pictures with texts and no task, serve as a pretraining pool."""
LISTS, COUNTS, TEXTS = ("classes", "templates", "caption_kinds"), ("num_samples", "counts"), ("primers", "hashes")
EXPECTED = {
    "text": "a text",
    "list": "a list of texts",
    "counts": "whole numbers by name",
    "texts": "texts by name",
}
ROLES = ("adaptation", "retention", "pool", "unassigned")


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a dataset. ``None`` or an empty text means unknown, never a guess.

    ``classes`` are in the order of the targets; ``templates`` are prompt templates with one ``{}``, the
    first being the primer prompt; only classification needs them. ``primers`` holds the primer prompts that the first
    template does not give, by class. ``num_samples`` maps a split to its size, ``caption_kinds`` names the kinds of
    text there are, ``counts`` says what an import left out and why, ``hashes`` the SHA-256 of every file.
    """

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    num_samples: Mapping[str, int]
    kind: str = "classification"
    role: str = "unassigned"
    domain: str = ""
    licence: str = ""
    source: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    primers: Mapping[str, str] = field(default_factory=dict)
    caption_kinds: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._require(bool(self.name) and self.name.isprintable() and "+++" not in self.name, "name", self.name)
        plain = not set(self.name) & set("/\\ ") and not self.name.startswith(".")
        self._require(plain, "name (no slash, no space, no dot at the start)", self.name)
        self._require(self.kind in KINDS, f"kind (allowed: {', '.join(KINDS)})", self.kind)
        self._require(self.role in ROLES, f"role (allowed: {', '.join(ROLES)})", self.role)
        twice = [name for name, count in Counter(self.classes).items() if count > 1]
        has_task = self.kind == "classification"
        self._require(bool(self.classes or not has_task) and not twice, "classes (distinct, not empty)", str(twice))
        for name in self.classes:
            self._require(is_class_name(name), "class name (one line, no +++)", ascii(name))
        for template in self.templates:
            self._require(template.count("{}") == 1, "prompt template (exactly one {})", template)
        self._require(bool(self.templates or not has_task), "templates (at least one)", "")
        strays = sorted(set(self.primers) - set(self.classes))
        self._require(not strays, "primers (keys are classes)", ", ".join(strays))
        for split, count in self.num_samples.items():
            self._require(split in SPLITS and count >= 0, f"split (allowed: {', '.join(SPLITS)})", f"{split}: {count}")

    def _require(self, holds: bool, what: str, value: str) -> None:
        if not holds:
            raise FomoError(f"dataset '{self.name}': bad {what}: '{value}'")

    @property
    def metric(self) -> str:
        """The metric of this kind of dataset."""
        return KINDS[self.kind]

    def prompts(self, template: str) -> list[str]:
        """One string per class; the first template gives way to the ``primers``.

        A primer that is the first template around another name says how the class is really called, for all templates:
        "sunglasses (2)", told apart by a number, is prompted as "sunglasses".
        """
        known = self.primers if template == self.templates[0] else {}
        return [known.get(name) or template.replace("{}", self._called(name)) for name in self.classes]

    def _called(self, name: str) -> str:
        before, after = self.templates[0].split("{}")
        primer = self.primers.get(name, "")
        numbered = re.fullmatch(r"(.+) \(\d+\)", name)
        return numbered[1] if numbered and primer == f"{before}{numbered[1]}{after}" else name

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary with the schema's name."""
        return {"schema": SCHEMA} | json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any], origin: str) -> "DatasetCard":
        """Read back what :meth:`to_json` gave. Unknown keys and another schema are refused."""
        if values.get("schema") != SCHEMA:
            raise FomoError(f"{origin}: schema is {values.get('schema')!r}, expected '{SCHEMA}'")
        rest = {key: value for key, value in values.items() if key != "schema"}
        check_keys(f"the dataset card {origin}", rest, [f.name for f in dataclasses.fields(cls)])
        for key, value in rest.items():
            if not _fits(key, value):
                raise FomoError(f"{origin}: {key} is {value!r}, expected {EXPECTED[_shape(key)]}.")
        lists = {key: tuple(value) for key, value in rest.items() if key in LISTS}
        try:
            return cls(**(rest | lists))
        except TypeError as error:
            raise FomoError(f"{origin}: {error}") from None


def _shape(key: str) -> str:
    return "list" if key in LISTS else "counts" if key in COUNTS else "texts" if key in TEXTS else "text"


def _fits(key: str, value: Any) -> bool:
    shape = _shape(key)
    if shape in ("text", "list"):
        return isinstance(value, str if shape == "text" else list) and all(isinstance(each, str) for each in value)
    kind = int if shape == "counts" else str
    return isinstance(value, dict) and all(type(each) is kind for each in value.values())


def is_class_name(name: str) -> bool:
    """Whether a concept can have this name: one line that can be stored, without the ``+++`` of concepts."""
    whole = not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    return bool(name.strip()) and "+++" not in name and whole


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Concepts are told apart by name: the second "crane" becomes "crane (2)"."""
    made: dict[str, None] = {}
    for name in names:
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        made[name if name not in made else next(each for each in numbered if each not in made)] = None
    return tuple(made)


def read_card(path: Path) -> DatasetCard:
    """The card in the file ``path``. Its presence says that the import was finished: it is written last."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise FomoError(f"{path}: not a dataset card.")
    return DatasetCard.from_json(values, str(path))
