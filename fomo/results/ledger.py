"""``ledger.json``: what a run was to spend, and what it was charged, by task and phase."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import LEDGER
from fomo.system.checks import is_count, is_number, is_strings
from fomo.system.reading import read_json
from fomo.system.writing import write_json

SCHEMA = "fomo.ledger/1"
GIGA = 10**9
TASK = re.compile(r"[1-9][0-9]{0,8}")
"""What a task is called: its number."""
COUNTED_UNITS = ("total_mafs", "total_gflops")
"""Units of budgets in FLOPs: a run in one of them may not be charged more than it was given."""


@dataclass(frozen=True)
class Spent:
    """Optimizer steps, their FLOPs, and these in MAFs (GFLOPs × memory multiplier); ``None`` where not counted."""

    steps: int
    flops: int | None = None
    mafs: float | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Spent":
        """An entry of the file; whatever else stands in it is not looked at."""
        return cls(values["steps"], values.get("flops"), values.get("mafs"))

    def to_json(self) -> dict[str, Any]:
        """As the file has it: MAFs only where there are some."""
        return {"steps": self.steps, "flops": self.flops} | ({} if self.mafs is None else {"mafs": self.mafs})


@dataclass(frozen=True)
class TaskSpent:
    """One task: planned, charged, and the charged FLOPs by phase."""

    planned: Spent
    charged: Spent
    phases: Mapping[str, int]

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "TaskSpent":
        """An entry of the file."""
        return cls(Spent.read(values["planned"]), Spent.read(values["charged"]), values["phases"])

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        return {"planned": self.planned.to_json(), "charged": self.charged.to_json(), "phases": dict(self.phases)}


@dataclass(frozen=True)
class LedgerFile:
    """The content of ``ledger.json``.

    ``total`` and ``left`` are in the budget's ``unit``; ``caveats`` say what keeps the result from being compared
    freely; ``memory`` holds the multiplier and both peaks in bytes; ``samples`` are the rows seen of each pool;
    ``batch_sizes`` are those of each task, where they were decided as the run went on: else there are none.
    """

    unit: str
    total: float
    caveats: tuple[str, ...]
    planned: Spent
    charged: Spent
    samples: Mapping[str, int]
    rounding: str = "floor"
    memory: Mapping[str, Any] | None = None
    lost_steps: int = 0
    left: float = 0
    tasks: Mapping[str, TaskSpent] = field(default_factory=dict)
    phases: Mapping[str, int] = field(default_factory=dict)
    batch_sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def charged_units(self) -> float | None:
        """What was charged in the budget's own unit; ``None`` where the budget is not one of FLOPs."""
        if self.unit not in COUNTED_UNITS or (self.charged.flops is None and self.charged.mafs is None):
            return None
        return self.charged.mafs if self.unit == "total_mafs" else (self.charged.flops or 0) / GIGA

    def steps(self, which: str = "planned") -> dict[int, int]:
        """The steps of each task, ``planned`` or ``charged``, by its number; what is called otherwise is left out."""
        tasks = {int(number): task for number, task in self.tasks.items() if TASK.fullmatch(number)}
        return {number: getattr(task, which).steps for number, task in tasks.items()}

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        return {
            "schema": SCHEMA,
            "unit": self.unit,
            "total": self.total,
            "rounding": self.rounding,
            "marks": list(self.caveats),
            "memory": self.memory,
            "planned": self.planned.to_json(),
            "charged": self.charged.to_json(),
            "lost_steps": self.lost_steps,
            "left": self.left,
            "tasks": {number: task.to_json() for number, task in self.tasks.items()},
            "phases": dict(self.phases),
            "samples": dict(self.samples),
            **({"batch_sizes": dict(self.batch_sizes)} if self.batch_sizes else {}),
        }

    def write(self, run: Path) -> None:
        """Write the file into a run folder."""
        write_json(run / LEDGER, self.to_json())


def read_ledger(run: Path) -> LedgerFile:
    """The ledger of a run folder.

    Raises:
        FomoError: ``ledger.json`` is not there, or not the ledger of a run.
    """
    path = run / LEDGER
    values = read_json(path)
    if not _is_ledger(values):
        raise FomoError(f"{path}: not the ledger of a run.")
    return LedgerFile(
        unit=values["unit"],
        total=values["total"],
        caveats=tuple(values["marks"]),
        planned=Spent.read(values["planned"]),
        charged=Spent.read(values["charged"]),
        samples=values["samples"],
        tasks={number: TaskSpent.read(task) for number, task in values.get("tasks", {}).items()},
        **{key: values[key] for key in OPTIONAL if key in values},
    )


def _is_ledger(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and all(isinstance(values.get(key), dict) for key in ("planned", "charged", "samples"))
        and isinstance(values.get("unit"), str)
        and is_number(values.get("total"))
        and is_strings(values.get("marks"))
        and all(map(_is_spent, (values["planned"], values["charged"])))
        and is_number(values["charged"].get("mafs" if values["unit"] == "total_mafs" else "flops"))
        and all(map(is_count, values["samples"].values()))
        and all(is_right(values[key]) for key, is_right in OPTIONAL.items() if key in values)
        and isinstance(values.get("tasks", {}), dict)
        and all(map(_is_task, values.get("tasks", {}).values()))
    )


def _is_spent(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and is_count(values.get("steps"))
        and all(values.get(key) is None or is_number(values[key]) for key in ("flops", "mafs"))
    )


def _is_task(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and all(_is_spent(values.get(key)) for key in ("planned", "charged"))
        and _is_phases(values.get("phases"))
    )


def _is_phases(values: Any) -> bool:
    return isinstance(values, dict) and all(map(is_count, values.values()))


OPTIONAL: dict[str, Callable[[Any], bool]] = {
    "rounding": lambda value: isinstance(value, str),
    "memory": lambda value: value is None or isinstance(value, dict),
    "lost_steps": is_count,
    "left": lambda value: isinstance(value, (int, float)),
    "phases": _is_phases,
    "batch_sizes": _is_phases,
}
"""Keys that older ledgers may lack, and what they hold."""
