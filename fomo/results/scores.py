"""``scores.json``: the one file that every score comes from.

KA (knowledge accumulation) is the mean over adaptation datasets, ZS (zero-shot retention) the mean over held-out
ones, GM = sqrt(KA · ZS) (Roth et al. 2024, arXiv 2408.14471). A missing or NaN score is "not finished", never a number.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import SCORES
from fomo.system.writing import write_json
from fomo.version import SCORE_VERSION

SCHEMA = "fomo.scores/1"


class NotFinished(FomoError):
    """The run has not written every score yet."""


@dataclass(frozen=True)
class Point:
    """KA and ZS in percent after ``task`` updates."""

    task: int
    ka: float
    zs: float

    @property
    def gm(self) -> float:
        """Geometric mean of KA and ZS, in percent."""
        return math.sqrt(self.ka * self.zs)


@dataclass(frozen=True)
class ScoredStream:
    """The stream's name, and SHA-256 of its definition, of its data and of what is measured on it.

    ``measured_sha256`` is of prompts, class names, splits and metrics. A hash is empty in a file that lacks it.
    """

    name: str
    sha256: str = ""
    data_sha256: str = ""
    measured_sha256: str = ""


@dataclass(frozen=True)
class ScoredDataset:
    """What a score is of: ``role`` is adaptation or retention, ``metric`` accuracy or recall@5.

    ``domain`` holds one word or several, with commas; empty where nobody has said it.
    """

    role: str
    kind: str
    metric: str
    num_samples: int
    domain: str = ""

    @property
    def domains(self) -> list[str]:
        """The words of its domain."""
        return [word.strip() for word in self.domain.split(",") if word.strip()]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation. ``task``: how many updates came before. Scores are in percent.

    ``scores`` are by dataset; ``tasks`` are of the test samples of each task's concepts, by the task's number from 1;
    ``num_samples`` are by dataset; ``subset`` is the share of the samples that was evaluated. Of an evaluation within a
    task, ``task`` is that one and ``step`` how many of its steps were made; else ``step`` is ``None``. ``recalls`` are
    the further ones of retrieval datasets, as ``text_to_image@10``.
    """

    task: int
    scores: Mapping[str, float]
    tasks: Mapping[int, float]
    num_samples: Mapping[str, int]
    subset: float = 1.0
    step: int | None = None
    recalls: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Evaluation":
        """An entry of the file."""
        return cls(
            task=entry["task"],
            scores=entry["scores"],
            tasks={int(number): score for number, score in entry["tasks"].items()},
            num_samples=entry.get("num_samples", {}),
            subset=entry.get("subset", 1.0),
            step=entry.get("step"),
            recalls=entry.get("recalls", {}),
        )

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        within = {} if self.step is None else {"step": self.step}
        recalls = {"recalls": {name: dict(each) for name, each in self.recalls.items()}} if self.recalls else {}
        return {
            "task": self.task,
            **within,
            "subset": self.subset,
            "scores": dict(self.scores),
            "tasks": {str(number): score for number, score in self.tasks.items()},
            "num_samples": dict(self.num_samples),
            **recalls,
        }


