"""What settings are searched: a range or a list of values for each key."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fomo.results.tuning import Value

DIGITS = 4
"""Of a real number that is tried, which is a setting as people write them: of its own, or in the unit of the range."""


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``, both included.

    Args:
        low: The least.
        high: The greatest.
        log: Whether steps are factors: 1e-4 is as far from 1e-3 as that from 1e-2.
        whole: Whether they are integers.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Value, ...]:
        """Its bounds."""
        return (self.rounded(self.low), self.rounded(self.high))

    def rounded(self, value: float) -> float | int:
        """A number as it is tried: an integer, or of :data:`DIGITS` digits."""
        if self.whole:
            return min(max(round(value), int(self.low)), int(self.high))
        digits = DIGITS - (
            math.floor(math.log10(value)) + 1 if self.log else math.floor(math.log10(self.high - self.low))
        )
        return min(max(round(value, digits), self.low), self.high)

    def __str__(self) -> str:
        numbers = (int(self.low), int(self.high)) if self.whole else (float(self.low), float(self.high))
        text = f"interval({numbers[0]},{numbers[1]})"
        text = f"int({text})" if self.whole else text
        return f"tag(log,{text})" if self.log else text


@dataclass(frozen=True)
class Choice:
    """A list of values without an order, as they are typed."""

    values: Sequence[str]

    @property
    def ends(self) -> tuple[Value, ...]:
        """All of them."""
        return tuple(self.values)

    def rounded(self, value: str) -> str:
        """The value: it is one of the list."""
        return value

    def __str__(self) -> str:
        return f"choice({','.join(self.values)})"


Space = Mapping[str, Interval | Choice]
