"""The declaration of a dataset: validated metadata, the same for generated and for imported data."""

import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fomo.errors import FomoError, check_keys
from fomo.system.checks import is_strings
from fomo.system.reading import read_json

SCHEMA = "fomo.dataset/1"
SPLITS = ("train", "validation", "test")
KINDS = {"classification": "accuracy", "retrieval": "recall@5", "pairs": "none"}
"""Metric of each kind. ``pairs``, images with captions and no task, serve as a pretraining pool."""
SHAPES = {
    **dict.fromkeys(("classes", "templates", "caption_kinds"), "list"),
    **dict.fromkeys(("num_samples", "counts"), "counts"),
    **dict.fromkeys(("primers", "hashes"), "strings"),
}
"""The shape of a key's value in JSON; that of a key that is not named here is "string"."""
EXPECTED = {
    "string": "a string",
    "list": "a list of strings",
    "counts": "integers by name",
    "strings": "strings by name",
}
"""A shape in words."""
ROLES = ("adaptation", "retention", "pool", "unassigned")
SHOWN = "shown"
PLAIN = "plain"
DECODINGS = {
    SHOWN: "upright as EXIF has it, transparency laid on white, more than 8 bits a pixel brought to 8",
    PLAIN: "Pillow's convert('RGB') and nothing else, as the public reference reads its datasets",
}
"""How image files become RGB; cards from before there was a choice mean the first."""


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a dataset. An empty string means unknown, never a guess.

    Raises:
        FomoError: a value is not allowed.
    """

    name: str
    """Also the name of its folder, and unique in a stream."""
    classes: tuple[str, ...]
    """In the order of the targets; only classification needs them."""
    templates: tuple[str, ...]
    """Prompt templates with one ``{}``, the first being the primer prompt; only classification needs them."""
    num_samples: Mapping[str, int]
    """Size of each split."""
    kind: str = "classification"
    """One of :data:`KINDS`."""
    role: str = "unassigned"
    """One of :data:`ROLES`."""
    domain: str = ""
    licence: str = ""
    source: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many samples an import left out, by reason."""
    primers: Mapping[str, str] = field(default_factory=dict)
    """Primer prompts, by class, that differ from what the first template makes of the class."""
    caption_kinds: tuple[str, ...] = ()
    """The kinds of captions that some sample has."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of every file, by name."""
    decoding: str = SHOWN
    """One of :data:`DECODINGS`."""

    def __post_init__(self) -> None:
        self._require(bool(self.name) and self.name.isprintable() and "+++" not in self.name, "name", self.name)
        plain = not set(self.name) & set("/\\ ") and not self.name.startswith(".")
        self._require(plain, "name (no slash, no space, no dot at the start)", self.name)
        self._require(self.kind in KINDS, f"kind (allowed: {', '.join(KINDS)})", self.kind)
        self._require(self.role in ROLES, f"role (allowed: {', '.join(ROLES)})", self.role)
        self._require(self.decoding in DECODINGS, f"decoding (allowed: {', '.join(DECODINGS)})", self.decoding)
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
        """The prompt of each class; with the first template, a class that has one of the ``primers`` takes that.

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
        """The card as plain values, with the name of the schema; the usual ``decoding`` goes without saying."""
        values = {"schema": SCHEMA} | json.loads(json.dumps(asdict(self)))
        return {key: value for key, value in values.items() if (key, value) != ("decoding", SHOWN)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], origin: str) -> "DatasetCard":
        """The card that :meth:`to_json` wrote; ``origin`` names it in errors.

        Raises:
            FomoError: another schema, an unknown key, a value of another shape or one that is not allowed.
        """
        if values.get("schema") != SCHEMA:
            raise FomoError(f"{origin}: schema is {values.get('schema')!r}, expected '{SCHEMA}'")
        rest = {key: value for key, value in values.items() if key != "schema"}
        check_keys(f"the dataset card {origin}", rest, [f.name for f in fields(cls)])
        for key, value in rest.items():
            if not _fits(key, value):
                raise FomoError(f"{origin}: {key} is {value!r}, expected {EXPECTED[SHAPES.get(key, 'string')]}.")
        lists = {key: tuple(value) for key, value in rest.items() if SHAPES.get(key) == "list"}
        try:
            return cls(**(rest | lists))
        except TypeError as error:
            raise FomoError(f"{origin}: {error}") from None


def _fits(key: str, value: Any) -> bool:
    shape = SHAPES.get(key, "string")
    if shape == "string":
        return isinstance(value, str)
    if shape == "list":
        return is_strings(value)
    kind = int if shape == "counts" else str
    return isinstance(value, dict) and all(type(each) is kind for each in value.values())


def is_class_name(name: str) -> bool:
    """Whether a concept can have this name: one line that can be stored, without the ``+++`` of concepts."""
    is_line = not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    return bool(name.strip()) and "+++" not in name and is_line


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """``names`` without repetition, since concepts are told apart by name: the second "crane" is "crane (2)"."""
    made: dict[str, None] = {}
    for name in names:
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        made[name if name not in made else next(each for each in numbered if each not in made)] = None
    return tuple(made)


def read_card(path: Path) -> DatasetCard:
    """The card in the file ``path``, which is written last: a dataset that has one is complete.

    Raises:
        FomoError: there is no such file, or it is no dataset card.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise FomoError(f"{path}: not a dataset card.")
    return DatasetCard.from_json(values, str(path))
