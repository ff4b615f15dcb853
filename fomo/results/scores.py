"""``scores.json``: the one file that every score comes from.

KA (knowledge accumulation) is the mean over adaptation datasets, ZS (zero-shot retention) the mean over held-out
ones, GM = sqrt(KA · ZS) (Roth et al. 2024, arXiv 2408.14471). A missing or NaN score is "not finished", never a number.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import SCORES
from fomo.system.checks import is_count, is_number, is_strings
from fomo.system.reading import read_json
from fomo.system.writing import write_json
from fomo.version import FIRST_SCORE_VERSION, SCORE_VERSION

SCHEMA = "fomo.scores/1"
HASHES = ("sha256", "data_sha256", "measured_sha256")
"""Of a stream, in the order of :class:`ScoredStream`."""
SHAPE = {"stream": dict, "split": str, "marks": list, "num_tasks": int, "datasets": dict, "evaluations": list}


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

    @property
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

    @property
    def start(self) -> Point:
        """Zero-shot: the base model on all samples, as :attr:`final` is.

        Raises:
            NotFinished: evaluations are missing.
        """
        return self.point(self.ends[0])

    @property
    def final(self) -> Point:
        """The result, on all samples.

        Raises:
            NotFinished: evaluations are missing.
        """
        return self.point(self.ends[1])

    def _mean(self, evaluation: Evaluation, role: str) -> float:
        names = [name for name, about in self.datasets.items() if about.role == role]
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


def read_scores(run: Path) -> Scores:
    """The scores of a run folder.

    Raises:
        NotFinished: there is no file yet.
        FomoError: the file is no scores file, or lacks a score.
    """
    path = run / SCORES
    if not path.is_file():
        raise NotFinished(f"{run}: not finished: it holds no scores.json. Is it a run folder?")
    content = read_json(path, finite=False)  # a score that is NaN is not there yet
    _check(path, content)
    about = content["stream"]
    return Scores(
        folder=run,
        stream=ScoredStream(about["name"], *(about.get(key, "") for key in HASHES)),
        split=content["split"],
        caveats=tuple(content["marks"]),
        num_tasks=content["num_tasks"],
        datasets={name: _dataset(each) for name, each in content["datasets"].items()},
        evaluations=tuple(map(Evaluation.read, content["evaluations"])),
        in_full=tuple(map(Evaluation.read, content.get("in_full", ()))),
        not_finite=tuple(content.get("not_finite", ())),
        score_version=content.get("score_version", FIRST_SCORE_VERSION),
        within=tuple(map(Evaluation.read, content.get("within", ()))),
        every_tasks=content.get("every_tasks", 1),
    )


def _dataset(about: Mapping[str, Any]) -> ScoredDataset:
    metric = about.get("metric", "accuracy")
    kind = about.get("kind", "classification")
    return ScoredDataset(about["role"], kind, metric, about["num_samples"], about.get("domain", ""))


def _check(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise FomoError(f"{path}: not a scores file of schema '{SCHEMA}'.")
    for key, kind in SHAPE.items():
        if key not in content:
            raise FomoError(f"{path}: key '{key}' is missing.")
        if type(content[key]) is not kind:
            raise FomoError(f"{path}: key '{key}' holds {content[key]!r}, no {kind.__name__}.")
    about = content["stream"]
    if not is_strings([content.get("score_version", "")]):
        raise FomoError(f"{path}: score_version holds {content['score_version']!r}, no string.")
    if not is_strings([about.get("name"), *(about.get(key, "") for key in HASHES)]):
        raise FomoError(f"{path}: the stream has no name, or a hash that is no string.")
    if not is_strings(content["marks"]):
        raise FomoError(f"{path}: marks are no list of strings.")
    for name, about in content["datasets"].items():
        _check_dataset(path, name, about)
    roles = {about["role"] for about in content["datasets"].values()}
    if not roles >= {"adaptation", "retention"}:
        raise FomoError(f"{path}: KA and ZS need an adaptation and a retention dataset, there is {sorted(roles)}.")
    if len(content["evaluations"]) > content["num_tasks"] + 1:
        raise FomoError(f"{path}: {len(content['evaluations'])} evaluations of {content['num_tasks']} updates.")
    not_finite = content.get("not_finite", [])
    if not isinstance(not_finite, list) or not all(isinstance(each, dict) for each in not_finite):
        raise FomoError(f"{path}: not_finite is no list of steps.")
    in_full = content.get("in_full", [])
    if not isinstance(in_full, list) or len(in_full) > 2:
        raise FomoError(f"{path}: in_full is no list of the first and the last evaluation.")
    for number, evaluation in zip((0, content["num_tasks"]), in_full, strict=False):
        _check_evaluation(path, number, evaluation, content["datasets"])
        if evaluation["task"] != number:
            raise FomoError(f"{path}: evaluation {number} in full is of task {evaluation['task']}.")
    _check_path(path, content)
    _check_within(path, content)


def _check_path(path: Path, content: Mapping[str, Any]) -> None:
    """Evaluations are of rising tasks, of every one that is due up to the last of them."""
    every = content.get("every_tasks", 1)
    if type(every) is not int or every < 1:
        raise FomoError(f"{path}: every_tasks holds {every!r}, expected is a number from 1.")
    before = -1
    for number, evaluation in enumerate(content["evaluations"]):
        _check_evaluation(path, number, evaluation, content["datasets"])
        if not before < evaluation["task"] <= next_due(before, content["num_tasks"], every):
            raise FomoError(f"{path}: evaluation {number} is of task {evaluation['task']}.")
        before = evaluation["task"]


def _check_within(path: Path, content: Mapping[str, Any]) -> None:
    """Evaluations within tasks are of steps of tasks, in their order."""
    within = content.get("within", [])
    if not isinstance(within, list):
        raise FomoError(f"{path}: within is no list of evaluations.")
    before = (0, 0)
    for number, evaluation in enumerate(within):
        _check_evaluation(path, number, evaluation, content["datasets"])
        at = (evaluation["task"], evaluation.get("step"))
        if type(at[1]) is not int or not (1 <= at[0] <= content["num_tasks"] and at[1] >= 1 and at > before):
            raise FomoError(f"{path}: evaluation {number} within tasks is of task {at[0]}, step {at[1]}.")
        before = at


def _check_dataset(path: Path, name: str, about: Any) -> None:
    if not isinstance(about, dict) or not isinstance(about.get("role"), str):
        raise FomoError(f"{path}: dataset '{name}' has no role.")
    if not is_count(about.get("num_samples")) or not is_strings([about.get("metric", ""), about.get("kind", "")]):
        raise FomoError(f"{path}: dataset '{name}' has no number of samples, or a metric or kind that is no string.")
    if not isinstance(about.get("domain", ""), str):
        raise FomoError(f"{path}: dataset '{name}' has a domain that is no string.")


def _check_evaluation(path: Path, number: int, evaluation: Any, datasets: Mapping[str, Any]) -> None:
    if not isinstance(evaluation, dict) or not isinstance(evaluation.get("scores"), dict):
        raise FomoError(f"{path}: evaluation {number} holds no scores.")
    if type(evaluation.get("task")) is not int:
        raise FomoError(f"{path}: evaluation {number} is of task {evaluation.get('task')}.")
    for name in datasets:
        score = evaluation["scores"].get(name)
        if not isinstance(score, (int, float)) or isinstance(score, bool) or not math.isfinite(score):
            raise NotFinished(f"{path}: not finished: task {evaluation['task']} has no score of '{name}' ({score}).")
        if not 0 <= score <= 100:
            raise FomoError(f"{path}: score of '{name}' in task {evaluation['task']} is {score}, not a percentage.")
    tasks = evaluation.get("tasks")
    if not isinstance(tasks, dict) or not all(is_number(score) and score <= 100 for score in tasks.values()):
        raise FomoError(f"{path}: evaluation {number} has no scores of tasks, or one that is no percentage.")
    share = evaluation.get("subset", 1.0)
    if not is_number(share) or not 0 < share <= 1:
        raise FomoError(f"{path}: evaluation {number} is of a share of {share!r} of the samples: expected is 0 to 1.")
    if not all(map(str.isdecimal, tasks)) or not isinstance(evaluation.get("num_samples", {}), dict):
        raise FomoError(f"{path}: evaluation {number} has a task without a number, or no numbers of samples.")
    recalls = evaluation.get("recalls", {})
    if not isinstance(recalls, dict) or not all(map(_are_percentages, recalls.values())):
        raise FomoError(f"{path}: evaluation {number} has recalls that are no percentages by dataset.")


def _are_percentages(values: Any) -> bool:
    return isinstance(values, dict) and all(is_number(value) and 0 <= value <= 100 for value in values.values())
