"""A stream: an ordered list of distinct concepts, cut into tasks, with the datasets that hold them."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import Shards
from fomo.errors import FomoError, unknown


@dataclass(frozen=True, order=True)
class Concept:
    """One class of one dataset."""

    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.dataset}+++{self.name}"


def chunk(concepts: Sequence[Concept], num_tasks: int) -> tuple[tuple[Concept, ...], ...]:
    """``num_tasks`` consecutive chunks of equal size, the first ``len(concepts) % num_tasks`` one larger."""
    if not 1 <= num_tasks <= len(concepts):
        raise FomoError(
            f"num_tasks={num_tasks}: allowed are 1 to {len(concepts)}, the number of concepts of the stream."
        )
    size, larger = divmod(len(concepts), num_tasks)
    edges = np.cumsum([0] + [size + (task < larger) for task in range(num_tasks)])
    return tuple(tuple(concepts[start:stop]) for start, stop in itertools.pairwise(edges))


@dataclass(frozen=True)
class Stream:
    """What a run goes through. ``pool`` is the pretraining pool P, indexed or read in sequence; ``None``: none."""

    name: str
    tasks: tuple[tuple[Concept, ...], ...]
    adaptation: Mapping[str, Dataset]
    retention: Mapping[str, Dataset]
    pool: Samples | Shards | None

    def __post_init__(self) -> None:
        both = set(self.adaptation) & set(self.retention)
        if both:
            raise FomoError(f"dataset '{min(both)}' is both adapted to and held out: take it out of one of the two.")
        concepts = list(self.concepts)
        if len(set(concepts)) != len(concepts):
            twice = next(c for c in concepts if concepts.count(c) > 1)
            raise FomoError(f"stream '{self.name}': the concept '{twice}' stands twice.")
        for concept in concepts:
            if concept.dataset not in self.adaptation:
                raise unknown("dataset", concept.dataset, self.adaptation)
            if concept.name not in self._class_index[concept.dataset]:
                raise unknown(f"class of dataset '{concept.dataset}'", concept.name, self._class_index[concept.dataset])

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

    def class_tasks(self, dataset: str) -> np.ndarray:
        """Task (from 1) of each class of an adaptation dataset, 0 where the stream does not use the class."""
        index = self._class_index[dataset]
        tasks = np.zeros(len(index), dtype=np.int64)
        for number, concepts in enumerate(self.tasks, start=1):
            for concept in concepts:
                if concept.dataset == dataset:
                    tasks[index[concept.name]] = number
        return tasks

    def definition(self) -> dict[str, object]:
        """The definition as JSON: concepts in order, chunked, and the held-out datasets."""
        tasks = [[str(concept) for concept in task] for task in self.tasks]
        return {"schema": "fomo.stream/1", "name": self.name, "tasks": tasks, "retention": sorted(self.retention)}

    @cached_property
    def sha256(self) -> str:
        """Hash of the definition."""
        text = json.dumps(self.definition(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
