"""The rows of ``fomo budget``: what methods cost, and the steps that they get, without running them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fomo.budget.cost import Cost, TaskCost
from fomo.budget.flops import NOTHING, Flops, charged, counted
from fomo.budget.plan import Memory, StepPlan, affords, in_steps
from fomo.config import factory
from fomo.config.schema import Config
from fomo.planning.planner import reference_bytes, rehearsed
from fomo.results.ledger import GIGA
from fomo.stream.batch_ladder import BatchLadder
from fomo.stream.batch_sizes import BatchSizes
from fomo.stream.definition import NO_NAMES, StreamNames

STREAM_LENGTHS = (20, 50, 100, 200)
GIB = 2**30
LONG = 10_000
"""Steps of a task that no schedule finds too short: what one refuses there are its settings."""


@dataclass(frozen=True)
class BudgetRow:
    """A method on a model: its cost, and its plan for every number of tasks.

    Steps are those of the first batch size, memory that of the largest, in a stream of the configured number of tasks.
    """

    label: str
    model: str
    sizes: BatchSizes
    cost: Cost
    memory: Memory
    goes_through: tuple[str, int] | None
    """The stream whose D_t the method goes through, and |D_t| as it was taken to be; ``None``: it does not."""
    plans: dict[int, StepPlan]
    """By the number of tasks; of a budget in seconds, steps are known where it runs alone."""
    rungs: dict[int, int] = field(default_factory=dict)
    """By each size that is decided as the run goes on: the steps of its last task at that size."""

    @property
    def typical(self) -> TaskCost:
        """A task late enough that everything a method does in later tasks is done."""
        return self.cost.tasks[-1]

    @property
    def step(self) -> dict[str, Flops]:
        """An optimizer step by phase, the mean over a period where some steps do more."""
        first = self.typical.first or {}
        ordinary = self.typical.ordinary or {}
        every = self.cost.refresh_every
        if not every:
            return dict(ordinary)
        return {
            name: _mean(first.get(name, NOTHING), ordinary.get(name, NOTHING), every) for name in {**first, **ordinary}
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values; GFLOPs, GiB; maps by the number of tasks."""
        step = self.step
        extra = [self.typical.begin, self.typical.end]
        other = sum(flops.decomposed for phases in [step, *extra] for flops in phases.values())
        timed = self.plans[min(self.plans)].budget.unit == "wall_seconds"
        steps = {str(length): None if timed else plan.steps for length, plan in self.plans.items()}
        return {
            "method": self.label.split()[0],
            "label": self.label,
            "model": self.model,
            "batch_size": self.sizes.first,
            "batch_ramp": list(map(list, self.sizes.ramp)) or None,
            "batch_ladder": {str(size): self._rung(size) for size in self.rungs} or None,
            "gflops_per_step": counted(step) / GIGA,
            "gflops_by_phase": {name: flops.counted / GIGA for name, flops in step.items()},
            "gflops_per_task_extra": sum(counted(phases) for phases in extra) / GIGA,
            "gflops_other": (other + (self.cost.optimizer_arithmetic if step else 0)) / GIGA,
            "gflops_other_charged": other / GIGA,
            "peak_memory_gib": self.memory.peak_bytes / GIB,
            "memory_multiplier": float(self.memory.multiplier),
            "mafs_per_step": float(charged(step) * self.memory.multiplier / GIGA),
            "steps_per_task": {length: each and each[-1] for length, each in steps.items()},
            "total_steps": {length: each and sum(each) for length, each in steps.items()},
            "assumed_stream": self.goes_through and self.goes_through[0],
            "assumed_update_samples": self.goes_through and self.goes_through[1],
            "total_samples": {length: each and self.sizes.seen(sum(each)) for length, each in steps.items()},
        }

    def _rung(self, size: int) -> dict[str, float]:
        """GFLOPs of an ordinary step at a size of the ladder, and the steps of the last task."""
        gflops = counted(self.typical.step(size, first=False)) / GIGA
        return {"gflops_per_step": gflops, "steps_per_task": self.rungs[size]}


def _mean(first: Flops, ordinary: Flops, every: int) -> Flops:
    return Flops(*((a + (every - 1) * b) // every for a, b in zip(first, ordinary, strict=True)))


def _check_schedule(config: Config) -> None:
    """Have the schedule look at its settings, in tasks as long as any of them wants.

    Raises:
        FomoError: it refuses them.
    """
    plan = StepPlan(config.budget, (LONG,) * config.num_tasks, sizes=config.sizes)
    factory.learning_rate(config, factory.schedule(config), plan)


def row(config: Config, num_samples: Callable[[int], int], names: StreamNames = NO_NAMES) -> BudgetRow:
    """Count a method. Refuses a schedule that a run would refuse, but no small budget.

    Args:
        config: Says which.
        num_samples: Of the number of tasks, |D_t|.
        names: Datasets and concepts; the tasks of a stream of any length have equal parts of them.
    """
    _check_schedule(config)
    model = factory.model_shapes(config)
    lengths = sorted({*STREAM_LENGTHS, config.num_tasks})
    # Three tasks as the rehearsal wants them, then one with the size of D_t of every length.
    sizes = [num_samples(length) for length in lengths]
    first = [num_samples(config.num_tasks)] * 3
    cost = rehearsed(config, model, first + sizes, names.in_tasks(len(first + sizes)))
    reference = reference_bytes(config, model)
    plans = {}
    for length, late in zip(lengths, cost.tasks[3:], strict=True):
        if cost.steady:
            of_length = replace(cost, tasks=_stretched(cost, late, length))
        else:
            of_length = rehearsed(config, model, [num_samples(length)] * length, names.in_tasks(length))
        plans[length] = _plan(config, of_length, Memory(of_length.peak_bytes, reference), length)
    shown = plans[config.num_tasks]
    assert shown.cost is not None and shown.memory is not None
    stream = str(config.stream.get("name", "own"))
    goes_through = (stream, num_samples(config.num_tasks)) if cost.depends_on_samples else None
    at = {size: replace(config, batch_size=size, batch_ladder=BatchLadder()) for size in config.sizes.rungs}
    rungs = {size: _plan(each, shown.cost, shown.memory, config.num_tasks).steps[-1] for size, each in at.items()}
    return BudgetRow(config.label, model.name, config.sizes, shown.cost, shown.memory, goes_through, plans, rungs)


def _stretched(cost: Cost, late: TaskCost, length: int) -> tuple[TaskCost, ...]:
    """The tasks of a stream of ``length``: the first as it was rehearsed, all others like ``late``."""
    first = cost.tasks[0]
    if cost.depends_on_samples:
        first = replace(first, begin=late.begin, end=late.end)
    return (first, *[late] * (length - 1))


def _plan(config: Config, cost: Cost, memory: Memory, num_tasks: int) -> StepPlan:
    if config.budget.needs_rehearsal:
        return affords(config.budget, cost, memory, config.sizes)
    if config.budget.unit == "wall_seconds":
        return StepPlan(config.budget, (0,) * num_tasks, cost, memory)
    in_samples = config.budget.unit == "samples"
    planned = in_steps(config.budget, num_tasks, config.sizes, lambda size: size if in_samples else 1)
    return replace(planned, cost=cost, memory=memory)
