"""What a method costs on a model, as the rehearsal finds it."""

from dataclasses import dataclass

from fomo.budget.flops import Phases


@dataclass(frozen=True)
class TaskCost:
    """One task: hooks before, the first step (and those that refresh), every other step, hooks after.

    Steps are ``None`` where the method trains nothing.
    """

    begin: Phases
    first: Phases | None
    ordinary: Phases | None
    end: Phases


@dataclass(frozen=True)
class Cost:
    """FLOPs by phase, bytes at the peak, element-wise FLOPs of an optimizer step.

    ``refresh_every`` is the period of steps that cost what the first one does; ``None`` if only the first one does.
    ``depends_on_samples`` says that hooks went through D_t; ``steady``, that beyond its size all tasks after the first
    cost the same.
    """

    begin_run: Phases
    tasks: tuple[TaskCost, ...]
    refresh_every: int | None
    peak_bytes: int
    optimizer_arithmetic: int
    depends_on_samples: bool
    steady: bool
