"""From the events of a run to the points that loggers are told. ``docs/logging.md`` lists the keys."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fomo.loggers.logger import Point
from fomo.results.scores import Evaluation, Scores

STEP = {
    **{key: "train" for key in ("loss", "grad_norm", "lr", "batch_size", "lost", "rewound_to")},
    **{key: "pools" for key in ("pretraining", "update", "buffer")},
    **{key: "ledger" for key in ("gflops", "mafs")},
}
"""The group that a key of a step's event stands in; what is not listed was logged by a part of the method."""
PART = "method"
SCORED = ("score", "dataset", "task")
IN_FULL = "_in_full"
HOOKS = ("begin_run", "begin_task", "end_task", "deployed")
OVER_STEPS = (*dict.fromkeys(STEP.values()), PART)
OVER_TASKS = (*HOOKS, *SCORED, *(f"{group}{IN_FULL}" for group in SCORED))
"""Groups of keys that have a value a step, or a task."""
PLACE = ("event", "task", "step", "time")


class Points:
    """Counts the points and the steps of a run while its events pass, in order and from the first one on."""

    def __init__(self) -> None:
        self._number = 0
        self._steps = 0

    def of(self, event: Mapping[str, Any], scores: Scores) -> Point | None:
        """The point of an event; ``None`` where it has no number to tell, as that the run goes on.

        ``scores`` have the evaluation that an event is of.
        """
        if event["event"] == "resume":
            return None
        self._steps += event["event"] == "step"
        values = _scored(event["task"], scores) if event["event"] == "evaluation" else _logged(event)
        if not values:
            return None
        point = Point(self._number, event["task"], self._steps, event["time"], MappingProxyType(values))
        self._number += 1
        return point


def _logged(event: Mapping[str, Any]) -> dict[str, float]:
    """What a step, or a hook of the parts, has logged; ``null``, which was not finite, is left out."""
    kind = event["event"]
    values = {key: value for key, value in event.items() if key not in PLACE and value is not None}
    return {f"{STEP.get(key, PART) if kind == 'step' else kind}/{key}": value for key, value in values.items()}


def _scored(task: int, scores: Scores) -> dict[str, float]:
    """KA, ZS, GM and the scores by dataset and by task; on all samples beside, where the path is of a subset."""
    found = dict[str, float]()
    for suffix, evaluations in (("", scores.evaluations), (IN_FULL, scores.in_full)):
        for evaluation in evaluations:
            of_group = _by_group(evaluation, scores).items() if evaluation.task == task else ()
            found |= {f"{group}{suffix}/{key}": value for group, values in of_group for key, value in values.items()}
    return found


def _by_group(evaluation: Evaluation, scores: Scores) -> dict[str, Mapping[Any, float]]:
    point = scores.point(evaluation)
    means = {"ka": point.ka, "zs": point.zs, "gm": point.gm}
    return {"score": means, "dataset": evaluation.scores, "task": evaluation.tasks}
