"""The three pools that a batch is drawn from: P (pretraining), D_t (the task's new data), B (all earlier D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from fomo.data.samples import Samples
from fomo.errors import FomoError
from fomo.stream import Stream

POOLS = ("pretraining", "update", "buffer")


@dataclass(frozen=True)
class Part:
    """Some rows of one split; ``prompts`` (one per class) serve samples that have no caption."""

    samples: Samples
    rows: np.ndarray
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """Parts laid end to end, by reference: no sample is copied."""

    parts: tuple[Part, ...]

    @cached_property
    def _edges(self) -> np.ndarray:
        return np.cumsum([0] + [len(part.rows) for part in self.parts])

    def __len__(self) -> int:
        return int(self._edges[-1])

    def _locate(self, index: int) -> tuple[Part, int]:
        number = int(np.searchsorted(self._edges, index, side="right")) - 1
        part = self.parts[number]
        return part, int(part.rows[index - self._edges[number]])

    def image(self, index: int) -> Image.Image:
        """The picture of a sample, RGB."""
        part, row = self._locate(index)
        return part.samples.image(row)

    def captions(self, index: int) -> Sequence[str]:
        """The texts of a sample: its captions, else the primer prompt of its class."""
        part, row = self._locate(index)
        return part.samples.captions(row) or (part.prompts[part.samples.targets[row]],)


@dataclass(frozen=True)
class StreamPools:
    """P, and D_t of every task (from 1). B of task t is D_1 … D_{t-1}."""

    pretraining: Pool
    updates: tuple[Pool, ...]

    @classmethod
    def of(cls, stream: Stream) -> "StreamPools":
        """Group the training samples of the adaptation datasets by the task of their class."""
        parts: list[list[Part]] = [[] for _ in stream.tasks]
        for name, dataset in stream.adaptation.items():
            samples, class_tasks = dataset.split("train"), stream.class_tasks(name)
            prompts = tuple(dataset.card.prompts(dataset.card.templates[0]))
            sample_tasks = class_tasks[samples.targets]
            for task in np.unique(sample_tasks[sample_tasks > 0]):
                parts[task - 1].append(Part(samples, np.flatnonzero(sample_tasks == task), prompts))
        _refuse_empty(stream, parts)
        pool = () if stream.pool is None else (Part(stream.pool, np.arange(len(stream.pool))),)
        return cls(Pool(pool), tuple(Pool(tuple(task)) for task in parts))

    def of_task(self, task: int) -> dict[str, Pool]:
        """The pools of task ``task`` (from 1), by name."""
        earlier = tuple(part for pool in self.updates[: task - 1] for part in pool.parts)
        return dict(zip(POOLS, (self.pretraining, self.updates[task - 1], Pool(earlier)), strict=True))


def _refuse_empty(stream: Stream, parts: list[list[Part]]) -> None:
    for number, task in enumerate(parts, start=1):
        if not task:
            shown = ", ".join(str(concept) for concept in stream.tasks[number - 1][:3])
            raise FomoError(f"task {number} has no training sample: its concepts are {shown}, …")
