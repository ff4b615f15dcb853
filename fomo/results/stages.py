"""The stages of a run as ``card.json`` has them: rates, MFU and HFU of each stretch of one batch size, and its time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fomo.errors import FomoError
from fomo.system.checks import is_count, is_number

COUNTS = ("batch_size", "steps")


@dataclass(frozen=True)
class StageRates:
    """Steps of one batch size, one after the other, and what lies between them.

    Rates are of ``training_seconds``, hooks included, evaluations not. ``shares`` are of all its time, evaluations
    included: waiting for data, forward, backward, optimizer, hooks of parts, what a checkpoint holds up, what is in
    none of these, evaluation.
    ``tasks`` are the first and the last that it has steps of. ``mfu`` is ``None`` where nobody knows what was computed
    twice.
    """

    batch_size: int
    steps: int
    tasks: tuple[int, ...]
    training_seconds: float
    evaluation_seconds: float
    samples_per_second: float
    flops_per_second: float
    mfu: float | None
    hfu: float
    peak_flops_per_second: float
    peak_source: str
    shares: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As the card has it."""
        return asdict(self) | {"tasks": list(self.tasks)}


def read_stages(compute: Mapping[str, Any] | None) -> list[StageRates]:
    """The stages in a card's ``compute``; none of a run that trained nothing, or of an older card.

    Raises:
        FomoError: they are something else.
    """
    rows = compute.get("stages", []) if isinstance(compute, Mapping) else []
    if not isinstance(rows, list) or not all(map(_is_stage, rows)):
        raise FomoError("card.json: `compute.stages` is not the stages of a run.")
    names = [each.name for each in fields(StageRates)]
    return [StageRates(**{name: row[name] for name in names} | {"tasks": tuple(row["tasks"])}) for row in rows]


def _is_stage(row: Any) -> bool:
    numbers = [each.name for each in fields(StageRates) if each.type in (int, float)]
    return (
        isinstance(row, dict)
        and all(is_number(row.get(name)) for name in numbers)
        and "mfu" in row
        and (row["mfu"] is None or is_number(row["mfu"]))
        and all(is_count(row[name]) for name in COUNTS)
        and isinstance(row.get("peak_source"), str)
        and isinstance(row.get("tasks"), list)
        and len(row["tasks"]) == 2
        and all(map(is_count, row["tasks"]))
        and isinstance(row.get("shares"), dict)
        and all(map(is_number, row["shares"].values()))
    )
