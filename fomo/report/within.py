"""Evaluations in the order of the stream, those within updates among them: where each lies, in updates."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fomo.results.scores import Evaluation, Scores


class Placed(NamedTuple):
    """An evaluation, and where it lies: after t updates at t, after s of the S steps of update t at t − 1 + s/S."""

    at: float
    of: Evaluation

    @property
    def ends_update(self) -> bool:
        """Whether it is of the base model, or of the model after an update."""
        return self.of.step is None

    @property
    def name(self) -> str:
        """What a table calls it."""
        return (str(self.of.task) if self.of.task else "base") + ("" if self.ends_update else f", step {self.of.step}")


def placed(scores: Scores, num_steps: Mapping[int, int]) -> list[Placed]:
    """Every evaluation in order, but for the first and the last in full; ``num_steps`` are those of each update.

    Of an update whose steps nobody knows they are one more than those behind its last evaluation.
    """
    lengths = dict(num_steps)
    for each in scores.within:
        lengths[each.task] = max(lengths.get(each.task, 0), (each.step or 0) + 1)
    within = [Placed(each.task - 1 + (each.step or 0) / lengths[each.task], each) for each in scores.within]
    return sorted([*(Placed(float(each.task), each) for each in scores.evaluations), *within], key=lambda each: each.at)


def earlier(evaluations: Sequence[Placed]) -> list[tuple[float, float]]:
    """The mean accuracy on the concepts of earlier tasks, from the second update on: the drop within one is the gap.

    During update t it is over tasks j < t, at its begin and at its end too, so that a new one joins the mean at each t.
    """
    last = max((each.of.task for each in evaluations), default=0)
    points = []
    for task in range(2, last + 1):
        for each in evaluations:
            values = [each.of.tasks[j] for j in range(1, task) if j in each.of.tasks]
            if task - 1 <= each.at <= task and values:
                points.append((each.at, math.fsum(values) / len(values)))
    return points
