"""What a method costs on a model, as the rehearsal finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fomo.budget.flops import Phases
from fomo.errors import FomoError


@dataclass(frozen=True)
class TaskCost:
    """One task: hooks before, the first step (and those that refresh), every other step, hooks after.

    Steps are ``None`` where the method trains nothing. They are those of the run's first batch size; ``ramped`` has the
    same two of each other size of a ramp. ``held`` has the bytes that each part holds on the device, and the network,
    after the hooks at the "begin" and at the "end".
    """

    begin: Phases
    first: Phases | None
    ordinary: Phases | None
    end: Phases
    ramped: Mapping[int, tuple[Phases, Phases]] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def step(self, size: int, first: bool) -> Phases:
        """A step on a batch of ``size``: one that costs what the first one does, or an ordinary one."""
        return self.ramped.get(size, (self.first or {}, self.ordinary or {}))[0 if first else 1]


class Sizes(NamedTuple):
    """At the most in a task: numbers in the network's parameters and in those that are trained, and bytes of the
    optimizer's state."""

    parameters: int = 0
    trained: int = 0
    optimizer_bytes: int = 0


NO_SIZES = Sizes()


@dataclass(frozen=True)
class Cost:
    """FLOPs by phase, bytes at the peak, element-wise FLOPs of an optimizer step.

    ``refresh_every`` is the period of steps that cost what the first one does; ``None`` if only the first one does.
    ``depends_on_samples`` says that hooks went through D_t; ``steady``, that beyond its size all tasks after the first
    cost the same. ``declared`` are the hooks, as ``PART.HOOK``, whose cost is what the part says.
    """

    begin_run: Phases
    tasks: tuple[TaskCost, ...]
    refresh_every: int | None
    peak_bytes: int
    optimizer_arithmetic: int
    depends_on_samples: bool
    steady: bool
    declared: frozenset[str] = frozenset()
    sizes: Sizes = NO_SIZES


def of_all_sizes(costs: Mapping[int, Cost]) -> Cost:
    """One cost from those at each batch size, the run's first one first: its hooks, the steps of all, the highest peak.

    Raises:
        FomoError: hooks outside of the steps depend on the batch size.
    """
    first, *others = costs.values()
    if any(_hooks(other) != _hooks(first) for other in others):
        raise FomoError(
            "batch_ramp: what this method does outside of steps costs differently by the batch size, so a budget of "
            "FLOPs cannot plan it. Take batch_ramp=null, or budget=steps."
        )
    tasks = []
    for number, task in enumerate(first.tasks):
        same = {size: cost.tasks[number] for size, cost in costs.items() if cost is not first}
        ramped = {size: (each.first, each.ordinary) for size, each in same.items() if each.first and each.ordinary}
        held = _most([task.held, *(each.held for each in same.values())])
        tasks.append(replace(task, ramped=ramped, held=held))
    peak = max(cost.peak_bytes for cost in costs.values())
    steady = all(cost.steady for cost in costs.values())
    return replace(first, tasks=tuple(tasks), peak_bytes=peak, steady=steady)


def _most(held: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """The most that each part holds."""
    return {
        when: {name: max(each[when][name] for each in held) for name in of_first} for when, of_first in held[0].items()
    }


def _hooks(cost: Cost) -> list[Phases]:
    """All that is done outside of steps."""
    return [cost.begin_run, *(phases for task in cost.tasks for phases in (task.begin, task.end))]
