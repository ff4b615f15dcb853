"""How many update steps a run may take, and the ledger of what it took.

The unit here is steps, typed in by the user: results are marked "not budgeted", since equal steps are not
equal compute.
"""

from dataclasses import dataclass, field
from typing import Any

from fomo.errors import FomoError, unknown

SCHEMA = "fomo.ledger/1"
UNITS = ("steps",)
NOT_BUDGETED = "not budgeted"


@dataclass(frozen=True)
class Budget:
    """``total`` steps for the whole stream, the same number for every task, never more than ``total`` in all."""

    total: int
    unit: str = "steps"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise unknown("value of budget.unit", self.unit, UNITS)
        if self.total < 1:
            raise FomoError(f"budget.total={self.total}: allowed are 1 and above.")

    def plan(self, num_tasks: int) -> tuple[int, ...]:
        """Steps of each task."""
        steps = self.total // num_tasks
        if steps < 1:
            raise FomoError(
                f"budget.total={self.total} affords less than one step for each of {num_tasks} tasks: "
                f"give budget.total={num_tasks} at least, or fewer tasks."
            )
        return (steps,) * num_tasks


@dataclass
class Ledger:
    """Steps planned and charged per task, and samples seen per pool. Nothing in it depends on time or machine."""

    unit: str
    planned: tuple[int, ...]
    charged: dict[int, int] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("pretraining", "update", "buffer"), 0))

    def charge(self, task: int, counts: tuple[int, int, int]) -> None:
        """One step of ``task`` (from 1) on a batch with ``counts`` samples of P, D and B.

        Raises:
            FomoError: the task's steps are spent.
        """
        spent = self.charged.get(task, 0)
        if spent >= self.planned[task - 1]:
            raise FomoError(f"task {task}: the budget of {self.planned[task - 1]} steps is spent.")
        self.charged[task] = spent + 1
        for pool, count in zip(self.samples, counts, strict=True):
            self.samples[pool] += count

    def to_json(self) -> dict[str, Any]:
        """What ``ledger.json`` holds."""
        charged = sum(self.charged.values())
        return {
            "schema": SCHEMA,
            "unit": self.unit,
            "marks": [NOT_BUDGETED],
            "planned": sum(self.planned),
            "charged": charged,
            "left": sum(self.planned) - charged,
            "tasks": {str(t): {"planned": p, "charged": self.charged.get(t, 0)} for t, p in enumerate(self.planned, 1)},
            "samples": self.samples,
        }