def next_due(task: int, num_tasks: int, every_tasks: int) -> int:
    """After how many updates the next evaluation is due, where the one before it was after ``task`` (-1: none was).

    Due are 0, every ``every_tasks``-th update, and the last.
    """
    return min((task // every_tasks + 1) * every_tasks, num_tasks)


@dataclass(frozen=True)
class Scores:
    """The content of ``scores.json``; ``folder`` is where it lies.

    ``split`` is the split that was scored; ``caveats`` say what keeps the result from being compared freely;
    ``evaluations`` are in order, the first before any update; where they are of a subset, ``in_full`` has those of the
    first and of the last model on all samples; ``within`` has those within tasks, which make no result;
    ``not_finite`` lists the steps that had no effect; ``score_version`` is the same in all scores that may be compared.
    ``every_tasks``: the first, every so-manieth and the last model are evaluated at least.
    """

    folder: Path
    stream: ScoredStream
    split: str
    caveats: tuple[str, ...]
    num_tasks: int
    datasets: Mapping[str, ScoredDataset]
    evaluations: tuple[Evaluation, ...] = ()
    in_full: tuple[Evaluation, ...] = ()
    not_finite: tuple[Mapping[str, int], ...] = field(default=())
    score_version: str = SCORE_VERSION
    within: tuple[Evaluation, ...] = ()
    every_tasks: int = 1

    @cached_property
    def finished(self) -> bool:
        """Whether all evaluations that are due have been made, and the first and the last on all samples."""
        is_whole = not self._on_subset or [each.task for each in self.in_full] == [0, self.num_tasks]
        tasks = [-1, *(each.task for each in self.evaluations)]
        in_order = all(self._follows(before, after) for before, after in pairwise(tasks))
        return tasks[-1] == self.num_tasks and in_order and is_whole

    def _follows(self, before: int, after: int) -> bool:
        return before < after <= next_due(before, self.num_tasks, self.every_tasks)

    @property
    def has_every_task(self) -> bool:
        """Whether the base model and the model after every update have been scored."""
        return len(self.evaluations) == self.num_tasks + 1

    @property
    def _on_subset(self) -> bool:
        return bool(self.in_full) or any(each.subset < 1 for each in self.evaluations)

    @property
    def points(self) -> list[Point]:
        """KA and ZS after every update so far, the base model first; on the subset where there is one."""
        return list(map(self.point, self.evaluations))

    def point(self, evaluation: Evaluation) -> Point:
        """KA and ZS of an evaluation."""
        return Point(evaluation.task, self._mean(evaluation, "adaptation"), self._mean(evaluation, "retention"))

    @property
    def ends(self) -> tuple[Evaluation, Evaluation]:
        """The evaluations of the first and of the last model on all samples.

        Raises:
            NotFinished: evaluations are missing.
        """
        if not self.finished:
            done = max((each.task for each in self.evaluations), default=0)
            how_far = f"{done} of {self.num_tasks} updates are scored"
            if self.every_tasks > 1:
                how_far = f"scored up to update {done} of {self.num_tasks}, every {self.every_tasks}"
            raise NotFinished(f"{self.folder / SCORES}: not finished: {how_far}.")
        ends = self.in_full or self.evaluations
        return ends[0], ends[-1]

    @cached_property
    def start(self) -> Point:
        """Zero-shot: the base model on all samples, as :attr:`final` is.

        Raises:
            NotFinished: evaluations are missing.
        """
        return self.point(self.ends[0])

    @cached_property
    def final(self) -> Point:
        """The result, on all samples.

        Raises:
            NotFinished: evaluations are missing.
        """
        return self.point(self.ends[1])

    @cached_property
    def _by_role(self) -> dict[str, list[str]]:
        """The names of the datasets of each role."""
        names: dict[str, list[str]] = {}
        for name, about in self.datasets.items():
            names.setdefault(about.role, []).append(name)
        return names

    def _mean(self, evaluation: Evaluation, role: str) -> float:
        names = self._by_role.get(role, [])
        values = [evaluation.scores.get(name, math.nan) for name in names]
        for name, value in zip(names, values, strict=True):
            if not math.isfinite(value):
                where = f"task {evaluation.task} has no score of '{name}'"
                raise NotFinished(f"{self.folder / SCORES}: not finished: {where} ({value}).")
        return math.fsum(values) / len(values)

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        lost = {"not_finite": list(map(dict, self.not_finite))} if self.not_finite else {}
        in_full = {"in_full": [each.to_json() for each in self.in_full]} if self.in_full else {}
        within = {"within": [each.to_json() for each in self.within]} if self.within else {}
        every = {"every_tasks": self.every_tasks} if self.every_tasks != 1 else {}
        return {
            "schema": SCHEMA,
            "score_version": self.score_version,
            "stream": asdict(self.stream),
            "split": self.split,
            "marks": list(self.caveats),
            "num_tasks": self.num_tasks,
            **every,
            "datasets": {name: asdict(about) for name, about in self.datasets.items()},
            "evaluations": [each.to_json() for each in self.evaluations],
            **in_full,
            **within,
            **lost,
        }

    def write(self) -> None:
        """Write the file into its folder. A score that is NaN is refused with a ``ValueError``."""
        write_json(self.folder / SCORES, self.to_json())
