"""What a budget may be given in."""

import math
from dataclasses import dataclass

from fomo.errors import FomoError, check_allowed, check_choice

UNITS = ("total_mafs", "total_gflops", "samples", "steps", "wall_seconds")
NOT_BUDGETED = "not budgeted"
NOT_COMPARABLE = "not comparable"
NEAREST = "rounded to nearest"
CAVEATS = {"samples": NOT_BUDGETED, "steps": NOT_BUDGETED, "wall_seconds": NOT_COMPARABLE}


@dataclass(frozen=True)
class Budget:
    """The compute of the whole stream, in exactly one unit, times ``scale``; every task gets an equal share.

    ``total_mafs`` and ``total_gflops`` are in GFLOPs (10⁹), the first memory-adjusted. ``samples`` and ``steps`` do
    not fix the compute, and ``wall_seconds`` depends on the machine: such results have a caveat. ``rounding="floor"``
    never overspends; ``"nearest"`` is the published table's.

    Raises:
        FomoError: no unit or several, a value that is not a positive number, an unknown rounding.
    """

    total_mafs: float | None = None
    total_gflops: float | None = None
    samples: int | None = None
    steps: int | None = None
    wall_seconds: float | None = None
    scale: float = 1.0
    rounding: str = "floor"

    def __post_init__(self) -> None:
        given = {unit: getattr(self, unit) for unit in UNITS if getattr(self, unit) is not None}
        for name, value in (*given.items(), ("scale", self.scale)):
            check_allowed(0 < value < math.inf, f"budget.{name}={value}", "finite numbers above 0")
        if len(given) != 1:
            shown = " and ".join(f"budget.{unit}={value}" for unit, value in given.items()) or "none"
            raise FomoError(
                f"a budget has one unit, given are: {shown}. Choose one with budget=mafs, gflops, samples, steps or "
                f"wall_seconds, then set its number, for example `budget=steps budget.steps=360`."
            )
        check_choice("value of budget.rounding", self.rounding, ("floor", "nearest"))

    @property
    def unit(self) -> str:
        """The unit that is given."""
        return next(unit for unit in UNITS if getattr(self, unit) is not None)

    @property
    def total(self) -> float:
        """The whole stream's compute in :attr:`unit`, ``scale`` included."""
        return float(getattr(self, self.unit)) * self.scale

    @property
    def needs_rehearsal(self) -> bool:
        """Whether steps follow from the counted cost of a step."""
        return self.unit in ("total_mafs", "total_gflops")

    @property
    def caveats(self) -> list[str]:
        """What keeps a result from being compared at equal compute."""
        unit = [CAVEATS[self.unit]] if self.unit in CAVEATS else []
        return [*unit, NEAREST] if self.rounding == "nearest" else unit

    def __str__(self) -> str:
        return f"budget.{self.unit}={getattr(self, self.unit):g}" + (f" × {self.scale:g}" if self.scale != 1 else "")
