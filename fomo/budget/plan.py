"""Steps that a budget affords.

Steps per task = (total ÷ T − extra FLOPs per task × multiplier) ÷ (FLOPs per step × multiplier); Roth et al. 2024,
arXiv 2408.14471, section 3. Whole numbers and fractions throughout, so that nothing is overspent by a rounding.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from fomo.budget.cost import Cost, TaskCost
from fomo.budget.flops import charged
from fomo.budget.units import Budget
from fomo.errors import FomoError

GIGA = 10**9


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of the method, and of full fine-tuning of the same model at the same batch and precision."""

    peak_bytes: int
    reference_bytes: int

    @property
    def multiplier(self) -> Fraction:
        """What FLOPs are multiplied by."""
        return Fraction(self.peak_bytes, self.reference_bytes)


@dataclass(frozen=True)
class Plan:
    """Steps of every task, and what they are to cost. ``cost`` is ``None`` where steps were typed in."""

    budget: Budget
    steps: tuple[int, ...]
    cost: Cost | None = None
    memory: Memory | None = None

    @property
    def multiplier(self) -> Fraction:
        """What the budget's unit multiplies FLOPs by."""
        return self.memory.multiplier if self.memory and self.budget.unit == "total_mafs" else Fraction(1)

    def is_first_kind(self, step: int) -> bool:
        """Whether ``step`` costs what the first one does."""
        every = self.cost.refresh_every if self.cost else None
        return step % every == 0 if every else step == 0

    def flops(self, task: int) -> int:
        """Charged FLOPs of a task (from 1); the first one pays for ``begin_run``."""
        assert self.cost is not None
        start = charged(self.cost.begin_run) if task == 1 else 0
        return start + task_flops(self.cost.tasks[task - 1], self.steps[task - 1], self.cost.refresh_every)


def task_flops(cost: TaskCost, steps: int, refresh_every: int | None) -> int:
    """Charged FLOPs of a task of ``steps`` steps, hooks included."""
    hooks = charged(cost.begin) + charged(cost.end)
    if cost.first is None or cost.ordinary is None:
        return hooks
    refreshes = -(-steps // refresh_every) if refresh_every else min(steps, 1)
    return hooks + refreshes * charged(cost.first) + (steps - refreshes) * charged(cost.ordinary)


def affordable(cost: TaskCost, share: Fraction, refresh_every: int | None, rounding: str = "floor") -> int:
    """The most steps that ``share`` FLOPs pay for; ``"nearest"`` takes one more from half a step on."""
    if cost.first is None:
        return 0
    low, high = -1, 1
    while task_flops(cost, high, refresh_every) <= share:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if task_flops(cost, middle, refresh_every) <= share else (low, middle)
    if rounding == "nearest":
        paid, next_one = (task_flops(cost, max(low, 0) + more, refresh_every) for more in (0, 1))
        return max(low, 0) + (2 * (share - paid) >= next_one - paid)
    return max(low, 0)


def affords(budget: Budget, cost: Cost, memory: Memory) -> Plan:
    """Steps of every task, each from an equal share of the budget; none where the share does not reach."""
    empty = Plan(budget, (), cost, memory)
    share = shares(budget, len(cost.tasks)) / empty.multiplier
    steps = []
    for number, task in enumerate(cost.tasks, start=1):
        paid = charged(cost.begin_run) if number == 1 else 0
        steps.append(affordable(task, share - paid, cost.refresh_every, budget.rounding))
    return replace(empty, steps=tuple(steps))


def plan(budget: Budget, cost: Cost, memory: Memory) -> Plan:
    """The plan of a run.

    Raises:
        FomoError: a task of a method that trains gets no step; the budget that would do is named.
    """
    planned = affords(budget, cost, memory)
    for number, (task, steps) in enumerate(zip(cost.tasks, planned.steps, strict=True), start=1):
        if task.first is not None and steps < 1:
            _refuse(number, replace(planned, steps=(1,) * len(cost.tasks)))
    return planned


def shares(budget: Budget, num_tasks: int) -> Fraction:
    """A task's share in FLOPs, memory-adjusted where the unit is."""
    return Fraction(budget.total) * GIGA / num_tasks


def _refuse(task: int, one_step: Plan) -> None:
    budget, num_tasks = one_step.budget, len(one_step.steps)
    most = max(one_step.flops(number) for number in range(1, num_tasks + 1))
    total = math.ceil(most * one_step.multiplier * num_tasks / Fraction(budget.scale) / GIGA * 10**6) / 10**6
    raise FomoError(
        f"{budget} affords less than one step in task {task}: give budget.{budget.unit}={total:.15g} at least, a "
        f"smaller batch_size or fewer tasks."
    )


def typed_in(budget: Budget, num_tasks: int, batch_size: int, seconds_per_step: float = 0.0) -> Plan:
    """The plan of a budget that is not one of FLOPs: in steps, samples or seconds.

    Raises:
        FomoError: less than one step per task.
    """
    cost = {"steps": 1.0, "samples": float(batch_size), "wall_seconds": seconds_per_step}[budget.unit]
    planned = in_steps(budget, num_tasks, cost)
    if planned.steps[0] < 1:
        raise FomoError(
            f"{budget} affords less than one step for each of {num_tasks} tasks: give "
            f"budget.{budget.unit}={num_tasks * cost / budget.scale:g} at least, or fewer tasks."
        )
    return planned


def in_steps(budget: Budget, num_tasks: int, cost: float) -> Plan:
    """Equal tasks of steps that take ``cost`` of the budget's unit each; maybe of none."""
    return Plan(budget, (int(budget.total / num_tasks / cost),) * num_tasks)
