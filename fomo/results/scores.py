"""``scores.json``: the one file that every score comes from.

KA (knowledge accumulation) is the mean over adaptation datasets, ZS (zero-shot retention) the mean over held-out
ones, GM = sqrt(KA · ZS) (Roth et al. 2024, arXiv 2408.14471). A missing or NaN score is "not finished", never a number.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.system.checks import is_count, is_strings
from fomo.system.reading import read_json

SCHEMA = "fomo.scores/1"
SHAPE = {"stream": dict, "split": str, "marks": list, "num_tasks": int, "datasets": dict, "evaluations": list}


class NotFinished(FomoError):
    """The run has not written every score yet."""


@dataclass(frozen=True)
class Point:
    """KA, ZS and GM in percent after ``task`` updates."""

    task: int
    ka: float
    zs: float

    @property
    def gm(self) -> float:
        """Geometric mean of KA and ZS."""
        return math.sqrt(self.ka * self.zs)


@dataclass(frozen=True)
class Scores:
    """The content of a scores file, checked."""

    path: Path
    content: Mapping[str, Any]

    @property
    def num_tasks(self) -> int:
        """Updates of the stream."""
        return int(self.content["num_tasks"])

    @property
    def marks(self) -> list[str]:
        """What keeps this result from being compared freely."""
        return list(self.content["marks"])

    @property
    def datasets(self) -> Mapping[str, Mapping[str, Any]]:
        """Role, kind, metric and size of each dataset."""
        return self.content["datasets"]

    @property
    def evaluations(self) -> list[Mapping[str, Any]]:
        """Evaluations in order, the first before any update."""
        return list(self.content["evaluations"])

    @property
    def finished(self) -> bool:
        """Whether the model after the last update has been scored."""
        return len(self.evaluations) == self.num_tasks + 1

    @property
    def points(self) -> list[Point]:
        """KA and ZS after every update so far, the base model first."""
        return [Point(e["task"], self._mean(e, "adaptation"), self._mean(e, "retention")) for e in self.evaluations]

    @property
    def final(self) -> Point:
        """The result.

        Raises:
            NotFinished: evaluations are missing.
        """
        if not self.finished:
            done = len(self.evaluations) - 1
            raise NotFinished(f"{self.path}: not finished: {max(done, 0)} of {self.num_tasks} updates are scored.")
        return self.points[-1]

    def _mean(self, evaluation: Mapping[str, Any], role: str) -> float:
        values = [evaluation["scores"][name] for name, about in self.datasets.items() if about["role"] == role]
        return math.fsum(values) / len(values)


def read_scores(run: Path) -> Scores:
    """The scores of a run folder.

    Raises:
        NotFinished: there is no file yet.
        FomoError: the file is no scores file, or lacks a score.
    """
    path = run / "scores.json"
    if not path.is_file():
        raise NotFinished(f"{run}: not finished: it holds no scores.json. Is it a run folder?")
    content = read_json(path, finite=False)  # a score that is NaN is not there yet
    _check(path, content)
    return Scores(path, content)


def is_percent(value: Any) -> bool:
    """Whether it is a number from 0 to 100."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 100


def _check(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise FomoError(f"{path}: not a scores file of schema '{SCHEMA}'.")
    for key, kind in SHAPE.items():
        if key not in content:
            raise FomoError(f"{path}: key '{key}' is missing.")
        if type(content[key]) is not kind:
            raise FomoError(f"{path}: key '{key}' holds {content[key]!r}, no {kind.__name__}.")
    about = content["stream"]
    if not isinstance(about.get("name"), str) or not isinstance(about.get("data_sha256", ""), str):
        raise FomoError(f"{path}: the stream has no name, or a hash that is no text.")
    if not is_strings(content["marks"]):
        raise FomoError(f"{path}: marks are no list of texts.")
    for name, about in content["datasets"].items():
        _check_dataset(path, name, about)
    roles = {about["role"] for about in content["datasets"].values()}
    if not roles >= {"adaptation", "retention"}:
        raise FomoError(f"{path}: KA and ZS need an adaptation and a retention dataset, there is {sorted(roles)}.")
    if len(content["evaluations"]) > content["num_tasks"] + 1:
        raise FomoError(f"{path}: {len(content['evaluations'])} evaluations of {content['num_tasks']} updates.")
    for number, evaluation in enumerate(content["evaluations"]):
        _check_evaluation(path, number, evaluation, content["datasets"])


def _check_dataset(path: Path, name: str, about: Any) -> None:
    if not isinstance(about, dict) or not isinstance(about.get("role"), str):
        raise FomoError(f"{path}: dataset '{name}' has no role.")
    if not is_count(about.get("num_samples")) or not isinstance(about.get("metric", ""), str):
        raise FomoError(f"{path}: dataset '{name}' has no number of samples, or a metric that is no text.")


def _check_evaluation(path: Path, number: int, evaluation: Any, datasets: Mapping[str, Any]) -> None:
    if not isinstance(evaluation, dict) or not isinstance(evaluation.get("scores"), dict):
        raise FomoError(f"{path}: evaluation {number} holds no scores.")
    if type(evaluation.get("task")) is not int or evaluation["task"] != number:
        raise FomoError(f"{path}: evaluation {number} is of task {evaluation.get('task')}.")
    for name in datasets:
        score = evaluation["scores"].get(name)
        if not isinstance(score, (int, float)) or isinstance(score, bool) or not math.isfinite(score):
            raise NotFinished(f"{path}: not finished: task {number} has no score of '{name}' ({score}).")
        if not 0 <= score <= 100:
            raise FomoError(f"{path}: score of '{name}' in task {number} is {score}, not a percentage.")
    tasks = evaluation.get("tasks")
    if not isinstance(tasks, dict) or not all(is_percent(score) for score in tasks.values()):
        raise FomoError(f"{path}: evaluation {number} has no scores of tasks, or one that is no percentage.")
