"""What a check says: found, expected, green, yellow or red, and what to do."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


class Level(IntEnum):
    """Fit; worth a look; the job would fail, or waste most of the machine."""

    GREEN = 0
    YELLOW = 1
    RED = 2


@dataclass(frozen=True)
class Verdict:
    """One row; what is not green has advice."""

    check: str
    found: str
    expected: str
    level: Level
    advice: str = ""

    def __post_init__(self) -> None:
        if bool(self.advice) != (self.level is not Level.GREEN):
            raise ValueError(f"{self.check}: advice goes with what is not green, and with nothing else.")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        texts = {"check": self.check, "found": self.found, "expected": self.expected}
        return {**texts, "verdict": self.level.name.lower(), "advice": self.advice}


def judged(check: str, found: str, expected: str, level: Level, advice: str) -> Verdict:
    """A verdict; ``advice`` is left out where all is well."""
    return Verdict(check, found, expected, level, "" if level is Level.GREEN else advice)


def graded(value: float, green: float, yellow: float) -> Level:
    """By two least values."""
    return Level.GREEN if value >= green else Level.YELLOW if value >= yellow else Level.RED


def size(num_bytes: float) -> str:
    """Bytes as people read them."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:.3g} {name}"
    return f"{num_bytes / 1024:.3g} KiB"


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{short(seconds / unit)} {name}"
    return f"{short(seconds)} s"


def short(number: float) -> str:
    """Two digits, or all before the point."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def rate(per_second: float, unit: str) -> str:
    """``rate(2.5e12, "FLOP")`` is 2.5 TFLOP/s."""
    for factor, prefix in UNITS:
        if per_second >= factor:
            return f"{per_second / factor:.3g} {prefix}{unit}/s"
    return f"{per_second:.3g} {unit}/s"
