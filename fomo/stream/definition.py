"""A stream: an ordered list of distinct concepts, cut into tasks, with the datasets that hold them."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import Shards
from fomo.errors import FomoError, check_allowed, check_choice
from fomo.system.digest import json_digest

SEPARATOR = "+++"


@dataclass(frozen=True, order=True)
class Concept:
    """One class of one dataset: the names of both, ``dataset`` and ``name``. As a string it is ``DATASET+++NAME``."""

    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.dataset}{SEPARATOR}{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Concept":
        """Read ``DATASET+++class name``, as the public reference writes it.

        Raises:
            FomoError: no or more than one ``+++``, an empty half, control characters, half of a surrogate pair.
        """
        dataset, separator, name = text.partition(SEPARATOR)
        odd = next((character for character in text if unicodedata.category(character) in ("Cc", "Cs")), None)
        reason = (
            "it has no '+++'" if not separator
            else "it has more than one '+++'" if SEPARATOR in name
            else "a name is empty" if not (dataset.strip() and name.strip())
            else f"it holds the control character {odd!a}" if odd is not None
            else ""
        )  # fmt: skip
        if reason:
            raise FomoError(f"{text[:80]!a} is no concept: {reason}. Concepts are written DATASET+++class name.")
        return cls(dataset, name)


def refuse_repeated(concepts: Iterable[Concept], origin: str) -> None:
    """Refuse concepts of which one stands twice; ``origin`` names them in the error.

    Raises:
        FomoError: one does.
    """
    twice = [concept for concept, count in Counter(concepts).items() if count > 1]
    if twice:
        more = f" ({len(twice)} concepts do)" if len(twice) > 1 else ""
        raise FomoError(f"{origin}: the concept '{twice[0]}' stands twice{more}.")


def chunk(concepts: Sequence[Concept], num_tasks: int) -> tuple[tuple[Concept, ...], ...]:
    """``num_tasks`` consecutive chunks of equal size, the first ``len(concepts) % num_tasks`` one larger.

    Raises:
        FomoError: there are fewer concepts than tasks, or no task.
    """
    check_allowed(
        1 <= num_tasks <= len(concepts),
        f"num_tasks={num_tasks}",
        f"1 to {len(concepts)}, the number of concepts of the stream",
    )
    size, larger = divmod(len(concepts), num_tasks)
    edges = np.cumsum([0] + [size + (task < larger) for task in range(num_tasks)])
    return tuple(tuple(concepts[start:stop]) for start, stop in itertools.pairwise(edges))


def chunk_by_dataset(concepts: Sequence[Concept], num_tasks: int) -> tuple[tuple[Concept, ...], ...]:
    """The concepts in tasks that end where the dataset changes.

    Raises:
        FomoError: that makes another number of tasks than ``num_tasks``.
    """
    tasks = tuple(tuple(group) for _, group in itertools.groupby(concepts, key=lambda concept: concept.dataset))
    if len(tasks) != num_tasks:
        raise FomoError(
            f"num_tasks={num_tasks}: one dataset per task makes {len(tasks)}. Write num_tasks={len(tasks)}."
        )
    return tasks


def definition(name: str, tasks: Sequence[Sequence[Concept]], retention: Iterable[str]) -> dict[str, Any]:
    """What a stream is, as JSON: concepts in order, chunked, and the held-out datasets."""
    return {
        "schema": "fomo.stream/1",
        "name": name,
        "tasks": [[str(concept) for concept in task] for task in tasks],
        "retention": sorted(retention),
    }


@dataclass(frozen=True)
class StreamNames:
    """What the numbers of a sample's :class:`fomo.data.drawn.Source` stand for."""

    datasets: tuple[str, ...] = ()
    """Those that are adapted to, then those of the pretraining pool; ``pretraining`` where it has no name."""
    tasks: tuple[tuple[Concept, ...], ...] = ()
    """The concepts of every task; a label numbers them all in this order."""

    def until(self, task: int) -> tuple[Concept, ...]:
        """The concepts of the tasks up to ``task`` (from 1), by their number."""
        return tuple(itertools.chain(*self.tasks[:task]))

    def in_tasks(self, num_tasks: int) -> "StreamNames":
        """The same names with all concepts in so many tasks of about one size; a task may have none."""
        concepts = self.until(len(self.tasks))
        edges = [len(concepts) * task // num_tasks for task in range(num_tasks + 1)]
        return StreamNames(self.datasets, tuple(concepts[start:stop] for start, stop in itertools.pairwise(edges)))


NO_NAMES = StreamNames()
"""Where nothing is known."""


@dataclass(frozen=True)
class Stream:
    """What a run goes through.

    Raises:
        FomoError: a dataset is both adapted to and held out, a concept stands twice or is not in its dataset.
    """

    name: str
    tasks: tuple[tuple[Concept, ...], ...]
    adaptation: Mapping[str, Dataset]
    """The datasets of the concepts, by name."""
    retention: Mapping[str, Dataset]
    """The held-out datasets, by name."""
    pool: Samples | Shards | None
    """The pretraining pool P, indexed or read in sequence; ``None``: none."""
    listing: tuple[Concept, ...] = ()
    """The concepts as they were listed, before a seed ordered them."""

    def __post_init__(self) -> None:
        both = set(self.adaptation) & set(self.retention)
        if both:
            raise FomoError(f"dataset '{min(both)}' is both adapted to and held out: take it out of one of the two.")
        refuse_repeated(self.concepts, f"stream '{self.name}'")
        for concept in self.concepts:
            check_choice("dataset", concept.dataset, self.adaptation)
            check_choice(f"class of dataset '{concept.dataset}'", concept.name, self._class_index[concept.dataset])

    @property
    def concepts(self) -> Iterator[Concept]:
        """All concepts in the order of the stream."""
        return (concept for task in self.tasks for concept in task)

    @property
    def datasets(self) -> dict[str, Dataset]:
        """Adaptation, then retention datasets, by name."""
        return {**self.adaptation, **self.retention}

    @cached_property
    def _class_index(self) -> dict[str, dict[str, int]]:
        return {name: {c: i for i, c in enumerate(data.card.classes)} for name, data in self.adaptation.items()}

    @cached_property
    def class_tasks(self) -> dict[str, np.ndarray]:
        """Task (from 1) of each class of each adaptation dataset, 0 where the stream does not use the class."""
        tasks = {name: np.zeros(len(index), dtype=np.int64) for name, index in self._class_index.items()}
        for number, concepts in enumerate(self.tasks, start=1):
            for concept in concepts:
                tasks[concept.dataset][self._class_index[concept.dataset][concept.name]] = number
        return tasks

    @cached_property
    def class_labels(self) -> dict[str, np.ndarray]:
        """Number of each class of each adaptation dataset among the stream's concepts, -1 where it is none."""
        labels = {name: np.full(len(index), -1, dtype=np.int64) for name, index in self._class_index.items()}
        for number, concept in enumerate(self.concepts):
            labels[concept.dataset][self._class_index[concept.dataset][concept.name]] = number
        return labels

    def definition(self) -> dict[str, Any]:
        """The definition as JSON: concepts in order, chunked, and the held-out datasets."""
        return definition(self.name, self.tasks, self.retention)

    @cached_property
    def sha256(self) -> str:
        """Hash of the definition; the data has :func:`fomo.stream.fingerprint.stream_data_sha256`."""
        return json_digest(self.definition())

    @property
    def listing_sha256(self) -> str:
        """Hash of what the stream is for every seed: its concepts as they were listed."""
        return json_digest(list(map(str, self.listing)))
