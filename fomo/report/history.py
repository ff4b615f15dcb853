"""What the events of a run say of its course: losses and rates, samples of each pool, and the time of each task."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from fomo.results.events import Event

POOLS = ("pretraining", "update", "buffer")
"""As events call the pools P, D and B."""
LARGEST = 1e30
"""What is beyond it is as good as infinite, and drawn nowhere."""


class Step(NamedTuple):
    """One step; ``loss`` and ``rate`` are ``None`` where they were not finite, or are not written."""

    task: int
    number: int
    loss: float | None
    rate: float | None
    samples: Mapping[str, int]


@dataclass
class TaskTime:
    """Seconds between the lines of a task, those of a stop left out: its steps and hooks, and its evaluation."""

    training: float = 0.0
    evaluation: float = 0.0


@dataclass(frozen=True)
class History:
    """The steps of a run in order, and the time of each task; 0 is the evaluation of the base model.

    ``first`` and ``last`` are the times of the first and of the last line, in seconds since 1970.
    """

    steps: Sequence[Step] = ()
    times: Mapping[int, TaskTime] = field(default_factory=dict)
    num_resumes: int = 0
    first: float | None = None
    last: float | None = None

    @cached_property
    def tasks(self) -> dict[int, list[Step]]:
        """The steps of every task that has some."""
        return {task: list(steps) for task, steps in groupby(self.steps, key=lambda step: step.task)}

    def seen(self, task: int) -> dict[str, int]:
        """The samples of each pool that the steps of a task have seen; empty where the events do not say it."""
        found: dict[str, int] = {}
        for step in self.tasks.get(task, ()):
            for pool, count in step.samples.items():
                found[pool] = found.get(pool, 0) + count
        return found


def history(events: Iterable[Event]) -> History:
    """The course that the events tell. Of a line that lacks something, that is left open."""
    steps: list[Step] = []
    times: dict[int, TaskTime] = {}
    moments: list[float] = []
    num_resumes = 0
    for event in events:
        kind = event.get("event")
        task = event.get("task")
        now = _number(event.get("time"))
        if kind == "step" and type(task) is int:
            steps.append(_step(task, event))
        if kind == "resume":
            num_resumes += 1
        elif type(task) is int and now is not None and moments:
            _add(times.setdefault(task, TaskTime()), kind, now - moments[-1])
        moments += [] if now is None else [now]
    return History(steps, times, num_resumes, *((moments[0], moments[-1]) if moments else (None, None)))


def _step(task: int, event: Event) -> Step:
    counts = {pool: event[pool] for pool in POOLS if type(event.get(pool)) is int}
    given = event.get("step")
    number = given if isinstance(given, int) else 0
    return Step(task, number, _number(event.get("loss")), _number(event.get("lr")), counts)


def _add(time: TaskTime, kind: Any, seconds: float) -> None:
    if kind in ("evaluation", "within"):
        time.evaluation += max(seconds, 0.0)
    else:
        time.training += max(seconds, 0.0)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= LARGEST else None


def curve(
    steps: Sequence[Step], values: Sequence[float | None], planned: Mapping[int, int], most: int
) -> list[tuple[float, float]]:
    """A value of each step over the position in the stream: at most ``most`` points, each the mean of its stretch.

    The position is in updates: that of step s of S in task t is t − 1 + (s + ½)/S. Steps without a value are left out.

    Args:
        steps: In order.
        values: One for each of them.
        planned: The steps of each task, S; of a task that is not in it, and has no more, those that it has.
        most: Points.
    """
    lengths = Counter(step.task for step in steps) | Counter(planned)
    positions = [step.task - 1 + (step.number + 0.5) / max(lengths[step.task], step.number + 1) for step in steps]
    known = [(at, value) for at, value in zip(positions, values, strict=True) if value is not None]
    size = max(1, math.ceil(len(known) / most))
    return [_mean(known[start : start + size]) for start in range(0, len(known), size)]


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return (
        math.fsum(at for at, _ in points) / len(points),
        math.fsum(value for _, value in points) / len(points),
    )
