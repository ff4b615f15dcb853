"""What a check says: found, expected, green, yellow or red, and what to do."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


class Level(IntEnum):
    """How a check went."""

    GREEN = 0
    """Fit for the job."""
    YELLOW = 1
    """Worth a look."""
    RED = 2
    """The job would fail, or waste most of the machine."""


@dataclass(frozen=True)
class Verdict:
    """What a check says, in strings for people."""

    check: str
    """Its name."""
    found: str
    expected: str
    level: Level
    advice: str = ""
    """What to do; empty exactly for what is green."""

    def __post_init__(self) -> None:
        if bool(self.advice) != (self.level is not Level.GREEN):
            raise ValueError(f"{self.check}: advice goes with what is not green, and with nothing else.")

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return {
            "check": self.check,
            "found": self.found,
            "expected": self.expected,
            "verdict": self.level.name.lower(),
            "advice": self.advice,
        }


def judged(check: str, found: str, expected: str, level: Level, advice: str) -> Verdict:
    """A verdict.

    Args:
        check: its name.
        found: what there is.
        expected: what there should be.
        level: how the check went.
        advice: what to do, left out of a green verdict.
    """
    return Verdict(check, found, expected, level, "" if level is Level.GREEN else advice)


def graded(value: float, green: float, yellow: float) -> Level:
    """The level of a ``value``: ``green`` and ``yellow`` are the least values of those levels."""
    return Level.GREEN if value >= green else Level.YELLOW if value >= yellow else Level.RED


def size(num_bytes: float) -> str:
    """A number of bytes as people read it."""
    units = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"))
    unit, name = next((each for each in units if num_bytes >= each[0]), (2**10, "KiB"))
    return f"{num_bytes / unit:.3g} {name}"


def duration(seconds: float) -> str:
    """A time in seconds as people read it."""
    unit, name = (3600, "h") if seconds >= 7200 else (60, "min") if seconds >= 120 else (1, "s")
    return f"{short(seconds / unit)} {name}"


def short(number: float) -> str:
    """A number in two digits, or in all those before the point."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def rate(per_second: float, unit: str) -> str:
    """A rate as people read it: ``rate(2.5e12, "FLOP")`` is 2.5 TFLOP/s."""
    factor, prefix = next((each for each in UNITS if per_second >= each[0]), (1, ""))
    return f"{per_second / factor:.3g} {prefix}{unit}/s"
