"""What is computed from ``scores.json``: pure functions of a run's ``Scores``, in percent or in points of it.

T is the number of updates. KA_t, ZS_t and GM_t are those after t of them, 0 is the base model. R[t][j], an entry of the
accuracy matrix, is the accuracy after t updates on the test samples of the concepts of task j; t is from 0, j from 1.
R[t, s][j] is that within update t, once s of its steps are made (``evaluation.every_steps``).

A function raises ``NotFinished`` where an evaluation or a score is missing or NaN, and :class:`NotDefined` where the
run has no such number: it never returns one for what is not there.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

from fomo.errors import FomoError
from fomo.results.scores import Evaluation, NotFinished, Point, Scores


class NotDefined(FomoError):
    """The run is finished, and its stream has no such number."""


def ka(scores: Scores) -> float:
    """KA_T: mean over the adaptation datasets after the last update (Roth et al. 2024, arXiv 2408.14471)."""
    return scores.final.ka


def zs(scores: Scores) -> float:
    """ZS_T: mean over the held-out datasets after the last update (Roth et al. 2024, arXiv 2408.14471)."""
    return scores.final.zs


def gm(scores: Scores) -> float:
    """GM_T = √(KA_T · ZS_T) (Roth et al. 2024, arXiv 2408.14471)."""
    return scores.final.gm


def ka_change(scores: Scores) -> float:
    """KA_T − KA_0: against zero-shot, the base model; in points."""
    return scores.final.ka - scores.start.ka


def zs_change(scores: Scores) -> float:
    """ZS_T − ZS_0: against zero-shot, the base model; in points."""
    return scores.final.zs - scores.start.zs


def gm_change(scores: Scores) -> float:
    """GM_T − GM_0: against zero-shot, the base model; in points."""
    return scores.final.gm - scores.start.gm


def ka_area(scores: Scores) -> float:
    """1/T Σ_{t=1..T} (KA_{t−1} + KA_t)/2: the area under the path by trapezoids, over its width, so in percent."""
    return _area([point.ka for point in _path(scores)])


def zs_area(scores: Scores) -> float:
    """1/T Σ_{t=1..T} (ZS_{t−1} + ZS_t)/2: the area under the path by trapezoids, over its width, so in percent."""
    return _area([point.zs for point in _path(scores)])


def backward_transfer(scores: Scores) -> float:
    """1/(T−1) Σ_{j<T} (R[T][j] − R[j][j]), in points: what later updates did to a task (Lopez-Paz & Ranzato 2017, arXiv
    1706.08840)."""
    matrix = _of_several(scores)
    last = len(matrix) - 1
    return _mean(matrix[last][j - 1] - matrix[j][j - 1] for j in range(1, last))


def forward_transfer(scores: Scores) -> float:
    """1/(T−1) Σ_{j>1} (R[j−1][j] − R[0][j]), in points: what earlier updates did for a task before its own (Lopez-Paz &
    Ranzato 2017, arXiv 1706.08840). Their b_j is that of random weights; R[0][j] is that of the base model."""
    matrix = _of_several(scores)
    return _mean(matrix[j - 1][j - 1] - matrix[0][j - 1] for j in range(2, len(matrix)))


def forgetting(scores: Scores) -> float:
    """1/(T−1) Σ_{j<T} (max_{1≤t<T} R[t][j] − R[T][j]), in points: how far each task fell from its best (Chaudhry et al.
    2018, arXiv 1801.10112). Below 0 where the last update raised all of them."""
    matrix = _of_several(scores)
    last = len(matrix) - 1
    return _mean(max(row[j - 1] for row in matrix[1:last]) - matrix[last][j - 1] for j in range(1, last))


def transfer(scores: Scores) -> float:
    """1/(T−1) Σ_{j>1} 1/(j−1) Σ_{1≤t<j} R[t][j]: tasks before their own update (Zheng et al. 2023, ZSCL, arXiv
    2303.06628). A mean by task first, then over tasks; the base model, t = 0, is not in it. So compute it the authors
    (``mtil/results.ipynb`` of Thunderbeee/ZSCL), whose tables a test repeats."""
    matrix = _of_several(scores)
    return _mean(_mean(row[j - 1] for row in matrix[1:j]) for j in range(2, len(matrix)))


def average(scores: Scores) -> float:
    """1/T² Σ_{t≥1} Σ_j R[t][j]: all tasks after every update (Zheng et al. 2023, ZSCL, arXiv 2303.06628)."""
    return _mean(map(_mean, accuracy_matrix(scores)[1:]))


def last(scores: Scores) -> float:
    """1/T Σ_j R[T][j]: all tasks after the last update (Zheng et al. 2023, ZSCL, arXiv 2303.06628); ACC of Lopez-Paz &
    Ranzato 2017, arXiv 1706.08840."""
    _ = scores.final
    _check_tasks(scores)
    return _mean(_row(scores, scores.evaluations[-1]))


def incremental(scores: Scores) -> float:
    """1/T Σ_{t≥1} S_t, S_t = 1/t Σ_{j≤t} R[t][j]: mean over updates of the accuracy on concepts seen so far, every task
    counting alike (average incremental accuracy, Rebuffi et al. 2017, iCaRL, arXiv 1611.07725)."""
    return _mean(seen_path(scores))


def min_accuracy(scores: Scores) -> float:
    """min-ACC: 1/(T−1) Σ_{j<T} min R[n][j] over all evaluations n after update j, those within later updates and at
    their ends: how low each task fell at its worst (De Lange et al. 2023, Continual evaluation for lifelong learning:
    identifying the stability gap, arXiv 2205.13452)."""
    matrix = _of_several(scores)
    within = _within(scores)
    return _mean(
        min([row[j - 1] for row in matrix[j + 1 :]] + [row[j - 1] for task, row in within if task > j])
        for j in range(1, scores.num_tasks)
    )


def worst_case_accuracy(scores: Scores) -> float:
    """WC-ACC: 1/T · R[T][T] + (1 − 1/T) · min-ACC: the last task as it is, earlier ones at their worst (De Lange et al.
    2023, arXiv 2205.13452)."""
    at_worst = min_accuracy(scores)
    share = 1 / scores.num_tasks
    return share * accuracy_matrix(scores)[-1][-1] + (1 - share) * at_worst


def stability_gap(scores: Scores) -> float:
    """1/(T−1) Σ_{t>1} (A[t−1] − min_s A[t, s]), A[n] = 1/(t−1) Σ_{j<t} R[n][j], in points: how far the mean accuracy
    on earlier tasks falls within an update, below what it was before. The fall is that of De Lange et al. 2023, arXiv
    2205.13452, who draw it; the number is ours. Below 0 where it never fell."""
    matrix = _of_several(scores)
    within = _within(scores)
    return _mean(
        _mean(matrix[t - 1][: t - 1]) - min(_mean(row[: t - 1]) for task, row in within if task == t)
        for t in range(2, scores.num_tasks + 1)
    )


def in_domain(scores: Scores, domain: str) -> float:
    """Mean after the last update over the datasets of a domain, those adapted to and those held out, in percent."""
    names = [name for name, about in scores.datasets.items() if domain in about.domains]
    if not names:
        known = ", ".join(domains(scores)) or "none: its cards say no domain"
        raise NotDefined(f"{scores.folder}: no dataset is of the domain '{domain}'; there is {known}.")
    _ = scores.final
    return _mean(scores.ends[1].scores[name] for name in names)


def domains(scores: Scores) -> list[str]:
    """The domains of a run's datasets, sorted."""
    return sorted({domain for about in scores.datasets.values() for domain in about.domains})


