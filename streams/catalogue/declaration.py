"""What is known of a dataset before its data is there: a declaration, validated key by key.

Unlike :class:`fomo.data.card.DatasetCard`, which describes shards on a disk, a declaration describes the dataset that
the benchmark means: its role, its own split sizes, where it can be had. ``None`` means unknown, never a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from fomo.data.card import KINDS, DatasetCard
from fomo.errors import FomoError, check_keys, unknown
from fomo.system.checks import is_count

KINDS_OF_TASK = ("classification", "retrieval")
ROLES = ("adaptation", "retention")
CAPTIONS = ("available", "custom", "generated", "procedural")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Declaration:
    """One dataset of FoMo-in-Flux (Roth et al. 2024, arXiv 2408.14471).

    Numbers are those of FoMo-in-Flux's own split, often not the dataset's standard one; 0 where there is none
    (retention sets that are only tested on, captions without classes).

    Attributes:
        name: one word, unique in the catalogue.
        role: one of :data:`ROLES`.
        kind: one of :data:`KINDS_OF_TASK`.
        domain: words for what is shown.
        licence: of the data.
        captions: one of :data:`CAPTIONS`, where the training texts come from.
        time_group: orders time-incremental streams, from 0; datasets to adapt to alone have one.
        main_metric: the metric of the kind.
        num_train: training samples.
        num_test: test samples.
        num_classes: classes.
        torchvision: the class of ``torchvision.datasets`` that can download the source.
        homepage: an http(s) address.
        citation: how to cite the dataset.
    """

    name: str
    role: str
    kind: str
    domain: tuple[str, ...]
    licence: str
    captions: str | None
    time_group: int | None
    main_metric: str
    num_train: int
    num_test: int
    num_classes: int
    torchvision: str | None
    homepage: str | None
    citation: str | None

    def __post_init__(self) -> None:
        self._require(_is_text(self.name) and not set(self.name) & set("/\\ +"), "name", self.name, "a plain word")
        for key, allowed in (("role", ROLES), ("kind", KINDS_OF_TASK), ("captions", CAPTIONS)):
            value = getattr(self, key)
            if value not in allowed and (key != "captions" or value is not None):
                raise unknown(f"{key} of dataset '{self.name}'", value, allowed)
        metric = KINDS[self.kind]
        self._require(self.main_metric == metric, "main_metric", self.main_metric, f"'{metric}' for {self.kind}")
        words = isinstance(self.domain, tuple) and bool(self.domain) and all(map(_is_text, self.domain))
        self._require(words, "domain", self.domain, "a list of words")
        self._require(_is_text(self.licence), "licence", self.licence, "a string")
        for key in ("torchvision", "citation"):
            value = getattr(self, key)
            self._require(value is None or _is_text(value), key, value, "a string, or null for unknown")
        self._check_numbers()
        page = self.homepage
        is_address = _is_text(page) and str(page).startswith(("https://", "http://")) and " " not in str(page)
        self._require(page is None or is_address, "homepage", page, "an http(s) address, or null for unknown")

    def _check_numbers(self) -> None:
        least_classes = 2 if self.kind == "classification" else 0
        least = {"num_train": int(self.role == "adaptation"), "num_test": 1, "num_classes": least_classes}
        for key, minimum in least.items():
            value = getattr(self, key)
            self._require(is_count(value) and value >= minimum, key, value, f"an integer, at least {minimum}")
        adapted = self.role == "adaptation"
        fits = is_count(self.time_group) if adapted else self.time_group is None
        self._require(fits, "time_group", self.time_group, "an integer from 0" if adapted else "null for retention")

    def _require(self, holds: bool, key: str, value: object, allowed: str) -> None:
        if not holds:
            raise FomoError(f"dataset '{self.name}': {key} is {value!r}, allowed is {allowed}.")

    @property
    def obtain(self) -> str:
        """How to come by the dataset's source, in a line."""
        return f"fomo data prepare {self.name}" if self.torchvision else self.homepage or UNKNOWN

    def describe(self, card: DatasetCard) -> DatasetCard:
        """The ``card`` of this dataset's data, with the role, domain and licence that are declared."""
        return replace(card, role=self.role, domain=", ".join(self.domain), licence=self.licence)

    @classmethod
    def from_mapping(cls, values: Any, origin: str) -> "Declaration":
        """A declaration from parsed YAML; ``origin`` names the file in errors.

        Raises:
            FomoError: a wrong shape, a key that is unknown or missing, a value that is not allowed.
        """
        if not isinstance(values, Mapping):
            raise FomoError(f"{origin}: a declaration is a mapping of keys to values, found {values!r}.")
        keys = [field.name for field in fields(cls)]
        check_keys(f"the declaration of '{values.get('name')}' in {origin}", map(str, values), keys)
        missing = [key for key in keys if key not in values]
        if missing:
            raise FomoError(
                f"{origin}: '{values.get('name')}' lacks {', '.join(missing)}; write null for what is not known."
            )
        domain = values["domain"]
        return cls(**(dict(values) | {"domain": tuple(domain) if isinstance(domain, list) else domain}))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
