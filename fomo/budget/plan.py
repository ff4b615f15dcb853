"""Steps that a budget affords.

Steps per task = (total ÷ T − extra FLOPs per task × multiplier) ÷ (FLOPs per step × multiplier); Roth et al. 2024,
arXiv 2408.14471, section 3. Where a ramp changes the batch size, each step is paid by its own size, in order. Whole
numbers and fractions throughout, so that nothing is overspent by a rounding.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from fomo.budget.cost import Cost, TaskCost
from fomo.budget.flops import NOTHING, Phases, charged
from fomo.budget.units import Budget
from fomo.errors import FomoError
from fomo.results.ledger import GIGA
from fomo.stream.batch_sizes import ONE_SIZE, BatchSizes, Stretch


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of the method, and of full fine-tuning of the same model, batch and ``precision``."""

    peak_bytes: int
    reference_bytes: int
    precision: str = "bf16"

    @property
    def multiplier(self) -> Fraction:
        """What FLOPs are multiplied by."""
        return Fraction(self.peak_bytes, self.reference_bytes)


class Recomputed(NamedTuple):
    """What a method costs, which is ``charged``, and what is ``computed`` where memory is saved by computing twice."""

    charged: Cost
    computed: Cost

    def surplus(self, of: Callable[[Cost], Phases]) -> Phases:
        """What is computed beyond what is charged, by phase, in the part of a cost that ``of`` gives."""
        paid = of(self.charged)
        computed = of(self.computed)
        names = {**computed, **paid}
        return {name: computed.get(name, NOTHING).plus(paid.get(name, NOTHING), times=-1) for name in names}


@dataclass(frozen=True)
class StepPlan:
    """Steps of every task, and what they are to cost. ``cost`` is ``None`` where steps were typed in.

    ``sizes`` are those of the batches, where the cost depends on them. ``recomputed`` is there where the run computes
    some things twice, which nobody is charged for. ``caveats`` say what could not be planned so.
    """

    budget: Budget
    steps: tuple[int, ...]
    cost: Cost | None = None
    memory: Memory | None = None
    sizes: BatchSizes = ONE_SIZE
    recomputed: Recomputed | None = None
    caveats: tuple[str, ...] = ()

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
        stretches = self.sizes.of_tasks(self.steps)[task - 1]
        return start + task_flops(self.cost.tasks[task - 1], stretches, self.cost.refresh_every)


def task_flops(cost: TaskCost, stretches: Sequence[Stretch], refresh_every: int | None) -> int:
    """Charged FLOPs of a task of such steps, hooks included."""
    total = charged(cost.begin) + charged(cost.end)
    made = 0
    for num_steps, size in stretches:
        refreshes = _refreshes(made + num_steps, refresh_every) - _refreshes(made, refresh_every)
        first, ordinary = (charged(cost.step(size, first)) for first in (True, False))
        total += refreshes * first + (num_steps - refreshes) * ordinary
        made += num_steps
    return total


