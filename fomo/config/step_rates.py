"""The learning rate at each step of a run: a schedule's, times what the size of the step's batch makes of it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from fomo.budget.plan import StepPlan
from fomo.config.schema import Config
from fomo.position import Position

FLOOR = 0.001
"""Share of the learning rate that schedules end at."""


class StepRates:
    """The rate by task, from 1, and step.

    Args:
        config: Holds the peak rate, and what it is at which batch size.
        rate: The schedule under its meta-schedule.
        plan: Holds the number of steps of every task, and the batch sizes.
    """

    def __init__(self, config: Config, rate: Callable[[Position], float], plan: StepPlan) -> None:
        self._config = config
        self._rate = rate
        self._sizes = plan.sizes
        self._before = [0, *accumulate(plan.steps)]

    def __call__(self, task: int, step: int, num_steps: int) -> float:
        """The rate of a step from 0, of ``num_steps`` of a task."""
        start = self._before[task - 1]
        size = self._sizes.of(start + step)
        scaling = self._config.batch_scaling
        peak = self._config.optimizer["lr"]
        at = Position(task - 1, step, num_steps, peak, FLOOR * peak, size, rescaled=scaling.rule != "none")
        if self._sizes.ramp or self._sizes.rungs:
            at = replace(at, start=start, ramped=True, seen=self._sizes.seen)
        return scaling.factor(size, self._config.batch_size) * self._rate(at)
