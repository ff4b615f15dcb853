"""Several splits, or some of their rows, laid end to end by reference: no sample is copied."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from PIL import Image

from fomo.data.card import DatasetCard
from fomo.data.drawn import Source
from fomo.data.samples import Dataset, Samples


@dataclass(frozen=True, eq=False)
class SplitPart:
    """Some rows of one split. Arrays have no single truth: parts are equal if they are the same."""

    samples: Samples
    rows: np.ndarray | range
    """Numbers of the samples in the split."""
    prompts: tuple[str, ...] = ()
    """One per class, for samples that have no caption."""
    first_class: int = 0
    """What is added to a target, so that the classes of several datasets are told apart."""
    card: DatasetCard | None = None
    """The card of the dataset, if the part is a whole split."""
    dataset: int = -1
    """The number of the dataset in the run; -1 where nobody asks."""
    task: int = -1
    """The task (from 1) that the samples belong to; -1 for none."""
    labels: np.ndarray | None = None
    """The concept of each class of the dataset: int64 [classes]; ``None`` where classes are no concepts."""


def part_of(dataset: Dataset, split: str) -> SplitPart:
    """A whole split of a dataset, as a part."""
    samples = dataset.split(split)
    return SplitPart(samples, range(len(samples)), primer_prompts(dataset), card=dataset.card)


def primer_prompts(dataset: Dataset) -> tuple[str, ...]:
    """The primer prompt of each class; empty where a dataset has no templates."""
    templates = dataset.card.templates
    return tuple(dataset.card.prompts(templates[0])) if templates else ()


@dataclass(frozen=True)
class Joined:
    """Parts laid end to end; itself :class:`Samples`. Looking up a sample takes O(log parts)."""

    parts: tuple[SplitPart, ...]

    @cached_property
    def _edges(self) -> list[int]:
        return [0, *accumulate(len(part.rows) for part in self.parts)]

    def __len__(self) -> int:
        return self._edges[-1]

    @cached_property
    def targets(self) -> np.ndarray:
        """Class of each sample, numbered through all parts by ``first_class``, -1 where it has none: int64 [n]."""
        columns = [np.empty(0, dtype=np.int64)]
        for part in self.parts:
            own = part.samples.targets[part.rows]
            columns.append(np.where(own < 0, -1, own + part.first_class))
        return np.concatenate(columns)

    def locate(self, index: int) -> tuple[SplitPart, int]:
        """The part that holds a sample, and its row in the part's split."""
        number = bisect_right(self._edges, index) - 1
        part = self.parts[number]
        return part, int(part.rows[index - self._edges[number]])

    def source(self, index: int) -> Source:
        """Where a sample is from."""
        part, row = self.locate(index)
        target = -1 if part.labels is None else int(part.samples.targets[row])
        label = -1 if part.labels is None or target < 0 else int(part.labels[target])
        return Source(label, part.task, part.dataset, row)

    def image(self, index: int) -> Image.Image:
        """The image of a sample, RGB."""
        part, row = self.locate(index)
        return part.samples.image(row)

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The captions of a sample, or the primer prompt of its class where it has none; empty where it has neither."""
        part, row = self.locate(index)
        return part.samples.captions(row, kind) or self._prompt(part, row)

    def _prompt(self, part: SplitPart, row: int) -> tuple[str, ...]:
        target = int(part.samples.targets[row]) if part.prompts else -1
        return (part.prompts[target],) if target >= 0 else ()