def accuracy_matrix(scores: Scores) -> list[list[float]]:
    """R, T + 1 rows of T accuracies in percent: ``R[t][j - 1]`` of task j after t updates (Lopez-Paz & Ranzato 2017).

    Raises:
        NotFinished: an evaluation is missing, or lacks the score of a task that others have.
        NotDefined: a task has no test samples of its concepts.
    """
    _path(scores)
    _check_tasks(scores)
    return [_row(scores, evaluation) for evaluation in scores.evaluations]


def seen_path(scores: Scores) -> list[float]:
    """S_t = 1/t Σ_{j≤t} R[t][j] for t = 1 … T: the accuracy on concepts seen so far after every update, in percent."""
    return [_mean(row[:t]) for t, row in enumerate(accuracy_matrix(scores)) if t]


def _check_tasks(scores: Scores) -> None:
    for task in range(1, scores.num_tasks + 1):
        if not any(task in evaluation.tasks for evaluation in scores.evaluations):
            raise NotDefined(f"{scores.folder}: no test sample is of the concepts of task {task}.")


def _row(scores: Scores, evaluation: Evaluation) -> list[float]:
    """The accuracy on the concepts of every task."""
    row = [evaluation.tasks.get(task, math.nan) for task in range(1, scores.num_tasks + 1)]
    for task, value in enumerate(row, start=1):
        if not math.isfinite(value):
            when = f"after {evaluation.task} updates" if evaluation.step is None else f"within update {evaluation.task}"
            raise NotFinished(f"{scores.folder}: not finished: {when} task {task} has no score ({value}).")
    return row


def _within(scores: Scores) -> list[tuple[int, list[float]]]:
    """The update and the row of each evaluation within an update; all but the first have some."""
    rows = [(each.task, _row(scores, each)) for each in scores.within]
    bare = sorted(set(range(2, scores.num_tasks + 1)) - {task for task, _ in rows})
    if bare:
        raise NotDefined(
            f"{scores.folder}: nothing was evaluated within update {bare[0]}: evaluation.every_steps=N does so after "
            "every N of its steps."
        )
    return rows


def _of_several(scores: Scores) -> list[list[float]]:
    """The accuracy matrix of a run of more than one task."""
    matrix = accuracy_matrix(scores)
    if scores.num_tasks < 2:
        raise NotDefined(f"{scores.folder}: a stream of one task has nothing to transfer or to forget.")
    return matrix


def _path(scores: Scores) -> list[Point]:
    """KA, ZS and GM after every update of a finished run.

    Raises:
        NotDefined: it was not evaluated after each.
    """
    _ = scores.final
    if not scores.has_every_task:
        missing = scores.num_tasks + 1 - len(scores.evaluations)
        raise NotDefined(
            f"{scores.folder}: {missing} updates were not evaluated (evaluation.every_tasks={scores.every_tasks}): "
            "`fomo evaluate` scores them where their weights are kept (keep_weights=all)."
        )
    return scores.points


def _area(values: list[float]) -> float:
    return _mean((before + after) / 2 for before, after in pairwise(values))


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    if not listed:
        raise NotDefined("a stream without updates has no such number.")
    return math.fsum(listed) / len(listed)