def _refreshes(steps: int, every: int | None) -> int:
    """How many of the first ``steps`` steps cost what the first one does."""
    return -(-steps // every) if every else min(steps, 1)


def affordable(price: Callable[[int], float], share: Fraction | float, rounding: str = "floor") -> int:
    """The most steps n whose ``price(n)`` the ``share`` pays; ``"nearest"`` takes one more from half a step on."""
    low = -1
    high = 1
    while price(high) <= share:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if price(middle) <= share else (low, middle)
    steps = max(low, 0)
    paid = price(steps)
    next_one = price(steps + 1)
    return steps + (rounding == "nearest" and 2 * (share - paid) >= next_one - paid)


def affords(budget: Budget, cost: Cost, memory: Memory, sizes: BatchSizes = ONE_SIZE) -> StepPlan:
    """Steps of every task, each from an equal share of the budget; none where the share does not reach."""
    empty = StepPlan(budget, (), cost, memory, sizes)
    share = shares(budget, len(cost.tasks)) / empty.multiplier
    steps: list[int] = []
    for number, task in enumerate(cost.tasks, start=1):

        def price(num_steps: int, task: TaskCost = task, before: int = sum(steps)) -> int:
            return task_flops(task, sizes.stretches(before, num_steps), cost.refresh_every)

        paid = charged(cost.begin_run) if number == 1 else 0
        steps.append(affordable(price, share - paid, budget.rounding) if task.first else 0)
    return replace(empty, steps=tuple(steps))


def plan(budget: Budget, cost: Cost, memory: Memory, sizes: BatchSizes = ONE_SIZE) -> StepPlan:
    """The plan of a run.

    Raises:
        FomoError: a task of a method that trains gets no step; the budget that would do is named.
    """
    planned = affords(budget, cost, memory, sizes)
    for number, (task, steps) in enumerate(zip(cost.tasks, planned.steps, strict=True), start=1):
        if task.first is not None and steps < 1:
            _refuse(number, planned)
    return planned


def at_size(planned: StepPlan, size: int) -> StepPlan:
    """The same budget, and batches of ``size`` throughout.

    Raises:
        FomoError: less than one step per task.
    """
    sizes = BatchSizes(size)
    if planned.cost is None or planned.memory is None:
        return typed_in(planned.budget, len(planned.steps), sizes)
    return plan(planned.budget, planned.cost, planned.memory, sizes)


def climbed(planned: StepPlan, task: int, size: int) -> StepPlan:
    """The plan as it is where ``task`` has ended and all later tasks are to have batches of ``size``.

    What is made stays. Each later task has the steps that its own share of the budget affords at that size.
    """
    made = planned.steps[:task]
    later = at_size(planned, size).steps[task:]
    return replace(planned, steps=(*made, *later), sizes=planned.sizes.climbed(sum(made), size))


def check_rungs(planned: StepPlan) -> None:
    """Refuse a size that a later task may have, if it could not take a step.

    Raises:
        FomoError: it could not.
    """
    for size in planned.sizes.rungs:
        try:
            at_size(planned, size)
        except FomoError as error:
            raise FomoError(f"batch_ladder.sizes={list(planned.sizes.rungs)}: with {size} rows, {error}") from None


def shares(budget: Budget, num_tasks: int) -> Fraction:
    """A task's share in FLOPs, memory-adjusted where the unit is."""
    return Fraction(budget.total) * GIGA / num_tasks


def _refuse(task: int, planned: StepPlan) -> None:
    budget = planned.budget
    num_tasks = len(planned.steps)
    each_size = [replace(planned, steps=(1,) * num_tasks, sizes=BatchSizes(size)) for size in planned.sizes.distinct]
    most = max(one_step.flops(number) for one_step in each_size for number in range(1, num_tasks + 1))
    needed = most * planned.multiplier * num_tasks / Fraction(budget.scale) / GIGA
    millionths = math.ceil(needed * 10**6)
    rounded_down = Fraction(millionths / 10**6) < needed  # the nearest float may lie just below
    total = (millionths + rounded_down) / 10**6
    raise FomoError(
        f"{budget} affords less than one step in task {task}: give budget.{budget.unit}={total:.15g} at least, a "
        f"smaller batch_size or fewer tasks."
    )


def typed_in(budget: Budget, num_tasks: int, sizes: BatchSizes, seconds: Mapping[int, float] | None = None) -> StepPlan:
    """The plan of a budget that is not one of FLOPs: in steps, samples, or ``seconds`` per step by batch size.

    Raises:
        FomoError: less than one step per task.
    """
    costs: dict[str, Callable[[int], float]] = {
        "steps": lambda size: 1,
        "samples": lambda size: size,
        "wall_seconds": lambda size: (seconds or {})[size],
    }
    cost = costs[budget.unit]
    planned = in_steps(budget, num_tasks, sizes, cost)
    if min(planned.steps) < 1:
        enough = num_tasks * max(map(cost, sizes.distinct)) / budget.scale
        raise FomoError(
            f"{budget} affords less than one step for each of {num_tasks} tasks: give "
            f"budget.{budget.unit}={enough:g} at least, or fewer tasks."
        )
    return planned


def in_steps(budget: Budget, num_tasks: int, sizes: BatchSizes, cost: Callable[[int], float]) -> StepPlan:
    """Equal shares, filled with steps that take ``cost(size)`` of the budget's unit; maybe with none."""
    steps: list[int] = []
    for _ in range(num_tasks):

        def price(num_steps: int, before: int = sum(steps)) -> float:
            return sum(number * cost(size) for number, size in sizes.stretches(before, num_steps))

        steps.append(affordable(price, budget.total / num_tasks))
    return StepPlan(budget, tuple(steps), sizes=sizes)
