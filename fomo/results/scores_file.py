"""Reading ``scores.json``, of a stranger too: its form and its numbers are checked before anyone computes with them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import SCORES
from fomo.results.scores import SCHEMA, Evaluation, NotFinished, ScoredDataset, ScoredStream, Scores, next_due
from fomo.system.checks import is_count, is_number, is_strings
from fomo.system.reading import read_json
from fomo.version import FIRST_SCORE_VERSION

HASHES = ("sha256", "data_sha256", "measured_sha256")
"""Of a stream, in the order of :class:`ScoredStream`."""
SHAPE = {"stream": dict, "split": str, "marks": list, "num_tasks": int, "datasets": dict, "evaluations": list}


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
    """The whole form, from the outside to single scores."""
    _check_shape(path, content)
    _check_strings(path, content)
    _check_datasets(path, content["datasets"])
    not_finite = content.get("not_finite", [])
    if not isinstance(not_finite, list) or not all(isinstance(each, dict) for each in not_finite):
        raise FomoError(f"{path}: not_finite is no list of steps.")
    _check_in_full(path, content)
    _check_path(path, content)
    _check_within(path, content)


def _check_shape(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise FomoError(f"{path}: not a scores file of schema '{SCHEMA}'.")
    for key, kind in SHAPE.items():
        if key not in content:
            raise FomoError(f"{path}: key '{key}' is missing.")
        if type(content[key]) is not kind:
            raise FomoError(f"{path}: key '{key}' holds {content[key]!r:.60}, no {kind.__name__}.")
    if len(content["evaluations"]) > content["num_tasks"] + 1:
        raise FomoError(f"{path}: {len(content['evaluations'])} evaluations of {content['num_tasks']} updates.")


def _check_strings(path: Path, content: Mapping[str, Any]) -> None:
    about = content["stream"]
    if not is_strings([content.get("score_version", "")]):
        raise FomoError(f"{path}: score_version holds {content['score_version']!r:.60}, no string.")
    if not is_strings([about.get("name"), *(about.get(key, "") for key in HASHES)]):
        raise FomoError(f"{path}: the stream has no name, or a hash that is no string.")
    if not is_strings(content["marks"]):
        raise FomoError(f"{path}: marks are no list of strings.")


def _check_datasets(path: Path, datasets: Mapping[str, Any]) -> None:
    for name, about in datasets.items():
        _check_dataset(path, name, about)
    roles = {about["role"] for about in datasets.values()}
    if not roles >= {"adaptation", "retention"}:
        found = f"{sorted(roles)!s:.200}"
        raise FomoError(f"{path}: KA and ZS need an adaptation and a retention dataset, there is {found}.")


def _check_in_full(path: Path, content: Mapping[str, Any]) -> None:
    """Of the first and of the last model, where the path is of a subset."""
    in_full = content.get("in_full", [])
    if not isinstance(in_full, list) or len(in_full) > 2:
        raise FomoError(f"{path}: in_full is no list of the first and the last evaluation.")
    for number, evaluation in zip((0, content["num_tasks"]), in_full, strict=False):
        _check_evaluation(path, number, evaluation, content["datasets"])
        if evaluation["task"] != number:
            raise FomoError(f"{path}: evaluation {number} in full is of task {evaluation['task']}.")


def _check_path(path: Path, content: Mapping[str, Any]) -> None:
    """Evaluations are of rising tasks, of every one that is due up to the last of them."""
    every = content.get("every_tasks", 1)
    if type(every) is not int or every < 1:
        raise FomoError(f"{path}: every_tasks holds {every!r:.60}, expected is a number from 1.")
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
        raise FomoError(f"{path}: dataset '{name:.80}' has no role.")
    if not is_count(about.get("num_samples")) or not is_strings([about.get("metric", ""), about.get("kind", "")]):
        raise FomoError(
            f"{path}: dataset '{name:.80}' has no number of samples, or a metric or kind that is no string."
        )
    if not isinstance(about.get("domain", ""), str):
        raise FomoError(f"{path}: dataset '{name:.80}' has a domain that is no string.")


def _check_evaluation(path: Path, number: int, evaluation: Any, datasets: Mapping[str, Any]) -> None:
    if not isinstance(evaluation, dict) or not isinstance(evaluation.get("scores"), dict):
        raise FomoError(f"{path}: evaluation {number} holds no scores.")
    if type(evaluation.get("task")) is not int:
        raise FomoError(f"{path}: evaluation {number} is of task {evaluation.get('task')!r:.60}.")
    for name in datasets:
        score = evaluation["scores"].get(name)
        if not isinstance(score, (int, float)) or isinstance(score, bool) or not math.isfinite(score):
            raise NotFinished(
                f"{path}: not finished: task {evaluation['task']} has no score of '{name:.80}' ({score!r:.60})."
            )
        if not 0 <= score <= 100:
            raise FomoError(f"{path}: score of '{name:.80}' in task {evaluation['task']} is {score}, not a percentage.")
    tasks = evaluation.get("tasks")
    if not isinstance(tasks, dict) or not all(is_number(score) and score <= 100 for score in tasks.values()):
        raise FomoError(f"{path}: evaluation {number} has no scores of tasks, or one that is no percentage.")
    share = evaluation.get("subset", 1.0)
    if not is_number(share) or not 0 < share <= 1:
        raise FomoError(
            f"{path}: evaluation {number} is of a share of {share!r:.60} of the samples: expected is 0 to 1."
        )
    if not all(map(str.isdecimal, tasks)) or not isinstance(evaluation.get("num_samples", {}), dict):
        raise FomoError(f"{path}: evaluation {number} has a task without a number, or no numbers of samples.")
    recalls = evaluation.get("recalls", {})
    if not isinstance(recalls, dict) or not all(map(_are_percentages, recalls.values())):
        raise FomoError(f"{path}: evaluation {number} has recalls that are no percentages by dataset.")


def _are_percentages(values: Any) -> bool:
    return isinstance(values, dict) and all(is_number(value) and 0 <= value <= 100 for value in values.values())
