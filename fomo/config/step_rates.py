"""The learning rate at each step of a run: a schedule's, times what the size of the step's batch makes of it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from fomo.budget.plan import StepPlan
from fomo.config.schema import Config
from fomo.errors import FomoError
from fomo.position import Position

FLOOR = 0.001
"""Share of the learning rate that schedules end at."""
ROUNDING = 1e-9
"""Share of the peak that a schedule may lie above it."""


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
        """The rate of a step from 0, of ``num_steps`` of a task.

        Raises:
            FomoError: the schedule returns something else than a rate.
        """
        start = self._before[task - 1]
        size = self._sizes.of(start + step)
        scaling = self._config.batch_scaling
        peak = self._config.optimizer["lr"]
        at = Position(task - 1, step, num_steps, peak, FLOOR * peak, size, rescaled=scaling.rule != "none")
        if self._sizes.ramp or self._sizes.rungs:
            at = replace(at, start=start, ramped=True, seen=self._sizes.seen)
        rate = self._rate(at)
        if not 0 <= rate <= (1 + ROUNDING) * peak:
            raise FomoError(
                f"schedule: {rate:.6g} in step {step} of task {task}, where the peak is optimizer.lr={peak:g}. A "
                "schedule returns the rate itself, from 0 to the peak, and no multiplier."
            )
        return scaling.factor(size, self._config.batch_size) * rate
